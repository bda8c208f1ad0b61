"""What bridges should hold by the documents and by where everything is, held against what they do hold."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from topologies.lab import Host

from support.asked import Status
from support.site import Site
from zonewall.flows.generation import SIDE
from zonewall.flows.render import render_program
from zonewall.intent.fleet import index_fleet, prepare
from zonewall.pipeline.compile import compile_bridge
from zonewall.placement.model import BridgeKey
from zonewall.policy.load import load_directory
from zonewall.store.numbering_file import read_numbering
from zonewall.store.placement_file import parse_placement
from zonewall.values.names import BridgeName, HostName

PATIENCE_S = 110.0
"""Less than until the audit of a bridge that tells of changes: what is found by that one alone is a fault."""


@dataclass
class Truth:
    """What is so in the lab, whatever the controller believes.

    Attributes:
        links: ends of the cables that carry, as ``(host, port), (host, port)``.
        quarantined: endpoints that somebody isolated.
        databases: those of the hosts are to be connected.
    """

    links: list[tuple[tuple[str, str], tuple[str, str]]] = field(default_factory=list)
    quarantined: set[str] = field(default_factory=set)
    databases: bool = True


def placement(site: Site, truth: Truth, *, midstream: bool) -> dict[str, Any]:
    """Return the placement that is true to the lab, its ports asked of each host's database."""
    numbers = {name: ofports(host) for name, host in site.hosts.items()}
    places = [
        {"endpoint": name.replace("-", "/"), "host": machine.at.short_name, "bridge": "br-int",
         "ofport": numbers[machine.at.short_name][name], "midstream": midstream,
         "state": "quarantined" if name in truth.quarantined else "active"}
        for name, machine in site.machines.items() if machine.at is not None
    ]  # fmt: skip
    ports = [
        {"host": name, "bridge": "br-int", "name": port, "ofport": numbers[name][port]}
        for name, host in site.hosts.items() for port in host.roles["br-int"]
    ]  # fmt: skip
    links = [
        {"a": f"{a}/br-int/{numbers[a][p]}", "b": f"{b}/br-int/{numbers[b][q]}"}
        for (a, p), (b, q) in truth.links
    ]
    return {"placements": places, "ports": ports, "links": links}


def ofports(host: Host) -> dict[str, int]:
    """Return the OpenFlow number of each interface."""
    said = host.vsctl("--format=json", "--columns=name,ofport", "list", "interface")
    return {name: ofport for name, ofport in json.loads(said)["data"] if isinstance(ofport, int)}


def compiled(site: Site, where: Mapping[str, Any], host: str) -> list[str]:
    """Return what ``zonewall compile`` would write, from nothing but documents and numbers that are given."""
    policy = prepare(load_directory(site.directory), read_numbering(site.state / "numbering.json"))
    fleet = index_fleet(policy, parse_placement(where, "the lab"))
    return list(render_program(compile_bridge(fleet, BridgeKey(HostName(host), BridgeName("br-int")))))


def difference(site: Site, truth: Truth, name: str) -> set[str]:
    """Return what a host's bridge holds (``-``) and should not, or (``+``) should and does not.

    A place may or may not be within the time after a move or a restart in which connections are taken up:
    flows that differ whichever it is are wrong.
    """
    host = site.hosts[name]
    found: list[set[str]] = []
    for midstream in (False, True):
        lines = compiled(site, placement(site, truth, midstream=midstream), name)
        flows = site.folder / f"{name}.flows"
        flows.write_text("".join(f"{line}\n" for line in lines if not line.startswith("#")))
        wrong = _flows_differ(host, flows)
        wrong |= _differ(_held(host, "group"), _said(lines, "group"))
        wrong |= _differ(_held(host, "meter"), _said(lines, "meter"))
        if not wrong:
            return set()
        found.append(wrong)
    return found[0] & found[1]


