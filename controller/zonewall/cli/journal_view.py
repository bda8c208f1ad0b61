"""What the verbs that read the journal share: where it is, and how a record is written down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zonewall.cli.times import from_us
from zonewall.journal.keeping import JournalReader
from zonewall.journal.record import Kind, Record
from zonewall.store.options import JOURNAL_FILE, read_options
from zonewall.store.sql_journal import SqlJournal


def open_journal(options: Path | None, state: Path | None, journal: Path | None) -> JournalReader:
    """Return the journal of a state folder, or of a file.

    Raises:
        ZonewallError: there is none, or the options cannot be read.
    """
    return SqlJournal(journal or read_options(options, {"state": state}).state / JOURNAL_FILE)


def as_json(record: Record) -> str:
    """Return a record as one line of JSON, with all that its digest covers."""
    entry = record.entry
    document = {
        "record": record.sequence,
        "time": from_us(entry.at_us),
        "kind": entry.word,
        "tenant": entry.tenant or None,
        "endpoint": entry.endpoint or None,
        "host": entry.host or None,
        "cause": entry.cause,
        "details": entry.said,
        "previous": record.previous,
        "digest": record.digest,
    }
    return json.dumps(document)


def as_text(record: Record) -> str:
    """Return a record as one line for a person."""
    entry = record.entry
    said = entry.said
    subject = entry.endpoint or entry.host or "-"
    return f"{from_us(entry.at_us)} {record.sequence:>7} {entry.word:<12} {subject:<20} " + (
        f"{_what(entry.kind, said, entry.host)} [{_plain(entry.cause)}]".strip()
    )


def place_text(place: Mapping[str, Any]) -> str:
    """Return a place of an endpoint."""
    where = "/".join(_plain(place.get(key)) for key in ("host", "bridge", "port"))
    return f"{where} (ofport {_plain(place.get('ofport'))}) {_plain(place.get('state'))}"


def _what(kind: Kind, said: Mapping[str, Any], host: str) -> str:
    if kind in (Kind.PLACED, Kind.REMOVED, Kind.MOVED, Kind.UNKNOWN_PORT):
        where = f"{host}/{_plain(said.get('bridge'))}/{_plain(said.get('port'))}"
        state = next((one.get("state") for one in said.get("places", []) if _is(one, host, said)), "")
        return " ".join(filter(None, (where, _plain(state), _plain(said.get("reason")))))
    if kind is Kind.POLICY:
        return f"configuration {str(said.get('configuration', ''))[:12]}, {said.get('endpoints')} endpoints"
    between = ""
    if isinstance(said.get("source"), dict) and isinstance(said.get("destination"), dict):
        between = f"{_plain(said.get('protocol'))} {_end(said['source'])} -> {_end(said['destination'])} "
        said = {key: value for key, value in said.items() if key not in _CONNECTION}
    rest = " ".join(f"{key}={_plain(value)}" for key, value in said.items() if key not in _STANDING)
    return between + rest


_STANDING = ("places", "quarantine")
_CONNECTION = ("protocol", "source", "destination", "row", "began_us")


def _end(said: Mapping[str, Any]) -> str:
    """Return one end of a connection: who, and by which address and port."""
    service = "" if said.get("service") is None else f" port {_plain(said['service'])}"
    name = said.get("endpoint") or said.get("tenant")
    return f"{_plain(name)} ({_plain(said.get('address'))}{service})".strip()


def _is(place: Any, host: str, said: Mapping[str, Any]) -> bool:
    return isinstance(place, dict) and (place.get("host"), place.get("port")) == (host, said.get("port"))


def _plain(value: Any) -> str:
    """Return a value without what could trick a terminal: it may come from anywhere."""
    if value in (None, "", [], {}):
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else "?" for letter in text)
