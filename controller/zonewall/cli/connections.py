"""Connections that a plan is asked about: recorded in a file, or live on the hosts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zonewall.cli.appctl import run_appctl
from zonewall.cli.verb_check import MAX_LINE_CHARACTERS, parse_probe
from zonewall.errors import ZonewallError
from zonewall.flows.live_connections import read_connections
from zonewall.intent.fleet import Policy
from zonewall.intent.semantics import Probe
from zonewall.journal.record import Kind

KEYS = frozenset({"tenant", "src", "dst", "proto", "sport", "dport", "icmp", "src_ip", "dst_ip"})
"""What of a record says which connection it is; all else is passed over."""


def recorded(path: Path) -> list[Probe]:
    """Return the connections of a file of JSON Lines, each once: probes, or what the journal printed.

    Of the journal's lines only its ``connection`` records count (docs/services.md).

    Raises:
        ZonewallError: the file cannot be read, or a line is no connection.
    """
    now = datetime.now(UTC)
    found: dict[Probe, None] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, 1):
                probe = _record(line, now, f"{path}:{number}") if line.strip() else None
                if probe is not None:
                    found.setdefault(probe)
    except OSError as error:
        raise ZonewallError(f"cannot read the connections in {path}: {error.strerror}") from error
    return list(found)


def _record(line: str, now: datetime, where: str) -> Probe | None:
    try:
        record = json.loads(line[:MAX_LINE_CHARACTERS])
        if not isinstance(record, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError):
        raise ZonewallError(f"{where}: no JSON object on one line; see docs/commands.md") from None
    if "kind" in record and "details" in record:
        if record["kind"] != Kind.CONNECTION.value:
            return None
        record = _journalled(record["details"])
    probe = parse_probe(json.dumps({key: record[key] for key in record if key in KEYS}), now)
    if not isinstance(probe, Probe):
        raise ZonewallError(f"{where}: {probe.message}")
    return probe


def _journalled(details: Any) -> dict[str, Any]:
    """Return what a ``connection`` record says of its connection; of ICMP it knows no type: an echo."""
    said = details if isinstance(details, dict) else {}
    word = str(said.get("protocol"))
    made: dict[str, Any] = {"proto": _AS_PROBES_SAY.get(word, word)}
    if made["proto"] in _ECHO:
        made["icmp"] = _ECHO[made["proto"]]
    elif word.isdecimal():
        made["proto"] = int(word)
    for side, name, port in (("source", "src", "sport"), ("destination", "dst", "dport")):
        end = said.get(side)
        end = end if isinstance(end, dict) else {}
        made[name] = end.get("endpoint", end.get("address"))
        if "endpoint" in end:
            made[f"{name}_ip"] = end.get("address")
        if "service" in end:
            made[port] = end["service"]
        made.setdefault("tenant", end.get("tenant"))
    return {key: value for key, value in made.items() if value is not None}


_AS_PROBES_SAY: dict[str, str | int] = {"icmp6": "icmpv6", "gre": 47, "esp": 50}
_ECHO = {"icmp": [8, 0], "icmpv6": [128, 0]}


def live(command: str, policy: Policy) -> list[Probe]:
    """Return what every host's datapath tracks, each connection once.

    Raises:
        ZonewallError: a host cannot be asked.
    """
    found: dict[tuple[object, ...], Probe] = {}
    for host in policy.configuration.inventory.hosts.values():
        text = run_appctl(command, host, "", "dpctl/dump-conntrack")
        for tracked in read_connections(text, policy):
            one = tracked.probe
            key = (
                one.source, one.destination, one.source_ip, one.destination_ip, one.protocol,
                one.source_port, one.destination_port, one.icmp,
            )  # fmt: skip
            found.setdefault(key, one)
    return list(found.values())
