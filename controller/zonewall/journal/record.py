"""One record of the journal, and the chain that they make.

A record's digest is SHA-256 over the canonical JSON of all that it says, its number and the digest of the
record before it. Whoever changes, removes or inserts one has to make every later digest anew; the last one is
shown by ``zonewall status`` and logged, so that it can be kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

FORM = 1
"""Goes into every digest; another form of record would have another number."""

ORIGIN = "0" * 64
"""What stands for the digest before the first record."""


class Kind(Enum):
    """What a record tells."""

    STARTED = "started"  # a controller begins to write
    STOPPED = "stopped"  # it was stopped in order
    CREATED = "created"  # an endpoint is in the inventory from now on
    DELETED = "deleted"  # no longer
    PLACED = "placed"  # a port of an endpoint is there, or counts for more or less than before
    REMOVED = "removed"  # a port of an endpoint has gone
    MOVED = "moved"  # traffic for the endpoint is delivered elsewhere
    ADDRESS = "address"  # an address was learnt, or let go
    QUARANTINED = "quarantined"
    RELEASED = "released"
    DISBELIEVED = "disbelieved"  # announcements that changed nothing, counted
    UNKNOWN_PORT = "unknown-port"  # a port that nothing covers
    HOST = "host"  # a host is heard, or no longer
    POLICY = "policy"  # another configuration is in force
    INTRUDED = "mirror-target-sent"  # a port that should only receive has sent
    ALERT = "alert"  # an IDS has told something that a response is about
    CONNECTION = "connection"  # a connection of a logged rule began or ended
    CUT = "cut"  # a connection that had been allowed is refused from now on
    DENIED = "denied"  # attempts that a logged rule refused, counted
    SERVICE_LEG = "service-leg"  # an appliance of a service function went away or came back
    ADMIN = "admin"  # somebody asked for something
    GAP = "gap"  # records are missing, or the chain was found broken


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to be recorded.

    Attributes:
        at_us: when, in microseconds since 1970, UTC.
        cause: who or what brought it about, for a person.
        tenant, endpoint, host: what it is about; empty where it is about no such thing.
        details: canonical JSON of an object; see ``canonical``.
        written: the kind's word where it is none that this version knows: another version wrote it.
    """

    at_us: int
    kind: Kind
    cause: str
    tenant: str = ""
    endpoint: str = ""
    host: str = ""
    details: str = "{}"
    written: str = ""

    @property
    def word(self) -> str:
        """Return what stands for the kind."""
        return self.written or self.kind.value

    @property
    def said(self) -> dict[str, Any]:
        """Return the details; {} where they are no object."""
        try:
            found = json.loads(self.details)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Record:
    """An entry in its place in the chain."""

    sequence: int
    entry: Entry
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the number and digest of its last record."""

    sequence: int = 0
    digest: str = ORIGIN

    def __str__(self) -> str:
        """Return ``NUMBER:DIGEST``, as ``journal verify --expect`` takes it."""
        return f"{self.sequence}:{self.digest}"


def canonical(details: Mapping[str, Any]) -> str:
    """Return an object as JSON that is the same for the same values."""
    return json.dumps(details, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_of(sequence: int, previous: str, entry: Entry) -> str:
    """Return the digest of a record: 64 hexadecimal digits."""
    said = [FORM, sequence, previous, entry.at_us, entry.word, entry.cause, entry.tenant]
    said += [entry.endpoint, entry.host, entry.details]
    text = json.dumps(said, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def chain(head: Head, entries: Iterable[Entry]) -> Iterator[Record]:
    """Yield the records that follow a head."""
    sequence, previous = head.sequence, head.digest
    for entry in entries:
        sequence += 1
        digest = digest_of(sequence, previous, entry)
        yield Record(sequence, entry, previous, digest)
        previous = digest


@dataclass(frozen=True, slots=True)
class Break:
    """A place where the chain does not hold.

    Attributes:
        sequence: the record that does not fit.
    """

    sequence: int
    reason: str


def breaks(head: Head, records: Iterable[Record]) -> Iterator[Break]:
    """Yield each place where records do not follow ``head`` and each other; what follows is judged anew."""
    for record in records:
        if record.sequence != head.sequence + 1:
            missing = f"record {head.sequence + 1}" if head.sequence + 2 == record.sequence else "records"
            yield Break(record.sequence, f"{missing} between {head.sequence} and {record.sequence} missing")
        elif record.previous != head.digest:
            yield Break(record.sequence, f"it does not follow record {head.sequence} as that is now")
        if digest_of(record.sequence, record.previous, record.entry) != record.digest:
            yield Break(record.sequence, "it was changed: its digest is another")
        head = Head(record.sequence, record.digest)
