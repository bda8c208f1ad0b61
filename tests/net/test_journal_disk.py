"""A disk that is full: it is reported, nothing waits for it, and nothing is lost once there is room again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.net

_ON_A_SMALL_DISK = """
import json, subprocess, sys, time
from pathlib import Path
import structlog
from zonewall.journal.keeping import Query
from zonewall.journal.record import Entry, Head, Kind, breaks
from zonewall.store import journal_writer
from zonewall.store.sql_journal import SqlJournal

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
journal_writer.FIRST_RETRY_S = journal_writer.LONGEST_RETRY_S = 0.05
folder = Path(sys.argv[1])
writer = journal_writer.JournalWriter(folder / "journal.db")
writer.start()

def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

put = 0
def put_some():
    global put
    writer.put([Entry(put + at, Kind.ADMIN, "x" * 200) for at in range(100)])
    put += 100

while not writer.status.error:
    put_some()
    time.sleep(0.01)
put_some()  # it comes back though there is no room: that is made further down
acknowledged = writer.durable()
time.sleep(0.3)
full = {"error": writer.status.error, "waiting": writer.status.waiting, "acknowledged": acknowledged.done()}
subprocess.run(["mount", "-o", "remount,size=32m", str(folder)], check=True)
until(lambda: writer.status.waiting == 0)
acknowledged.result(5)
after = writer.status
writer.stop()
records = list(SqlJournal(folder / "journal.db").select(Query()))
print(json.dumps({
    **full, "put": put, "error_after": after.error, "broken": after.broken,
    "kept": [record.entry.at_us for record in records] == list(range(put)),
    "breaks": len(list(breaks(Head(), records))),
}))
"""


def test_a_full_disk_is_reported_and_delays_nobody_and_when_there_is_room_nothing_is_missing(
    tmp_path: Path,
) -> None:
    small = ["sh", "-c", 'mount -t tmpfs -o size=400k none "$1" && shift && exec "$@"', "sh", str(tmp_path)]
    done = subprocess.run(
        ["unshare", "-m", *small, sys.executable, "-c", _ON_A_SMALL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert "full" in said["error"] or "disk" in said["error"]
    assert said["waiting"] >= 100
    assert not said["acknowledged"]
    assert said["kept"]
    assert (said["error_after"], said["broken"], said["breaks"]) == ("", "", 0)
