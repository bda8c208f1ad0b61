"""The journal's file: what is kept, what is refused, what is told of a file that was tampered with."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from zonewall.errors import JournalDamagedError, JournalError
from zonewall.journal.keeping import Query
from zonewall.journal.record import Entry, Head, Kind, breaks, canonical
from zonewall.store import journal_writer, sql_journal
from zonewall.store.journal_writer import JournalWriter
from zonewall.store.sql_journal import SqlJournal


def entry(at_us: int, endpoint: str = "acme/web1", kind: Kind = Kind.PLACED, host: str = "hv1") -> Entry:
    tenant = endpoint.partition("/")[0]
    return Entry(at_us, kind, "test", tenant, endpoint, host, canonical({"at": at_us}))


@contextmanager
def writing(path: Path) -> Iterator[JournalWriter]:
    writer = JournalWriter(path)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_what_is_put_is_read_back_in_order_by_any_filter(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with writing(path) as writer:
        writer.put([entry(10), entry(20, "acme/db1"), entry(30, "blue/app1", Kind.MOVED, "hv2")])
        writer.put([entry(40, "acme/web1", Kind.QUARANTINED, "")], {"d" * 64: b"text"})
        writer.durable().result(10)
    journal = SqlJournal(path)

    def found(**asked: object) -> list[int]:
        return [record.entry.at_us for record in journal.select(Query(**asked))]  # type: ignore[arg-type]

    assert found() == [10, 20, 30, 40]
    assert found(endpoint="acme/web1") == [10, 40]
    assert found(tenant="acme") == [10, 20, 40]
    assert found(host="hv2") == [30]
    assert found(kinds=frozenset({Kind.MOVED, Kind.QUARANTINED})) == [30, 40]
    assert found(since_us=20, until_us=30) == [20, 30]
    assert found(newest_first=True, most=2) == [40, 30]
    assert found(after=3) == [40]
    assert journal.text("d" * 64) == b"text"
    assert journal.text("e" * 64) is None


def test_a_large_answer_comes_in_pages_and_whole(tmp_path: Path) -> None:
    journal = SqlJournal(tmp_path / "journal.db", writable=True)
    journal.append([entry(at) for at in range(4500)], {})
    assert [record.sequence for record in journal.select(Query())] == list(range(1, 4501))
    newest = [record.sequence for record in journal.select(Query(newest_first=True, most=4200))]
    assert newest == list(range(4500, 300, -1))


def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for at in range(3):
        with writing(path) as writer:
            writer.put([entry(at)])
    assert list(breaks(Head(), SqlJournal(path).select(Query()))) == []
    assert SqlJournal(path).head().sequence == 3


def test_who_was_created_and_not_deleted_is_present(tmp_path: Path) -> None:
    journal = SqlJournal(tmp_path / "journal.db", writable=True)
    kinds = [("a/1", Kind.CREATED), ("a/2", Kind.CREATED), ("a/1", Kind.DELETED), ("a/2", Kind.PLACED)]
    journal.append([entry(at, name, kind) for at, (name, kind) in enumerate(kinds)], {})
    assert journal.present() == {"a/2"}
    journal.append([entry(9, "a/1", Kind.CREATED)], {})
    assert journal.present() == {"a/1", "a/2"}


def test_the_file_itself_refuses_changes_and_deletions(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    SqlJournal(path, writable=True).append([entry(1)], {"d" * 64: b"text"})
    connection = sqlite3.connect(path)
    for statement in ("UPDATE records SET cause = 'x'", "DELETE FROM records", "DELETE FROM texts"):
        with pytest.raises(sqlite3.IntegrityError, match="only added to"):
            connection.execute(statement)
    connection.close()


_BEFORE_PEEWEE = [
    "CREATE TABLE records (sequence INTEGER NOT NULL PRIMARY KEY, at_us INTEGER NOT NULL, "
    "kind VARCHAR NOT NULL, tenant VARCHAR NOT NULL, endpoint VARCHAR NOT NULL, host VARCHAR NOT NULL, "
    "cause VARCHAR NOT NULL, details VARCHAR NOT NULL, previous VARCHAR NOT NULL, digest VARCHAR NOT NULL)",
    "CREATE TABLE texts (digest VARCHAR NOT NULL PRIMARY KEY, content BLOB NOT NULL)",
    "CREATE INDEX records_at ON records (at_us)",
    *(
        f"CREATE INDEX records_{name} ON records ({name}, sequence)"
        for name in ("kind", "tenant", "endpoint", "host")
    ),
]


def test_a_file_of_an_earlier_version_goes_on_with_the_indexes_that_it_has(tmp_path: Path) -> None:
    path, fresh = tmp_path / "journal.db", tmp_path / "fresh.db"
    connection = sqlite3.connect(path)
    for statement in _BEFORE_PEEWEE:
        connection.execute(statement)
    connection.close()
    for each in (path, fresh):
        journal = SqlJournal(each, writable=True)
        journal.append([entry(at) for at in range(3)], {"d" * 64: b"text"})
        journal.append([entry(3)], {"d" * 64: b"text"})
        journal.close()
        assert list(breaks(Head(), SqlJournal(each).select(Query()))) == []
        assert SqlJournal(each).text("d" * 64) == b"text"

    def parts(each: Path) -> set[tuple[str, str]]:
        connection = sqlite3.connect(each)
        found = set(connection.execute("SELECT type, name FROM sqlite_master"))
        connection.close()
        return found

    assert parts(path) == parts(fresh)


def test_journals_that_are_open_at_once_keep_apart(tmp_path: Path) -> None:
    one, two = (SqlJournal(tmp_path / name, writable=True) for name in ("one.db", "two.db"))
    one.append([entry(1), entry(2)], {})
    answer = one.select(Query())
    assert next(answer).entry.at_us == 1
    two.append([entry(3)], {})
    assert [record.entry.at_us for record in answer] == [2]
    assert [record.entry.at_us for record in two.select(Query())] == [3]
    one.close()
    assert two.append([entry(4)], {}).sequence == 2


def test_a_file_that_another_holds_is_no_damage_and_is_written_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_journal, "BUSY_S", 0.05)
    path = tmp_path / "journal.db"
    journal = SqlJournal(path, writable=True)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="locked") as refused:
        journal.append([entry(1)], {})
    assert not isinstance(refused.value, JournalDamagedError)
    other.execute("ROLLBACK")
    other.close()
    assert journal.append([entry(1)], {}).sequence == 1


def test_damage_inside_a_file_is_told_when_a_question_meets_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqlJournal(path, writable=True)
    journal.append([entry(at) for at in range(3000)], {})
    journal.close()
    content = path.read_bytes()
    path.write_bytes(content[:65536] + bytes(len(content) - 65536))
    with pytest.raises(JournalDamagedError, match="malformed"):
        list(SqlJournal(path).select(Query()))


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with writing(path) as writer:
        writer.put([entry(1)])
    assert path.stat().st_mode & 0o777 == 0o600


_WRITE_FOR_EVER = """
import sys
from pathlib import Path
import structlog
from zonewall.journal.record import Entry, Kind
from zonewall.store.journal_writer import JournalWriter
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
writer = JournalWriter(Path(sys.argv[1]))
writer.start()
number = 0
while True:
    for _ in range(7):
        number += 1
        writer.put([Entry(number, Kind.ADMIN, "test", endpoint="acme/web1")])
    writer.durable().result(10)
    print(number, flush=True)
