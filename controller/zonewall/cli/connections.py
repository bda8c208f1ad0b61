"""Connections that a plan is asked about: recorded in a file, or live on the hosts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from zonewall.cli.appctl import run_appctl
from zonewall.cli.verb_check import MAX_LINE_CHARACTERS, parse_probe
from zonewall.errors import ZonewallError
from zonewall.flows.live_connections import read_connections
from zonewall.intent.fleet import Policy
from zonewall.intent.semantics import Probe

KEYS = frozenset({"tenant", "src", "dst", "proto", "sport", "dport", "icmp", "src_ip", "dst_ip"})
"""What of a record says which connection it is; all else is passed over."""


def recorded(path: Path) -> list[Probe]:
    """Return the connections of a file of JSON Lines.

    Raises:
        ZonewallError: the file cannot be read, or a line is no connection.
    """
    now = datetime.now(UTC)
    found = []
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    found.append(_record(line, now, f"{path}:{number}"))
    except OSError as error:
        raise ZonewallError(f"cannot read the connections in {path}: {error.strerror}") from error
    return found


def _record(line: str, now: datetime, where: str) -> Probe:
    try:
        record = json.loads(line[:MAX_LINE_CHARACTERS])
        if not isinstance(record, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError):
        raise ZonewallError(f"{where}: no JSON object on one line; see docs/commands.md") from None
    probe = parse_probe(json.dumps({key: record[key] for key in record if key in KEYS}), now)
    if not isinstance(probe, Probe):
        raise ZonewallError(f"{where}: {probe.message}")
    return probe


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
