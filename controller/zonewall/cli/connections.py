"""Connections that a plan is asked about: recorded in a file or in the journal, or live on the hosts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zonewall.cli.appctl import run_appctl
from zonewall.cli.verb_check import MAX_LINE_CHARACTERS, parse_probe
from zonewall.errors import ZonewallError
from zonewall.flows.live_connections import read_connections
from zonewall.intent.fleet import Policy
from zonewall.intent.semantics import Probe
from zonewall.journal.keeping import JournalReader, Query
from zonewall.journal.record import Kind

KEYS = frozenset({"tenant", "src", "dst", "proto", "sport", "dport", "icmp", "src_ip", "dst_ip"})
"""What of a record says which connection it is; all else is passed over."""

MOST_RECORDS = 100_000
"""So many of the journal's newest ``connection`` records are read."""


@dataclass(frozen=True, slots=True)
class Known:
    """Connections that somebody knows of, each once.

    Attributes:
        source: who: ``file``, ``journal`` or ``hosts``.
        name: which file, or the command that asks the hosts.
        found: the connections; whether they are open now, None where that is not said.
        unclear: records that say too little to tell which connection it was.
        complete: there was no more to be read.
    """

    source: str
    name: str
    found: dict[Probe, bool | None] = field(default_factory=dict)
    unclear: int = 0
    complete: bool = True

    def to_plain(self) -> dict[str, Any]:
        """Return what a plan says of them (docs/commands.md)."""
        return {
            "source": self.source,
            "name": self.name,
            "connections": len(self.found),
            "open": sum(one is True for one in self.found.values()),
            "unclear": self.unclear,
            "complete": self.complete,
        }


def recorded(path: Path) -> Known:
    """Return the connections of a file of JSON Lines: probes, or what the journal printed.

    Of the journal's lines only its ``connection`` records count (docs/services.md).

    Raises:
        ZonewallError: the file cannot be read, or a line is no connection.
    """
    now = datetime.now(UTC)
    known = Known("file", str(path))
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, 1):
                probe = _record(line, now, f"{path}:{number}") if line.strip() else None
                if probe is not None:
                    known.found.setdefault(probe)
    except OSError as error:
        raise ZonewallError(f"cannot read the connections in {path}: {error.strerror}") from error
    return known


def journalled(journal: JournalReader, name: str, since_us: int) -> Known:
    """Return the connections that a journal has recorded: those that are open, and those since a time.

    Args:
        journal: read only.
        name: which file it is.
        since_us: connections that ended before are passed over; microseconds since 1970.

    Raises:
        JournalError: it cannot be read.
    """
    now = datetime.now(UTC)
    query = Query(kinds=frozenset({Kind.CONNECTION}), newest_first=True, most=MOST_RECORDS)
    found: dict[Probe, bool | None] = {}
    ended: set[tuple[object, ...]] = set()
    count = unclear = 0
    for record in journal.select(query):
        count += 1
        said = record.entry.said
        key = (record.entry.host, said.get("bridge"), said.get("row"), said.get("began_us"))
        is_end = said.get("event") == "end"
        if is_end:
            ended.add(key)
        is_open = not is_end and key not in ended
        if not is_open and record.entry.at_us < since_us:
            continue
        probe = parse_probe(json.dumps(_journalled(said)), now)
        if not isinstance(probe, Probe):
            unclear += 1
            continue
        found[probe] = found.get(probe, False) or is_open
    return Known("journal", name, found, unclear, count < MOST_RECORDS)


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


def live(command: str, policy: Policy) -> Known:
    """Return what every host's datapath tracks.

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
    return Known("hosts", command, dict.fromkeys(found.values(), True))