"""


def test_nothing_that_was_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for _ in range(2):
        before = SqlJournal(path).head().sequence if path.exists() else 0
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITE_FOR_EVER, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        writer.wait()
        writer.stdout.close()
        records = list(SqlJournal(path).select(Query()))
        assert records[-1].sequence - before >= acknowledged[-1]
        assert list(breaks(Head(), records)) == []


def test_what_cannot_be_written_waits_and_is_written_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_writer, "FIRST_RETRY_S", 0.02)
    blocked = tmp_path / "state"
    blocked.write_text("a file where the folder should be")
    with writing(blocked / "journal.db") as writer:
        writer.put([entry(1), entry(2)])
        done = writer.durable()
        wait_until(lambda: writer.status.error != "", "the failure is reported")
        assert writer.status.waiting == 2
        assert not done.done()
        blocked.unlink()
        assert done.result(10).sequence == 2
        assert (writer.status.error, writer.status.waiting) == ("", 0)
    assert [record.entry.at_us for record in SqlJournal(blocked / "journal.db").select(Query())] == [1, 2]


def test_what_is_lost_because_too_much_waits_is_counted_in_a_gap_record_and_never_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_writer, "FIRST_RETRY_S", 0.02)
    monkeypatch.setattr(journal_writer, "MOST_WAITING", 3)
    blocked = tmp_path / "state"
    blocked.write_text("")
    with writing(blocked / "journal.db") as writer:
        writer.put([entry(at) for at in range(1, 6)])
        assert writer.status.lost == 2
        with pytest.raises(JournalError, match="too much"):
            writer.durable().result(1)
        blocked.unlink()
        wait_until(lambda: writer.status.waiting == 0 and not writer.status.error, "it is written again")
        assert writer.status.lost == 2
    records = list(SqlJournal(blocked / "journal.db").select(Query()))
    gap = next(record.entry for record in records if record.entry.kind is Kind.GAP)
    assert (gap.said["records"], gap.said["since_us"], gap.said["until_us"]) == (2, 4, 5)
    assert [record.entry.at_us for record in records if record.entry.kind is Kind.PLACED] == [1, 2, 3]


def test_who_gives_up_waiting_for_a_slow_disk_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, append = threading.Event(), SqlJournal.append

    def slowly(self: SqlJournal, *said: Any) -> Head:
        slow.wait(30)
        return append(self, *said)

    async def give_up(done: Future[Head]) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(done), 0.01)

    monkeypatch.setattr(SqlJournal, "append", slowly)
    with writing(tmp_path / "journal.db") as writer:
        writer.put([entry(1)])
        asyncio.run(give_up(writer.durable()))
        slow.set()
        writer.put([entry(2)])
        assert writer.durable().result(30).sequence == 2
    records = SqlJournal(tmp_path / "journal.db").select(Query())
    assert [record.entry.at_us for record in records] == [1, 2]


def test_documents_that_cannot_be_written_are_bounded_and_what_names_one_that_is_lost_is_lost_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_writer, "FIRST_RETRY_S", 0.02)
    monkeypatch.setattr(journal_writer, "MOST_TEXT_BYTES", 250)
    blocked = tmp_path / "state"
    blocked.write_text("")
    with writing(blocked / "journal.db") as writer:
        for at in range(5):
            writer.put([entry(at)], {"same": b"s" * 50, str(at): b"t" * 90})
        assert (writer.status.waiting, writer.status.lost) == (2, 3)
        blocked.unlink()
        wait_until(lambda: writer.status.waiting == 0 and not writer.status.error, "it is written again")
        writer.put([entry(7)], {"7": b"t" * 250})
        writer.durable().result(30)
    journal = SqlJournal(blocked / "journal.db")
    kept = [record.entry.at_us for record in journal.select(Query(kinds=frozenset({Kind.PLACED})))]
    assert kept == [0, 1, 7], "there is room again for as much"
    assert [journal.text(key) is not None for key in ("same", "0", "1", "2", "7")] == [1, 1, 1, 0, 1]


def test_who_waits_for_what_is_never_written_is_told_so_at_the_end(tmp_path: Path) -> None:
    blocked = tmp_path / "state"
    blocked.write_text("")
    with writing(blocked / "journal.db") as writer:
        writer.put([entry(1)])
        done = writer.durable()
    with pytest.raises(JournalError, match="not written before the end"):
        done.result(30)
    with pytest.raises(JournalError, match="not written before the end"):
        writer.durable().result(30)


def test_a_file_that_is_no_journal_is_set_aside_and_the_new_one_begins_by_saying_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(os.urandom(8192))
    with pytest.raises(JournalDamagedError):
        SqlJournal(path, writable=True)
    with writing(path) as writer:
        writer.put([entry(1)])
        assert writer.durable().result(10).sequence == 2
        assert "not a database" in writer.status.broken
    first, second = SqlJournal(path).select(Query())
    assert first.entry.kind is Kind.GAP
    assert "set aside" in first.entry.said["reason"]
    assert second.entry.at_us == 1
    assert len(list(tmp_path.glob("journal.db.damaged-*"))) == 1


def tamper(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    for name in ("records_UPDATE", "records_DELETE"):
        connection.execute(f"DROP TRIGGER {name}")
    connection.executescript(statement)
    connection.commit()
    connection.close()


def test_a_record_that_was_changed_is_reported_at_the_next_start_and_writing_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    SqlJournal(path, writable=True).append([entry(at) for at in range(5)], {})
    tamper(path, "UPDATE records SET host = 'hv9' WHERE sequence = 3")
    with writing(path) as writer:
        writer.put([entry(9)])
        assert writer.durable().result(10).sequence == 6
        assert "record 3" in writer.status.broken


@pytest.mark.parametrize(
    "change",
    [
        "details = x'00'",
        "details = CAST(x'ff' AS TEXT)",
        "digest = x'00'",
        "previous = NULL",
        "at_us = 'noon'",
        "at_us = 1.5",
        "kind = x'00'",
        "endpoint = 7.5",
        "cause = CAST(x'c328' AS TEXT)",
    ],
)
@pytest.mark.parametrize("number", [2, 3])
def test_a_column_that_holds_what_it_never_held_is_a_break_and_writing_goes_on(
    tmp_path: Path, change: str, number: int
) -> None:
    path = tmp_path / "journal.db"
    SqlJournal(path, writable=True).append([entry(at) for at in range(3)], {})
    # A column that SQLite would make a number of, or refuse to be empty, is one of a table without types.
    columns = (
        "sequence INTEGER PRIMARY KEY, at_us, kind, tenant, endpoint, host, cause, details, previous, digest"
    )
    tamper(
        path,
        f"CREATE TABLE other ({columns}); INSERT INTO other SELECT * FROM records; DROP TABLE records;"
        f"ALTER TABLE other RENAME TO records; UPDATE records SET {change} WHERE sequence = {number}",
    )
    found = list(breaks(Head(), SqlJournal(path).select(Query())))
    assert found
    assert {one.sequence for one in found} <= {number, number + 1}
    with writing(path) as writer:
        writer.put([entry(7)])
        assert writer.durable().result(30).sequence == 4
        assert writer.status.broken


def test_a_document_that_is_no_bytes_any_more_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    SqlJournal(path, writable=True).append([], {"d" * 64: b"text"})
    tamper(path, "DROP TRIGGER texts_UPDATE; UPDATE texts SET content = 'text'")
    assert SqlJournal(path).text("d" * 64) is None


def test_records_cut_off_behind_a_running_controller_are_reported_and_recorded(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with writing(path) as writer:
        writer.put([entry(at) for at in range(5)])
        writer.durable().result(10)
        tamper(path, "DELETE FROM records WHERE sequence > 3")
        writer.put([entry(9)])
        writer.durable().result(10)
        assert "somebody changed it" in writer.status.broken
    kinds = [record.entry.kind for record in SqlJournal(path).select(Query())]
    assert kinds == [Kind.PLACED] * 3 + [Kind.GAP, Kind.PLACED]
