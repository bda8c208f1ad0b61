"""The journal's writer: a disk that is full, slow or away, and a process that is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from support.journal_file import entry, writing
from zonewall.errors import JournalError
from zonewall.journal.keeping import Query
from zonewall.journal.record import Head, Kind, breaks
from zonewall.store import journal_writer
from zonewall.store.sql_journal import SqlJournal


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


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
    writer.durable().result(30)
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
        assert done.result(30).sequence == 2
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
