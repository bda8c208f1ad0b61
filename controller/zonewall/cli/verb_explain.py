"""``zonewall explain``: the verdict on one connection, why, and the flows that carry it out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from zonewall.cli.asking import probe_of
from zonewall.cli.exits import EXIT_FINDING
from zonewall.cli.options import OptionsFile, Output, OutputForm, SocketFile, StateFolder, control_socket
from zonewall.cli.path_view import PathView, Wrong
from zonewall.cli.scene import PlacementFile, Scene, in_force, on_disk
from zonewall.cli.times import parse_moment
from zonewall.errors import ZonewallError
from zonewall.intent.explanation import Explanation, explain, explanation_document
from zonewall.intent.semantics import Probe, ProbeError
from zonewall.policy.notes import suggestion


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("explain")(show)


def show(  # noqa: PLR0917 - typer reads the options here
    source: Annotated[str, typer.Option("--from", metavar="END", help="tenant/name, or an address.")],
    destination: Annotated[str, typer.Option("--to", metavar="END", help="tenant/name, or an address.")],
    service: Annotated[str, typer.Option(help="tcp/443, icmp/echo-request, icmp/3/1, ip/47.")],
    directory: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG_DIR]", help="Left out: what a controller has in force.")
    ] = None,
    sport: Annotated[int | None, typer.Option(min=0, max=65535, help="The source port.")] = None,
    src_ip: Annotated[str | None, typer.Option(help="Which address of --from.")] = None,
    dst_ip: Annotated[str | None, typer.Option(help="Which address of --to.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose view outside addresses are in.")] = None,
    time: Annotated[str | None, typer.Option(help="When, RFC 3339; now unless said.")] = None,
    flows: Annotated[bool, typer.Option("--flows", help="The flows on each bridge on the way.")] = False,
    placement: PlacementFile = None,
    trace: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Ask the switches, too: 'ssh {host} ovs-appctl'."),
    ] = None,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Say what happens to a connection and why; exit 1 where a live bridge would do otherwise."""
    moment = parse_moment(time, datetime.now(UTC))
    if directory is not None:
        scene = on_disk(directory, placement, moment)
    else:
        scene = in_force(control_socket(options, state, socket), moment)
    ends = {"source_ip": src_ip, "destination_ip": dst_ip}
    probe = probe_of(source, destination, service, moment, source_port=sport, tenant=tenant, **ends)
    told = explain(scene.configuration, probe)
    if isinstance(told, ProbeError):
        raise ZonewallError(told.message + _near(scene, probe))
    document, wrong = _document(scene, told, flows, trace)
    if output is Output.JSON:
        print(json.dumps(document, indent=2))
    else:
        _say(document, flows)
    if wrong:
        raise typer.Exit(EXIT_FINDING)


def _near(scene: Scene, probe: Probe) -> str:
    """Return which endpoint may be meant, where one is named that there is not."""
    there = scene.configuration.inventory.endpoints
    for end in (probe.source, probe.destination):
        if isinstance(end, str) and end not in there:
            hint = suggestion(end, there, "endpoints")
            return f"; {hint}" if hint.startswith("did you mean") else ""
    return ""


def _document(
    scene: Scene, told: Explanation, flows: bool, trace: str | None
) -> tuple[dict[str, Any], list[Wrong]]:
    """Return the whole answer, and where anything differs from it."""
    document = {"configuration": scene.title, **explanation_document(told), "path": None, "live": None}
    if not (flows or trace or scene.socket):
        return document, []
    try:
        view = PathView(scene, told)
    except ZonewallError as error:
        if flows or trace:
            raise
        document["live"] = {"asked": [], "unknown": str(error), "not_traced": [], "differences": []}
        return document, []
    wrong = view.disagreements()
    asked: list[str] = []
    untraced: list[str] = []
    if scene.socket is not None:
        asked.append("openflow")
        wrong += view.held()
    if trace is not None:
        asked.append("ofproto/trace")
        wrong += view.traced(trace)
        untraced = [str(one.bridge) for one in view.journey.visits if view.is_out_of_an_appliance(one)]
    document["path"] = view.document() if flows else None
    differences = [{"bridge": one.bridge or None, "message": one.message} for one in wrong]
    document["live"] = {
        "asked": asked,
        "unknown": None,
        "not_traced": untraced,
        "differences": differences,
    }
    return document, wrong


def _say(document: dict[str, Any], flows: bool) -> None:
    print(f"{_end(document['from'])} to {_end(document['to'])}: {_verdict(document)}")
    print(f"  decided by {document['rule']}{_at(document)}")
    for tier in document["tiers"]:
        words = tier["result"] if tier["rule"] is None else f"{tier['result']} by {tier['rule']}{_at(tier)}"
        print(f"  tier {tier['author']}/{tier['tier']}: {words}")
    for word, key in (("copied to", "mirror"), ("sent through", "through"), ("limited to", "limit")):
        if document[key]:
            print(f"  {word} {', '.join(document[key])}")
    if document["log"] != "none":
        print(f"  logged: {document['log']}")
    if flows and document["path"] is not None:
        _say_path(document["path"])
    live = document["live"]
    if live is None:
        return
    if live["unknown"]:
        print(f"  the bridges were not asked: {live['unknown']}")
    for one in live["differences"]:
        print(f"  DIFFERS{' at ' + one['bridge'] if one['bridge'] else ''}: {one['message']}")
    for bridge in live["not_traced"]:
        print(
            f"  not traced at {bridge}: what comes out of an appliance belongs to a connection it remembers"
        )
    if live["asked"] and not live["differences"]:
        print(f"  the live bridges agree (asked by {' and '.join(live['asked'])})")


def _say_path(path: dict[str, Any]) -> None:
    for end in path["isolated"]:
        print(f"  {end} is isolated, which stands above every rule")
    for visit in path["visits"]:
        print(f"  {visit['bridge']}, in by port {visit['in_port']}:")
        for flow in visit["flows"]:
            rule = f"   # {flow['rule']}{_at(flow)}" if flow["rule"] else ""
            print(f"    {flow['number']:>2} {flow['flow']}{rule}")
    for one in path["departures"]:
        print(f"  leaves {one['bridge']} by port {one['ofport']}: {one['kind']} {one['name']}")


def _verdict(document: dict[str, Any]) -> str:
    watched = ", only watched: the rule would have stopped it" if document["monitored"] else ""
    return f"{document['verdict']}{watched}"


def _end(end: dict[str, Any]) -> str:
    zones = f" in {', '.join(end['zones'])}" if end["zones"] else ""
    return f"{end['endpoint'] or 'outside'} ({end['address']}{zones})"


def _at(document: dict[str, Any]) -> str:
    return f" ({document['at']})" if document["at"] else ""
