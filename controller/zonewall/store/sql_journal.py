"""The journal in SQLite: one file that is only added to.

Write-ahead log with full synchronisation: what a transaction has committed is on disk, whatever ends the
process or the machine. Triggers refuse every change of what is written, so that it takes intent to do so.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from peewee import (
    BigIntegerField,
    BlobField,
    DatabaseError,
    Expression,
    Model,
    ModelInsert,
    PeeweeException,
    SchemaManager,
    Select,
    SqliteDatabase,
    TextField,
    fn,
)

from zonewall.errors import JournalDamagedError, JournalError, JournalNewerError
from zonewall.journal.keeping import Query
from zonewall.journal.record import Entry, Head, Kind, Record, chain

FORM = 1
"""Of the file; raised when a version before can no longer read it or add to it. SQLite's ``user_version``."""
BUSY_S = 5.0
PAGE_RECORDS = 2000
NO_TIME_US = -1
"""The time of a record that holds none any more; no record was ever made then."""

_UNREADABLE = "Could not decode to UTF-8"
_DAMAGE = ("malformed", "not a database", "no such table", "no such column")


class _Records(Model):
    """The table of records; bound to no database, because several journals are open at once."""

    sequence = BigIntegerField(primary_key=True)
    at_us = BigIntegerField()
    kind = TextField()
    tenant = TextField()
    endpoint = TextField()
    host = TextField()
    cause = TextField()
    details = TextField()
    previous = TextField()
    digest = TextField()

    class Meta:
        table_name = "records"


class _Texts(Model):
    digest = TextField(primary_key=True)
    content = BlobField()

    class Meta:
        table_name = "texts"


_Records.add_index(_Records.index(_Records.at_us, name="records_at"))
for _column in (_Records.kind, _Records.tenant, _Records.endpoint, _Records.host):
    _Records.add_index(_Records.index(_column, _Records.sequence, name=f"records_{_column.name}"))

_ONLY_ADD: Final = [
    f"CREATE TRIGGER IF NOT EXISTS {table}_{act} BEFORE {act} ON {table} "
    "BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END"
    for table in ("records", "texts")
    for act in ("UPDATE", "DELETE")
]
_LAST: Final = _Records.select(_Records.sequence, _Records.digest).order_by(_Records.sequence.desc()).limit(1)


