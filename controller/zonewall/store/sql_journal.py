"""The journal in SQLite: one file that is only added to.

Write-ahead log with full synchronisation: what a transaction has committed is on disk, whatever ends the
process or the machine. Triggers refuse every change of what is written, so that it takes intent to do so.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from zonewall.errors import JournalDamagedError, JournalError
from zonewall.journal.keeping import Query
from zonewall.journal.record import Entry, Head, Kind, Record, chain

BUSY_S = 5.0
PAGE_RECORDS = 2000
_DAMAGE = ("malformed", "not a database", "no such table", "no such column")

_COLUMNS: Final = "sequence, at_us, kind, tenant, endpoint, host, cause, details, previous, digest"
_SCHEMA: Final = [
    "CREATE TABLE IF NOT EXISTS records (sequence INTEGER NOT NULL PRIMARY KEY, at_us INTEGER NOT NULL, "
    "kind VARCHAR NOT NULL, tenant VARCHAR NOT NULL, endpoint VARCHAR NOT NULL, host VARCHAR NOT NULL, "
    "cause VARCHAR NOT NULL, details VARCHAR NOT NULL, previous VARCHAR NOT NULL, digest VARCHAR NOT NULL)",
    "CREATE TABLE IF NOT EXISTS texts (digest VARCHAR NOT NULL PRIMARY KEY, content BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS records_at ON records (at_us)",
    *(
        f"CREATE INDEX IF NOT EXISTS records_{column} ON records ({column}, sequence)"
        for column in ("kind", "tenant", "endpoint", "host")
    ),
    *(
        f"CREATE TRIGGER IF NOT EXISTS {table}_{act} BEFORE {act} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END"
        for table in ("records", "texts")
        for act in ("UPDATE", "DELETE")
    ),
]
_HEAD: Final = "SELECT sequence, digest FROM records ORDER BY sequence DESC LIMIT 1"
_INSERT: Final = f"INSERT INTO records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constant
_PRESENT: Final = (
    "SELECT endpoint FROM records WHERE kind = ? AND sequence IN "
    "(SELECT max(sequence) FROM records WHERE kind IN (?, ?) GROUP BY endpoint)"
)

Condition = tuple[str, Any]
"""What a record must fulfil, with one question mark, and the value for that."""


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
        self._is_writable = writable
        self._kept: sqlite3.Connection | None = None
        if writable:
            with self._writing() as connection:
                for statement in _SCHEMA:
                    connection.execute(statement)

    def close(self) -> None:
        """Let the file go, so that another can take its name; what was appended is on disk."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def head(self) -> Head:
        """Return the end of the chain."""
        with self._reading() as connection:
            return _head(connection)

    def select(self, query: Query) -> Iterator[Record]:
        """Yield the records that are asked for; read page by page, so that a journal may be large."""
        left = query.most
        after, before = self._bounds(query)
        while left is None or left > 0:
            page = PAGE_RECORDS if left is None else min(left, PAGE_RECORDS)
            statement, values = _statement(query, after, before)
            with self._reading() as connection:
                rows = connection.execute(f"{statement} LIMIT ?", (*values, page)).fetchall()
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
        where, values = _where(_in_time(query))
        with self._reading() as connection:
            first, last = connection.execute(
                f"SELECT min(sequence), max(sequence) FROM records{where}",  # noqa: S608 - of constants
                values,
            ).fetchone()
        return max(query.after, (first or 0) - 1), (last or 0) + 1

    def text(self, digest: str) -> bytes | None:
        """Return a document by its digest; None where it is not kept, or damaged."""
        with self._reading() as connection:
            found = connection.execute("SELECT content FROM texts WHERE digest = ?", (digest,)).fetchone()
        try:
            return None if found is None else zlib.decompress(found[0])
        except zlib.error:
            return None

    def present(self) -> frozenset[str]:
        """Return the endpoints that were created and not deleted since."""
        created, deleted = Kind.CREATED.value, Kind.DELETED.value
        with self._reading() as connection:
            rows = connection.execute(_PRESENT, (created, created, deleted))
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
        with self._writing() as connection:
            head = _head(connection)
            records = list(chain(head, [*follow(head), *entries]))
            if records:
                connection.executemany(_INSERT, map(_row, records))
                head = Head(records[-1].sequence, records[-1].digest)
            kept = [(digest, zlib.compress(content)) for digest, content in texts.items()]
            connection.executemany("INSERT OR IGNORE INTO texts (digest, content) VALUES (?, ?)", kept)
        return head

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._told(), closing(self._connected("rw" if self._is_writable else "ro")) as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give a transaction that is kept whole, or not at all; the connection stays for the next one."""
        with self._told():
            connection = self._kept = self._kept or self._connected("rwc")
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self.close()
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what SQLite refuses as an error of the journal."""
        try:
            yield
        except sqlite3.Error as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            damaged = isinstance(error, sqlite3.DatabaseError) and any(word in reason for word in _DAMAGE)
            raise (JournalDamagedError if damaged else JournalError)(f"{self.path}: {reason}") from error

    def _connected(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode={mode}",
            uri=True,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        if mode == "rwc":
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
            except sqlite3.Error:
                connection.close()
                raise
        return connection


def _head(connection: sqlite3.Connection) -> Head:
    row = connection.execute(_HEAD).fetchone()
    return Head() if row is None else Head(*row)


def _statement(query: Query, after: int, before: int | None) -> tuple[str, tuple[Any, ...]]:
    conditions: list[Condition] = [("sequence > ?", after)]
    if before is not None:
        conditions.append(("sequence < ?", before))
    for column, wanted in (("endpoint", query.endpoint), ("tenant", query.tenant), ("host", query.host)):
        if wanted is not None:
            conditions.append((f"{column} = ?", wanted))
    where, values = _where([*conditions, *_in_time(query)])
    if query.kinds:
        where += f" AND kind IN ({', '.join('?' * len(query.kinds))})"
        values += tuple(sorted(kind.value for kind in query.kinds))
    order = "DESC" if query.newest_first else "ASC"
    return f"SELECT {_COLUMNS} FROM records{where} ORDER BY sequence {order}", values  # noqa: S608 - of constants


def _in_time(query: Query) -> list[Condition]:
    ends = (("at_us >= ?", query.since_us), ("at_us <= ?", query.until_us))
    return [(condition, at_us) for condition, at_us in ends if at_us is not None]


def _where(conditions: Sequence[Condition]) -> tuple[str, tuple[Any, ...]]:
    text = " AND ".join(condition for condition, _ in conditions)
    return f" WHERE {text}", tuple(value for _, value in conditions)


def _row(record: Record) -> tuple[Any, ...]:
    """Return a record's columns, as ``_COLUMNS`` names them."""
    one = record.entry
    what = (one.at_us, one.kind.value, one.tenant, one.endpoint, one.host, one.cause, one.details)
    return (record.sequence, *what, record.previous, record.digest)


def _record(row: tuple[Any, ...]) -> Record:
    sequence, at_us, kind, tenant, endpoint, host, cause, details, previous, digest = row
    known = Kind(kind) if kind in Kind._value2member_map_ else Kind.GAP
    return Record(sequence, Entry(at_us, known, cause, tenant, endpoint, host, details), previous, digest)
