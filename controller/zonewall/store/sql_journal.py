"""The journal in SQLite: one file that is only added to.

Write-ahead log with full synchronisation: what a transaction has committed is on disk, whatever ends the
process or the machine. Triggers refuse every change of what is written, so that it takes intent to do so.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.sqlite import insert as insert_or
from sqlalchemy.exc import DatabaseError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import Select

from zonewall.errors import JournalDamagedError, JournalError
from zonewall.journal.keeping import Query
from zonewall.journal.record import Entry, Head, Kind, Record, chain

BUSY_MS = 5000
PAGE_RECORDS = 2000
_DAMAGE = ("malformed", "not a database", "no such table", "no such column")

_METADATA = MetaData()
RECORDS = Table(
    "records",
    _METADATA,
    Column("sequence", Integer, primary_key=True),
    Column("at_us", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("tenant", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("host", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("details", String, nullable=False),
    Column("previous", String, nullable=False),
    Column("digest", String, nullable=False),
    Index("records_at", "at_us"),
    Index("records_kind", "kind", "sequence"),
    Index("records_tenant", "tenant", "sequence"),
    Index("records_endpoint", "endpoint", "sequence"),
    Index("records_host", "host", "sequence"),
)
TEXTS = Table(
    "texts",
    _METADATA,
    Column("digest", String, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
_ONLY_ADD = [
    f"CREATE TRIGGER IF NOT EXISTS {table}_{act} BEFORE {act} ON {table} "
    "BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END"
    for table in ("records", "texts")
    for act in ("UPDATE", "DELETE")
]


class SqlJournal:
    """A journal in one file; a connection lasts as long as one question or one batch."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        """Open ``path``, and make it where it is not there and is to be written.

        Raises:
            JournalDamagedError: it is there and no journal.
            JournalError: it cannot be opened.
        """
        self.path = path
        if not writable and not path.is_file():
            raise JournalError(f"{path}: there is no journal; say the controller's state folder with --state")
        self._engine = _engine(path, writable)
        if writable:
            with self._connected(write=True) as connection:
                _METADATA.create_all(connection)
                for statement in _ONLY_ADD:
                    connection.execute(text(statement))

    def head(self) -> Head:
        """Return the end of the chain."""
        with self._connected() as connection:
            return _head(connection)

    def select(self, query: Query) -> Iterator[Record]:
        """Yield the records that are asked for; read page by page, so that a journal may be large."""
        left = query.most
        after, before = self._bounds(query)
        while left is None or left > 0:
            page = PAGE_RECORDS if left is None else min(left, PAGE_RECORDS)
            statement = _statement(query, after, before).limit(page)
            with self._connected() as connection:
                rows = connection.execute(statement).all()
            yield from map(_record, rows)
            if len(rows) < page:
                return
            left = None if left is None else left - len(rows)
            if query.newest_first:
                before = rows[-1].sequence
            else:
                after = rows[-1].sequence

    def _bounds(self, query: Query) -> tuple[int, int | None]:
        """Return numbers that all records of the time asked for lie between, where no other index helps."""
        if query.endpoint or query.tenant or query.host or query.kinds:
            return query.after, None
        if query.since_us is None and query.until_us is None:
            return query.after, None
        # Both ends in one question: the index on time is read between them, and nowhere else.
        bounds = _in_time(select(func.min(RECORDS.c.sequence), func.max(RECORDS.c.sequence)), query)
        with self._connected() as connection:
            first, last = connection.execute(bounds).one()
        return max(query.after, (first or 0) - 1), (last or 0) + 1

    def text(self, digest: str) -> bytes | None:
        """Return a document by its digest; None where it is not kept, or damaged."""
        with self._connected() as connection:
            found = connection.execute(select(TEXTS.c.content).where(TEXTS.c.digest == digest)).scalar()
        try:
            return None if found is None else zlib.decompress(found)
        except zlib.error:
            return None

    def present(self) -> frozenset[str]:
        """Return the endpoints that were created and not deleted since."""
        kinds = RECORDS.c.kind.in_([Kind.CREATED.value, Kind.DELETED.value])
        last = select(func.max(RECORDS.c.sequence)).where(kinds).group_by(RECORDS.c.endpoint)
        wanted = select(RECORDS.c.endpoint).where(
            RECORDS.c.sequence.in_(last), RECORDS.c.kind == Kind.CREATED.value
        )
        with self._connected() as connection:
            return frozenset(connection.execute(wanted).scalars())

    def append(
        self,
        entries: Sequence[Entry],
        texts: Mapping[str, bytes],
        follow: Callable[[Head], Sequence[Entry]] = lambda head: (),
    ) -> Head:
        """Keep entries and documents, durably and all or none, and return the new end of the chain.

        Args:
            follow: told the end that the file has; what it returns goes before the entries.

        Raises:
            JournalError: they are not kept.
        """
        with self._connected(write=True) as connection:
            head = _head(connection)
            records = list(chain(head, [*follow(head), *entries]))
            if records:
                connection.execute(insert(RECORDS), [_row(record) for record in records])
                head = Head(records[-1].sequence, records[-1].digest)
            if texts:
                rows = [{"digest": key, "content": zlib.compress(value)} for key, value in texts.items()]
                connection.execute(insert_or(TEXTS).on_conflict_do_nothing(), rows)
        return head

    @contextmanager
    def _connected(self, *, write: bool = False) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
                yield connection
                connection.exec_driver_sql("COMMIT")
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            damaged = isinstance(error, DatabaseError) and any(word in reason for word in _DAMAGE)
            raise (JournalDamagedError if damaged else JournalError)(f"{self.path}: {reason}") from error


def _engine(path: Path, writable: bool) -> Engine:
    mode = "rwc" if writable else "ro"
    engine = create_engine(
        f"sqlite:///file:{path}?mode={mode}&uri=true",
        poolclass=None if writable else NullPool,
        connect_args={"check_same_thread": False, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        if writable:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

    return engine


def _head(connection: Connection) -> Head:
    last = select(RECORDS.c.sequence, RECORDS.c.digest).order_by(RECORDS.c.sequence.desc()).limit(1)
    row = connection.execute(last).first()
    return Head() if row is None else Head(row.sequence, row.digest)


def _statement(query: Query, after: int, before: int | None) -> Select[Any]:
    column = RECORDS.c
    statement = select(RECORDS).where(column.sequence > after)
    if before is not None:
        statement = statement.where(column.sequence < before)
    for value, wanted in (
        (column.endpoint, query.endpoint),
        (column.tenant, query.tenant),
        (column.host, query.host),
    ):
        if wanted is not None:
            statement = statement.where(value == wanted)
    if query.kinds:
        statement = statement.where(column.kind.in_(sorted(kind.value for kind in query.kinds)))
    return _in_time(statement, query).order_by(
        column.sequence.desc() if query.newest_first else column.sequence
    )


def _in_time(statement: Select[Any], query: Query) -> Select[Any]:
    if query.since_us is not None:
        statement = statement.where(RECORDS.c.at_us >= query.since_us)
    if query.until_us is not None:
        statement = statement.where(RECORDS.c.at_us <= query.until_us)
    return statement


def _row(record: Record) -> dict[str, Any]:
    entry = record.entry
    return {
        "sequence": record.sequence,
        "at_us": entry.at_us,
        "kind": entry.kind.value,
        "tenant": entry.tenant,
        "endpoint": entry.endpoint,
        "host": entry.host,
        "cause": entry.cause,
        "details": entry.details,
        "previous": record.previous,
        "digest": record.digest,
    }


def _record(row: Any) -> Record:
    kind = Kind(row.kind) if row.kind in Kind._value2member_map_ else Kind.GAP
    entry = Entry(row.at_us, kind, row.cause, row.tenant, row.endpoint, row.host, row.details)
    return Record(row.sequence, entry, row.previous, row.digest)