class SqlJournal:
    """A journal in one file; a connection that only reads lasts as long as one question."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        """Open ``path``, and make it where it is not there and is to be written.

        Raises:
            JournalDamagedError: it is there and no journal.
            JournalError: it cannot be opened.
        """
        self.path = path
        if not writable and not path.is_file():
            raise JournalError(f"{path}: there is no journal; say the controller's state folder with --state")
        self._reader = _database(path, "rw" if writable else "ro")
        # One connection, whichever thread appends; it stays open from one transaction to the next.
        pragmas = (("journal_mode", "WAL"), ("synchronous", "FULL"))
        self._writer = _database(path, "rwc", pragmas=pragmas, thread_safe=False)
        if writable:
            with self._writing() as database:
                self._refuse_newer(database)
                for model in (_Records, _Texts):
                    SchemaManager(model, database).create_all()
                for statement in _ONLY_ADD:
                    database.execute_sql(statement)

    def close(self) -> None:
        """Let the file go, so that another can take its name; what was appended is on disk."""
        self._writer.close()

    def head(self) -> Head:
        """Return the end of the chain."""
        return _head(self._asked(_LAST))

    def select(self, query: Query) -> Iterator[Record]:
        """Yield the records that are asked for; read page by page, so that a journal may be large."""
        left = query.most
        after, before = self._bounds(query)
        while left is None or left > 0:
            page = PAGE_RECORDS if left is None else min(left, PAGE_RECORDS)
            rows = self._asked(_selected(query, after, before).limit(page))
            yield from map(_record, rows)
            if len(rows) < page:
                return
            left = None if left is None else left - len(rows)
            if query.newest_first:
                before = rows[-1][0]
            else:
                after = rows[-1][0]

    def _bounds(self, query: Query) -> tuple[int, int | None]:
        """Return numbers that all records of the time asked for lie between, where no other index helps."""
        if query.endpoint or query.tenant or query.host or query.kinds:
            return query.after, None
        if query.since_us is None and query.until_us is None:
            return query.after, None
        # Both ends in one question: the index on time is read between them, and nowhere else.
        ends = _Records.select(fn.MIN(_Records.sequence), fn.MAX(_Records.sequence))
        ((first, last),) = self._asked(ends.where(*_in_time(query)))
        return max(query.after, (first or 0) - 1), (last or 0) + 1

    def text(self, digest: str) -> bytes | None:
        """Return a document by its digest; None where it is not kept, or damaged."""
        found = self._asked(_Texts.select(_Texts.content).where(_Texts.digest == digest))
        try:
            return zlib.decompress(found[0][0]) if found else None
        except (zlib.error, TypeError):
            return None

    def present(self) -> frozenset[str]:
        """Return the endpoints that were created and not deleted since."""
        created, deleted = Kind.CREATED.value, Kind.DELETED.value
        either = _Records.kind.in_([created, deleted])
        last = _Records.select(fn.MAX(_Records.sequence)).where(either).group_by(_Records.endpoint)
        is_there = (_Records.kind == created, _Records.sequence.in_(last))
        rows = self._asked(_Records.select(_Records.endpoint).where(*is_there))
        return frozenset(endpoint for (endpoint,) in rows)

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
        with self._writing() as database:
            head = _head(database.execute(_LAST).fetchall())
            records = list(chain(head, [*follow(head), *entries]))
            if records:
                rows = [_row(record) for record in records]
                _add(database, _Records.insert_many(rows[:1]), rows)
                head = Head(records[-1].sequence, records[-1].digest)
            if texts:
                kept = [(digest, zlib.compress(content)) for digest, content in texts.items()]
                _add(database, _Texts.insert_many(kept[:1]).on_conflict_ignore(), kept)
        return head

    def _asked(self, question: Select) -> list[tuple[Any, ...]]:
        """Return the answer's rows, over a connection that lasts as long."""
        with self._told(), self._reader.connection_context():
            self._refuse_newer(self._reader)
            try:
                rows: list[tuple[Any, ...]] = self._reader.execute(question).fetchall()
            except sqlite3.OperationalError as error:
                if _UNREADABLE not in str(error):
                    raise
                self._reader.connection().text_factory = _readable
                rows = self._reader.execute(question).fetchall()
            return rows

    def _refuse_newer(self, database: SqliteDatabase) -> None:
        """Leave alone what a newer version wrote in another form."""
        (form,) = database.execute_sql("PRAGMA user_version").fetchone()
        if form > FORM:
            known = f"form {form}; this version reads up to {FORM}"
            raise JournalNewerError(f"{self.path}: written by a newer version of zonewall ({known})")

    @contextmanager
    def _writing(self) -> Iterator[SqliteDatabase]:
        """Give a transaction that is kept whole, or not at all; the connection stays for the next one."""
        database = self._writer
        with self._told():
            try:
                database.connect(reuse_if_open=True)
                database.connection().text_factory = _readable
                # Not `atomic`: it rolls back, and what that says would hide what had gone wrong.
                with database.manual_commit():
                    database.begin("IMMEDIATE")
                    yield database
                    database.commit()
            except BaseException:
                with suppress(PeeweeException):
                    self.close()
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what SQLite refuses as an error of the journal; peewee lets some of it through as it is."""
        try:
            yield
        except (PeeweeException, sqlite3.Error) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            of_data = isinstance(error, DatabaseError | sqlite3.DatabaseError)
            damaged = of_data and any(word in reason for word in _DAMAGE)
            raise (JournalDamagedError if damaged else JournalError)(f"{self.path}: {reason}") from error


def _database(path: Path, mode: str, **more: Any) -> SqliteDatabase:
    address = f"file:{quote(str(path))}?mode={mode}"
    return SqliteDatabase(address, uri=True, timeout=BUSY_S, check_same_thread=False, **more)


def _add(database: SqliteDatabase, first: ModelInsert, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add rows by the statement for the first: composing one for thousands takes longer than SQLite."""
    statement, _ = database.get_sql_context().sql(first).query()
    database.cursor().executemany(statement, rows)


def _head(rows: Sequence[tuple[Any, ...]]) -> Head:
    return Head(rows[0][0], _as_text(rows[0][1])) if rows else Head()


def _selected(query: Query, after: int, before: int | None) -> Select:
    conditions = [_Records.sequence > after]
    if before is not None:
        conditions.append(_Records.sequence < before)
    for column, wanted in (
        (_Records.endpoint, query.endpoint),
        (_Records.tenant, query.tenant),
        (_Records.host, query.host),
    ):
        if wanted is not None:
            conditions.append(column == wanted)
    if query.kinds:
        conditions.append(_Records.kind.in_(sorted(kind.value for kind in query.kinds)))
    order = _Records.sequence.desc() if query.newest_first else _Records.sequence.asc()
    return _Records.select().where(*conditions, *_in_time(query)).order_by(order)


def _in_time(query: Query) -> list[Expression]:
    conditions = []
    if query.since_us is not None:
        conditions.append(_Records.at_us >= query.since_us)
    if query.until_us is not None:
        conditions.append(_Records.at_us <= query.until_us)
    return conditions


def _row(record: Record) -> tuple[Any, ...]:
    """Return a record's columns, in the order of ``_Records``."""
    one = record.entry
    what = (one.at_us, one.word, one.tenant, one.endpoint, one.host, one.cause, one.details)
    return (record.sequence, *what, record.previous, record.digest)


def _record(row: tuple[Any, ...]) -> Record:
    sequence, at_us, kind, tenant, endpoint, host, cause, details, previous, digest = row
    known, written = (Kind(kind), "") if kind in Kind._value2member_map_ else (Kind.GAP, _as_text(kind))
    about = map(_as_text, (cause, tenant, endpoint, host, details, written))
    at_us = at_us if isinstance(at_us, int) else NO_TIME_US
    return Record(sequence, Entry(at_us, known, *about), _as_text(previous), _as_text(digest))


def _as_text(value: Any) -> str:
    """Return a column's text; one that holds none was changed, and what is made of it has another digest."""
    return value if isinstance(value, str) else f"no text: {value!r}"


def _readable(raw: bytes) -> str:
    return raw.decode(errors="replace")
