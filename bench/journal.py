"""The journal: how fast records are kept, and how long questions take when there are a million of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Figure, Options, Stopwatch
from zonewall.journal.answers import standing_at
from zonewall.journal.keeping import Query
from zonewall.journal.record import Entry, Head, Kind, Record, breaks, canonical
from zonewall.store.journal_writer import JournalWriter
from zonewall.store.sql_journal import SqlJournal

RECORDS, FEWER = 1_000_000, 100_000
ENDPOINTS, HOSTS = 5_000, 50
FIRST_US = 1_700_000_000_000_000
BURST = 1_000
WAITING = 50_000


def figures(options: Options) -> Iterator[Figure]:
    """Yield the figures of this group."""
    records = FEWER if options.quick else RECORDS
    with tempfile.TemporaryDirectory(prefix="zonewall-bench-") as folder:
        path = Path(folder) / "journal.db"
        writer = JournalWriter(path)
        writer.start()
        try:
            yield _acknowledged(writer, options)
            yield _rate(writer, records)
        finally:
            writer.stop()
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        yield Figure(f"journal/{records:,} records: size", "bytes a record", (size / records,))
        yield from _questions(SqlJournal(path), records, options)


def _entry(number: int) -> Entry:
    endpoint = f"tenant{number % 50}/vm{number % ENDPOINTS}"
    host = f"hv{number // ENDPOINTS % HOSTS}"
    place = {"host": host, "bridge": "br-int", "port": "tap0", "ofport": 7, "state": "active"}
    details = {"bridge": "br-int", "port": "tap0", "ofport": 7, "state": "active", "places": [place]}
    return Entry(
        FIRST_US + number * 1000,
        Kind.MOVED if number % 3 else Kind.PLACED,
        f"database of {host}",
        endpoint.partition("/")[0],
        endpoint,
        host,
        canonical(details),
    )


def _acknowledged(writer: JournalWriter, options: Options) -> Figure:
    """Return how long one record takes until it is on disk."""
    watch = Stopwatch()
    for number in range(options.runs * 10):
        entry = _entry(number)

        def keep(entry: Entry = entry) -> None:
            writer.put([entry])
            writer.durable().result(10)

        watch.time(keep)
    return watch.figure("journal/one record acknowledged", "ms", note="the disk's own synchronisation in it")


def _rate(writer: JournalWriter, records: int) -> Figure:
    """Return records kept in a second, put as fast as they are taken."""
    start = time.perf_counter()
    for first in range(0, records, BURST):
        writer.put([_entry(number) for number in range(first, first + BURST)])
        while writer.status.waiting > WAITING:
            time.sleep(0.005)
    writer.durable().result(600)
    return Figure(
        "journal/records kept",
        "records/s",
        (records / (time.perf_counter() - start),),
        note="at least 1,000 promised",
    )


def _questions(journal: SqlJournal, records: int, options: Options) -> Iterator[Figure]:
    endpoint, middle = "tenant7/vm1007", FIRST_US + records // 2 * 1000
    asked = {
        "where was it": lambda: standing_at(journal, endpoint, middle),
        "history of one": lambda: list(journal.select(Query(endpoint=endpoint))),
        "100 newest of a host": lambda: list(journal.select(Query(host="hv3", newest_first=True, most=100))),
        "one second of all": lambda: list(
            journal.select(Query(since_us=middle, until_us=middle + 1_000_000))
        ),
    }
    for name, ask in asked.items():
        watch = Stopwatch()
        for _ in range(options.runs):
            watch.time(ask)
        yield watch.figure(f"journal/{records:,} records: {name}", "ms", target=100.0)
    (before,) = journal.select(Query(after=journal.head().sequence - FEWER, most=1))
    watch = Stopwatch()
    for _ in range(options.slow()):
        watch.time(lambda: _verify(journal, before))
    yield watch.figure(f"journal/{FEWER:,} records verified")


def _verify(journal: SqlJournal, before: Record) -> None:
    head = Head(before.sequence, before.digest)
    assert not list(breaks(head, journal.select(Query(after=head.sequence))))
