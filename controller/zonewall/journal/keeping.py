"""What keeps a journal: the one interface behind which a file, or a store that a fleet shares, may stand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from zonewall.journal.record import Entry, Head, Kind, Record


@dataclass(frozen=True, slots=True)
class Query:
    """Which records are asked for; None or an empty set: whatever it is.

    Attributes:
        since_us, until_us: from then on, and up to and with then; microseconds since 1970, UTC.
        after: only records with a higher number.
        newest_first: in falling order; with ``most`` that many of the newest.
    """

    endpoint: str | None = None
    tenant: str | None = None
    host: str | None = None
    kinds: frozenset[Kind] = frozenset()
    since_us: int | None = None
    until_us: int | None = None
    after: int = 0
    newest_first: bool = False
    most: int | None = None


class JournalReader(Protocol):
    """What questions are answered from."""

    def head(self) -> Head:
        """Return the end of the chain."""

    def select(self, query: Query) -> Iterator[Record]:
        """Yield the records that are asked for, in order of their numbers."""

    def text(self, digest: str) -> bytes | None:
        """Return a document that a record names by its digest; None where it is not kept."""


class JournalSink(Protocol):
    """Where whoever acts puts what has happened; never waits and never fails."""

    def put(self, entries: Iterable[Entry], texts: Mapping[str, bytes] | None = None) -> None:
        """Have entries kept as soon as that can be done."""


class Nowhere:
    """A sink for where no journal is kept."""

    def put(self, entries: Iterable[Entry], texts: Mapping[str, bytes] | None = None) -> None:
        """Let them go."""


def text_digest(content: bytes) -> str:
    """Return what a document is known by: SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
