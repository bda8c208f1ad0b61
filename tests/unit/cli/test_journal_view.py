"""How records are written down for a person."""

from __future__ import annotations

from typing import Any

from zonewall.cli.journal_view import as_text
from zonewall.journal.record import Entry, Kind, Record, canonical

ENDS = {
    "source": {"address": "10.0.0.1", "endpoint": "acme/web", "service": 43000, "zones": ["web"]},
    "destination": {"address": "192.0.2.7", "tenant": "acme", "service": 443},
}


def line(kind: Kind, **details: Any) -> str:
    entry = Entry(1_000_000, kind, "rule acme/t/app", "acme", "acme/web", "hv1", canonical(details))
    return as_text(Record(7, entry, "0" * 64, "1" * 64))


def test_a_connection_is_told_by_its_ends() -> None:
    told = line(Kind.CUT, protocol="tcp", rule="acme/t/app", by="acme/t/no", **ENDS)

    assert (
        "cut          acme/web             tcp acme/web (10.0.0.1 port 43000) -> acme (192.0.2.7 port 443) "
        in told
    )
    assert told.endswith("by=acme/t/no rule=acme/t/app [rule acme/t/app]")


def test_what_only_the_journal_needs_is_left_to_json() -> None:
    told = line(Kind.CONNECTION, protocol="icmp", row="00ff", began_us=1, event="start", **ENDS)

    assert "row" not in told
    assert "event=start" in told


def test_nothing_in_a_record_reaches_the_terminal_as_a_command() -> None:
    hostile = {"source": {"address": "\x1b[2J", "endpoint": "a\r\nb"}, "destination": {}}

    assert line(Kind.CUT, protocol="\x07", **hostile).isprintable()
