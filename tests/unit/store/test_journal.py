"""The journal's file: what is kept, what is refused, what is told of a file that was tampered with."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from support.journal_file import entry, writing
from zonewall.cli.journal_view import as_json
from zonewall.errors import JournalDamagedError, JournalError
from zonewall.journal.keeping import Query
from zonewall.journal.record import Head, Kind, breaks
from zonewall.store import sql_journal
from zonewall.store.sql_journal import SqlJournal


def test_what_is_put_is_read_back_in_order_by_any_filter(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with writing(path) as writer:
        writer.put([entry(10), entry(20, "acme/db1"), entry(30, "blue/app1", Kind.MOVED, "hv2")])
        writer.put([entry(40, "acme/web1", Kind.QUARANTINED, "")], {"d" * 64: b"text"})
        writer.durable().result(30)
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


def test_a_file_that_is_no_journal_is_set_aside_and_the_new_one_begins_by_saying_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(os.urandom(8192))
    with pytest.raises(JournalDamagedError):
        SqlJournal(path, writable=True)
    with writing(path) as writer:
        writer.put([entry(1)])
        assert writer.durable().result(30).sequence == 2
        assert "not a database" in writer.status.broken
    first, second = SqlJournal(path).select(Query())
    assert first.entry.kind is Kind.GAP
    assert "set aside" in first.entry.said["reason"]
    assert second.entry.at_us == 1
    assert len(list(tmp_path.glob("journal.db.damaged-*"))) == 1


def test_a_newer_versions_file_is_set_aside_whole_and_the_new_one_begins_by_saying_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    SqlJournal(path, writable=True).append([entry(at) for at in range(3)], {})
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(JournalError, match="written by a newer version of zonewall \\(form 7;"):
        SqlJournal(path).head()
    with writing(path) as writer:
        writer.put([entry(1)])
        assert writer.durable().result(10).sequence == 2
        assert "newer version" in writer.status.broken
    assert "set aside as journal.db.newer-" in next(SqlJournal(path).select(Query())).entry.said["reason"]
    (aside,) = tmp_path.glob("journal.db.newer-*Z")
    connection = sqlite3.connect(aside)
    assert connection.execute("SELECT count(*) FROM records").fetchone() == (3,)
    connection.close()


def test_a_kind_of_record_that_only_a_newer_version_knows_breaks_no_chain(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    newer = replace(entry(1), written="levitated")
    SqlJournal(path, writable=True).append([entry(0), newer, entry(2)], {})
    with writing(path) as writer:
        writer.put([entry(9)])
        assert writer.durable().result(10).sequence == 4
        assert writer.status.broken == ""
    records = list(SqlJournal(path).select(Query()))
    assert [record.entry.word for record in records][1] == "levitated"
    assert '"kind": "levitated"' in as_json(records[1])
    assert list(breaks(Head(), records)) == []


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
        assert writer.durable().result(30).sequence == 6
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
        writer.durable().result(30)
        tamper(path, "DELETE FROM records WHERE sequence > 3")
        writer.put([entry(9)])
        writer.durable().result(30)
        assert "somebody changed it" in writer.status.broken
    kinds = [record.entry.kind for record in SqlJournal(path).select(Query())]
    assert kinds == [Kind.PLACED] * 3 + [Kind.GAP, Kind.PLACED]
