"""Records for a journal's file, and a writer of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zonewall.journal.record import Entry, Kind, canonical
from zonewall.store.journal_writer import JournalWriter


def entry(at_us: int, endpoint: str = "acme/web1", kind: Kind = Kind.PLACED, host: str = "hv1") -> Entry:
    """Return a record about an endpoint."""
    tenant = endpoint.partition("/")[0]
    return Entry(at_us, kind, "test", tenant, endpoint, host, canonical({"at": at_us}))


@contextmanager
def writing(path: Path) -> Iterator[JournalWriter]:
    """A writer of a journal, until the end of the block, when all is written that can be."""
    writer = JournalWriter(path)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()