def _flows_differ(host: Host, said: Path) -> set[str]:
    """Return what ovs-ofctl(8) says differs; on which of its sides a bank stands is all the same."""
    lines = [_SIDED.sub(_on_first_side, line) for line in host.dump_flows()]
    twice = {f"twice: {line}" for line, count in Counter(lines).items() if count > 1}
    held = said.with_suffix(".held")
    held.write_text("".join(f"{line}\n" for line in lines))
    done = subprocess.run(
        ["ovs-ofctl", "-O", "OpenFlow15", "diff-flows", str(held), str(said)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stderr
    return {line for line in done.stdout.splitlines() if line} | twice


_SIDED = re.compile(
    r"reg3=(0x[0-9a-f]+)(/0x[0-9a-f]*ffff)?(?=[,\s])|set_field:(0x[0-9a-f]+)(/0x[0-9a-f]*ffff)?->reg3"
)
"""The register whose lower half is a bank, and the highest bit of that the side of it."""


def _on_first_side(found: re.Match[str]) -> str:
    match, match_mask, value, mask = found.groups()
    if match is not None:
        return f"reg3={int(match, 16) & ~SIDE:#x}{match_mask or ''}"
    return f"set_field:{int(value, 16) & ~SIDE:#x}{mask or ''}->reg3"


def _differ(held: set[str], said: set[str]) -> set[str]:
    return {f"-{line}" for line in held - said} | {f"+{line}" for line in said - held}


def _held(host: Host, kind: str) -> set[str]:
    text = host.ofctl("--no-names", f"dump-{kind}s", "br-int")
    if kind == "group":
        return {_canonical(line) for line in text.splitlines() if "group_id=" in line}
    # A meter and its bands are on lines of their own.
    joined = re.sub(r"\n(?=type=)", " ", text)
    return {_canonical(line) for line in joined.splitlines() if line.startswith("meter=")}


def _said(lines: list[str], kind: str) -> set[str]:
    return {_canonical(line.partition(" ")[2]) for line in lines if line.startswith(f"#{kind} ")}


def _canonical(text: str) -> str:
    """Return a group or a meter as words in one order, whoever wrote it."""
    text = text.replace("band=", " ").replace("bands=", " ")
    return " ".join(sorted(word for word in re.split(r"[\s,]+", text) if word))


def exact(site: Site, truth: Truth, patience_s: float = PATIENCE_S) -> Status:
    """Wait until every bridge holds exactly what it should, and nothing is wrong with the controller."""
    deadline = time.monotonic() + patience_s
    wrong: dict[str, Any] = {}
    while time.monotonic() < deadline:
        status = site.status()
        wrong = unsettled(site, truth, status)
        if not wrong:
            wrong = {name: some for name in site.hosts if (some := difference(site, truth, name))}
        if not wrong:
            return status
        time.sleep(0.1)
    shown = {name: sorted(some)[:12] if isinstance(some, set) else some for name, some in wrong.items()}
    said = f"{truth}\n{json.dumps(site.status())[:6000]}\n{site.log()[-6000:]}"
    raise AssertionError(f"not so after {patience_s:.0f} s: {json.dumps(shown, indent=1)}\n{said}")


def unsettled(site: Site, truth: Truth, status: Status) -> dict[str, Any]:
    """Return what the controller itself says is not as it should be."""
    if not status:
        return {"controller": "does not answer"}
    wrong: dict[str, Any] = {}
    for one in status["bridges"]:
        if one["state"] != "in-force" or one["pending"] or one["set_aside"]:
            wrong[one["bridge"]] = {key: one.get(key) for key in ("state", "pending", "error", "set_aside")}
    for one in status["hosts"]:
        if truth.databases and (one["database"] != "connected" or one["problem"]):
            wrong[one["host"]] = one
    if len(status["links"]) != len(truth.links):
        wrong["links"] = status["links"]
    places = {one["endpoint"].replace("/", "-"): one["places"] for one in status["endpoints"]}
    for name, machine in site.machines.items():
        wanted = [] if machine.at is None else ["quarantined" if name in truth.quarantined else "active"]
        if [place["state"] for place in places.get(name, [])] != wanted:
            wrong[name] = places.get(name, [])
    for key in ("faults", "not_written"):
        if status[key]:
            wrong[key] = status[key]
    said = status["configuration"]
    if said["behind"] or said["directory"] != str(site.directory) or said["trial"]:
        wrong["configuration"] = {key: said[key] for key in ("behind", "directory", "trial")}
    if status["journal"]["error"] or status["journal"]["broken"] or status["journal"]["lost"]:
        wrong["journal"] = status["journal"]
    return wrong
