"""What an auditor asks: where was it, since when, under which policy; read from records, nothing else."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zonewall.errors import JournalError
from zonewall.journal.keeping import JournalReader, Query, text_digest
from zonewall.journal.placement_entries import WITH_PLACES
from zonewall.journal.record import Kind, Record
from zonewall.placement.learnt import AddressBook, Learnt, Source, laid_over
from zonewall.policy.load import load_texts
from zonewall.policy.model import Configuration
from zonewall.values.names import EndpointKey

DELIVERS = ("active", "quarantined")
"""States of a place that traffic for the endpoint is delivered to."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an endpoint stood at a time.

    Attributes:
        places: each with host, bridge, port, ofport and state, oldest first.
        quarantine: why it was isolated; empty where it was not.
        record: the record that says so; None where the journal knows nothing of it until then.
        since: the record with which it came to the place that it was delivered to; None where it was nowhere.
        silent: a controller was not there to write between ``record`` and the time asked for.
    """

    endpoint: str
    state: str = "unknown"
    places: tuple[Mapping[str, Any], ...] = ()
    quarantine: str = ""
    record: Record | None = None
    since: Record | None = None
    silent: bool = False

    @property
    def place(self) -> Mapping[str, Any] | None:
        """Return the place that traffic was delivered to."""
        return next((one for one in self.places if one.get("state") in DELIVERS), None)


@dataclass(frozen=True, slots=True)
class PolicyThen:
    """The configuration that was in force at a time."""

    record: Record
    configuration: Configuration


def standing_at(journal: JournalReader, endpoint: str, at_us: int) -> Standing:
    """Return where an endpoint was at a time, microseconds since 1970."""
    kinds = frozenset({*WITH_PLACES, Kind.DELETED})
    query = Query(endpoint=endpoint, kinds=kinds, until_us=at_us, newest_first=True)
    history = journal.select(query)
    latest = next(history, None)
    if latest is None:
        return Standing(endpoint)
    if latest.entry.kind is Kind.DELETED:
        return Standing(endpoint, "absent", record=latest)
    said = latest.entry.said
    places = tuple(one for one in said.get("places", []) if isinstance(one, dict))
    found = Standing(endpoint, str(said.get("state", "unknown")), places, said.get("quarantine", ""), latest)
    return Standing(
        endpoint,
        found.state,
        places,
        found.quarantine,
        latest,
        _since(latest, found.place, history) if found.place is not None else None,
        _is_silent(journal, latest, at_us),
    )


def policy_at(journal: JournalReader, at_us: int) -> PolicyThen:
    """Return the configuration that was in force at a time: its documents, and what was learnt until then.

    Raises:
        JournalError: the journal knows none, or its documents are missing or damaged.
    """
    query = Query(kinds=frozenset({Kind.POLICY}), until_us=at_us, newest_first=True, most=1)
    record = next(journal.select(query), None)
    if record is None:
        raise JournalError("the journal has no configuration from that time or before")
    manifest = json.loads(_document(journal, record, str(record.entry.said.get("configuration", ""))))
    texts = {file: _document(journal, record, digest) for file, digest in sorted(manifest.items())}
    result = load_texts(texts)
    if result.configuration is None:
        reason = next((str(finding) for finding in result.findings if finding.is_error), "no reason")
        raise JournalError(f"the configuration of record {record.sequence} cannot be read any more: {reason}")
    return PolicyThen(record, laid_over(result.configuration, addresses_at(journal, at_us)))


def addresses_at(journal: JournalReader, at_us: int) -> AddressBook:
    """Return the addresses that endpoints had learnt at a time."""
    book: dict[tuple[str, str], Learnt] = {}
    for record in journal.select(Query(kinds=frozenset({Kind.ADDRESS}), until_us=at_us)):
        said, endpoint = record.entry.said, record.entry.endpoint
        key = (endpoint, str(said.get("address")))
        book.pop(key, None)
        if said.get("state") != "learnt":
            continue
        try:
            learnt = Learnt(
                EndpointKey(endpoint), ipaddress.ip_address(key[1]), Source(said.get("source", ""))
            )
        except ValueError:
            continue
        book[key] = learnt
    return AddressBook.of(book.values())


def missing_texts(journal: JournalReader, record: Record) -> Iterator[str]:
    """Yield what is wrong with the documents of a policy record: missing, or not what the digest says."""
    try:
        digest = str(record.entry.said.get("configuration", ""))
        manifest = json.loads(_document(journal, record, digest))
        for one in manifest.values():
            _document(journal, record, one)
    except (JournalError, ValueError, AttributeError, TypeError, RecursionError) as error:
        yield str(error)


def _document(journal: JournalReader, record: Record, digest: str) -> bytes:
    content = journal.text(digest)
    if content is None or text_digest(content) != digest:
        raise JournalError(f"a document of record {record.sequence} is missing or was changed: {digest[:16]}")
    return content


def _since(latest: Record, place: Mapping[str, Any], older: Iterator[Record]) -> Record:
    """Return the first of the records that have the endpoint at a place without interruption."""
    first = latest
    for record in older:
        places = record.entry.said.get("places", [])
        if not any(_same(one, place) and one.get("state") in DELIVERS for one in places):
            break
        first = record
    return first


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in ("host", "bridge", "port"))


def _is_silent(journal: JournalReader, latest: Record, at_us: int) -> bool:
    """Say whether the last controller that wrote before a time had stopped by then."""
    query = Query(kinds=frozenset({Kind.STARTED, Kind.STOPPED}), until_us=at_us, newest_first=True, most=1)
    turn = next(journal.select(query), None)
    return turn is not None and turn.entry.kind is Kind.STOPPED and turn.sequence > latest.sequence
