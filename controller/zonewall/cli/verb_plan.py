"""``zonewall plan``: what another configuration would change, before it is put in force."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from zonewall.cli.connections import Known, journalled, live, recorded
from zonewall.cli.exits import EXIT_FINDING
from zonewall.cli.journal_view import open_journal
from zonewall.cli.options import OptionsFile, Output, OutputForm, SocketFile, StateFolder, control_socket
from zonewall.cli.plan_text import plan_text
from zonewall.cli.scene import PlacementFile, Scene, in_force, on_disk
from zonewall.cli.times import parse_moment, parse_time, to_us
from zonewall.errors import ControllerUnreachableError, JournalError, ZonewallError
from zonewall.flows.forecast import Forecast, forecast, over_budget_text
from zonewall.intent.analysis.acceptance import load_accepted
from zonewall.intent.change_report import (
    beside_rows,
    change_rows,
    flip_rows,
    interruptions,
    living_on,
    rerouted,
)
from zonewall.intent.changes import Comparison
from zonewall.intent.fleet import index_fleet, prepare
from zonewall.intent.flips import flips
from zonewall.intent.host_ways import LostWay, lost_ways
from zonewall.intent.passing import Passing, outliving_after, rule_ends
from zonewall.intent.schedule import inactive_rules
from zonewall.intent.semantics import Probe
from zonewall.placement.model import BridgeKey
from zonewall.policy.model import Configuration

EXIT_CHANGES = 2
EXIT_REFUSED = EXIT_FINDING


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("plan")(show)


def show(  # noqa: PLR0917 - typer reads the options here
    directory: Annotated[Path, typer.Argument(metavar="CONFIG_DIR", help="The new configuration.")],
    against: Annotated[
        Path | None, typer.Option(metavar="CONFIG_DIR", help="The old one; left out: a controller's.")
    ] = None,
    placement: PlacementFile = None,
    connections: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON Lines of recorded connections.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A journal to read; a controller's own unless said.")
    ] = None,
    since: Annotated[
        str, typer.Option(help="Of the journal: open connections, and those since then: -1d, RFC 3339.")
    ] = "-1d",
    appctl: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Ask hosts for live connections: 'ssh {host} ovs-appctl'."),
    ] = None,
    time: Annotated[str | None, typer.Option(help="When, RFC 3339; now unless said.")] = None,
    options: OptionsFile = None,
    state: StateFolder = None,
    socket: SocketFile = None,
    output: OutputForm = Output.TEXT,
) -> None:
    """Say what would change; exit 0: nothing, 2: something, 1: refused or unusable, 3: no controller."""
    try:
        now = datetime.now(UTC)
        moment = parse_moment(time, now)
        if against is not None:
            old = on_disk(against, placement, moment)
        else:
            old = in_force(control_socket(options, state, socket), moment)
        known = _journal(old, journal, to_us(parse_time(since, now)))
        known += [] if connections is None else [recorded(connections)]
        known += [] if appctl is None else [live(appctl, old.policy())]
        document = plan_document(old, directory, moment, known)
    except ControllerUnreachableError:
        raise
    except ZonewallError as error:
        typer.echo(f"zonewall: {error}", err=True)
        raise typer.Exit(EXIT_REFUSED) from error
    _say(document, output)


def _say(document: dict[str, Any], output: Output) -> None:
    """Print a plan, and end with what it comes to."""
    if output is Output.JSON:
        typer.echo(json.dumps(document, indent=2))
    else:
        plan_text(document)
    if document["refused"]:
        raise typer.Exit(EXIT_REFUSED)
    if document["changes"]:
        raise typer.Exit(EXIT_CHANGES)


def _journal(scene: Scene, said: Path | None, since_us: int) -> list[Known]:
    """Return the connections of the journal that was said, or of the controller's own where it can be read.

    Raises:
        ZonewallError: the one that was said cannot be read.
    """
    file = said or scene.journal
    if file is None:
        return []
    try:
        return [journalled(open_journal(None, None, file), str(file), since_us)]
    except JournalError as error:
        if said is not None:
            raise
        typer.echo(f"zonewall: the controller's journal is not read: {error}", err=True)
        return []


def plan_document(old: Scene, directory: Path, moment: datetime, connections: list[Known]) -> dict[str, Any]:
    """Return the plan (docs/commands.md).

    Raises:
        ZonewallError: the new configuration cannot be used, or is refused by an assertion of its own.
    """
    new = old.with_learnt(load_accepted(directory, moment, old.added)[0])
    inactive = inactive_rules(new, moment)
    comparison = Comparison(old.configuration, new, old.inactive, inactive)
    bridges: tuple[Forecast, ...] = ()
    moments = (old.configuration, old.inactive), (new, inactive)
    outliving = outliving_after(*moments, old.passing.outliving, moment.timestamp())
    living = living_on(outliving, moment.timestamp())
    if old.placement is not None:
        before = old.fleet()
        passing = Passing(rule_ends(new, moment), outliving)
        policy = prepare(new, before.policy.numbering, inactive, passing)
        bridges = forecast(before, index_fleet(policy, old.placement))
    rows, beside = change_rows(comparison), beside_rows(comparison.beside)
    cut = interruptions(comparison, living)
    tenants = _names(set(old.configuration.tenants), set(new.tenants))
    endpoints = _names(set(old.configuration.inventory.endpoints), set(new.inventory.endpoints))
    parted = _parted(old, new)
    named = any((*tenants.values(), *endpoints.values()))
    refused = [over_budget_text(one.bridge, one.flows, one.budget) for one in bridges if one.is_over]
    return {
        "old": old.title,
        "new": str(directory),
        "changes": bool(rows or beside or named or parted or any(one.is_change for one in bridges)),
        "refused": refused,
        "tenants": tenants,
        "endpoints": endpoints,
        "verdicts": rows,
        "beside": beside,
        "connections": _connections(comparison, connections, moment, living),
        "bridges": [_bridge(one) for one in bridges],
        "placement": old.placement is not None,
        "interrupted": cut,
        "rerouted": rerouted(comparison),
        "parted": [
            {"bridge": str(one.bridge), "port": one.port, "uplink": one.uplink, "text": str(one)}
            for one in parted
        ],
    }


def _parted(old: Scene, new: Configuration) -> list[LostWay]:
    """Return which hosts' own ways would be taken; without a controller, every declared port counts."""
    ports = {} if old.placement is None else old.placement.ports
    seen = {bridge for bridge, _ in ports}

    def is_there(key: BridgeKey, name: str) -> bool:
        return (key, name) in ports or (old.socket is None and key not in seen)

    return lost_ways(old.configuration, new, is_there)


def _names(before: set[Any], after: set[Any]) -> dict[str, list[str]]:
    return {"added": sorted(map(str, after - before)), "removed": sorted(map(str, before - after))}


def _connections(
    comparison: Comparison, connections: list[Known], moment: datetime, living: Mapping[str, str]
) -> dict[str, Any]:
    """Return what becomes of the connections; what two know of is one, open if either says so."""
    if not connections:
        return {"known": None, "sources": [], "flips": None}
    now: dict[Probe, bool | None] = {}
    for known in connections:
        for probe, is_open in known.found.items():
            asked = replace(probe, time=moment)
            now[asked] = now.get(asked) or is_open
    found = flips(comparison.old.configuration, comparison.new.configuration, now)
    sources = [known.to_plain() for known in connections]
    return {"known": len(now), "sources": sources, "flips": flip_rows(found, now, living)}


def _bridge(one: Forecast) -> dict[str, Any]:
    return {
        "bridge": str(one.bridge),
        "added": one.added,
        "changed": one.changed,
        "removed": one.removed,
        "kept": one.kept,
        "flows": one.flows,
        "budget": one.budget,
    }
