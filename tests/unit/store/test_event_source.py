"""Event files that are rotated, truncated, replayed, broken: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from zonewall.store.event_lines import MOST_LINE_BYTES, TURN_BYTES
from zonewall.store.event_source import (
    AGAIN_BYTES,
    KEEP_AFTER_S,
    READ_BYTES,
    WAIT_S,
    FileSource,
    SocketSource,
)

PATIENCE_S = 30.0


class Read:
    """A source under test, and the lines that it has handed on."""

    def __init__(self, path: Path, kept: Path) -> None:
        self.lines: list[bytes] = []
        self.source = FileSource(path, kept, self.lines.extend)

    async def until(self, count: int) -> list[bytes]:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while len(self.lines) < count and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        return self.lines


def follow(folder: Path, act: Callable[[Read, Path], Awaitable[None]], *, there: bool = True) -> Read:
    path = folder / "eve.json"
    if there and not path.exists():
        path.touch()
    read = Read(path, folder / "kept.json")

    async def run() -> None:
        task = asyncio.create_task(read.source.run())
        await asyncio.sleep(0.02)
        await act(read, path)
        task.cancel()

    asyncio.run(run())
    return read


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))


def test_lines_are_handed_on_in_order_as_they_are_written(tmp_path: Path) -> None:
    async def act(read: Read, path: Path) -> None:
        for number in range(50):
            append(path, b"%d" % number)
        await read.until(50)

    assert follow(tmp_path, act).lines == [b"%d" % number for number in range(50)]


def test_a_line_is_handed_on_when_it_is_whole(tmp_path: Path) -> None:
    async def act(read: Read, path: Path) -> None:
        with path.open("ab", buffering=0) as file:
            file.write(b"be")
            await asyncio.sleep(0.05)
            assert read.lines == []
            file.write(b"gun\nnext")
            await read.until(1)

    assert follow(tmp_path, act).lines == [b"begun"]


def test_a_rotated_file_is_read_to_its_end_and_the_new_one_from_its_beginning(tmp_path: Path) -> None:
    async def act(read: Read, path: Path) -> None:
        append(path, b"1", b"2")
        path.rename(path.with_suffix(".1"))
        append(path.with_suffix(".1"), b"3")
        append(path, b"4")
        await read.until(4)

    assert follow(tmp_path, act).lines == [b"1", b"2", b"3", b"4"]


def test_a_truncated_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    async def act(read: Read, path: Path) -> None:
        append(path, *(b"before %d" % number for number in range(10)))
        await read.until(10)
        path.write_bytes(b"")
        await asyncio.sleep(0.05)
        append(path, b"after")
        await read.until(11)

    read = follow(tmp_path, act)
    assert read.lines[-1] == b"after"
    assert len(read.lines) == 11
    assert read.source.counts.truncations == 1


def test_a_replayed_file_hands_nothing_on_twice(tmp_path: Path) -> None:
    async def act(read: Read, path: Path) -> None:
        old = [b"event %d" % number for number in range(100)]
        append(path, *old)
        await read.until(100)
        new = path.with_suffix(".new")
        append(new, *old, b"really new")
        new.replace(path)
        await read.until(101)

    read = follow(tmp_path, act)
    assert len(read.lines) == len(set(read.lines)) == 101
    assert read.source.counts.repeated == 100


def test_an_enormous_line_is_left_out_and_what_follows_is_read(tmp_path: Path) -> None:
    async def act(read: Read, path: Path) -> None:
        append(path, b"small", b"x" * (3 * MOST_LINE_BYTES), b"small again")
        await read.until(2)

    read = follow(tmp_path, act)
    assert read.lines == [b"small", b"small again"]
    assert read.source.counts.oversized == 1


def test_after_a_restart_it_goes_on_where_it_was(tmp_path: Path) -> None:
    async def first(read: Read, path: Path) -> None:
        append(path, b"1", b"2")
        await read.until(2)

    async def second(read: Read, path: Path) -> None:
        append(path, b"4")
        await read.until(2)

    follow(tmp_path, first)
    append(tmp_path / "eve.json", b"3")
    assert follow(tmp_path, second).lines == [b"3", b"4"]


def test_what_was_written_before_the_first_start_is_not_new(tmp_path: Path) -> None:
    append(tmp_path / "eve.json", b"old")

    async def act(read: Read, path: Path) -> None:
        append(path, b"new")
        await read.until(1)

    assert follow(tmp_path, act).lines == [b"new"]


def test_a_file_that_comes_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    async def act(read: Read, path: Path) -> None:
        append(path, b"first")
        await read.until(1)

    assert follow(tmp_path, act, there=False).lines == [b"first"]


BROKEN = [
    "", "{", "[]", '{"inode": "x"}', '{"inode": 1, "offset": -1, "known": []}', "[" * 100_000,
    '{"inode": Infinity, "offset": 0, "known": []}',
]  # fmt: skip


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_note_of_how_far_it_was_read_reads_the_latest_again_and_says_so(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "kept.json").write_text(content)
    append(tmp_path / "eve.json", b"old" * AGAIN_BYTES, *(b"%d" % number for number in range(10)))

    async def act(read: Read, path: Path) -> None:
        append(path, b"new")
        await read.until(11)

    with capture_logs() as logged:
        lines = follow(tmp_path, act).lines
    assert lines == [*(b"%d" % number for number in range(10)), b"new"]
    assert [one["event"] for one in logged] == ["state_not_read"]


def test_a_backlog_is_read_no_further_than_what_is_dealt_with_and_others_have_their_turns(
    tmp_path: Path,
) -> None:
    path, kept = tmp_path / "eve.json", tmp_path / "kept.json"
    count = 8 * TURN_BYTES // 1000
    kept.write_text(json.dumps({"inode": 0, "offset": 0, "known": []}))
    append(path, *(b"%0999d" % number for number in range(count)))
    is_dealt_with, turns, seen = False, 0, set()
    lines: list[bytes] = []

    def take(more: list[bytes]) -> None:
        lines.extend(more)
        seen.add(turns)

    source = FileSource(path, kept, take, is_dealt_with=lambda: is_dealt_with)

    async def work() -> None:
        nonlocal is_dealt_with, turns
        task = asyncio.create_task(source.run())
        await until(lambda: lines)
        await asyncio.sleep(10 * WAIT_S)
        assert len(lines) * 1000 <= TURN_BYTES + READ_BYTES
        is_dealt_with = True
        while len(lines) < count:
            turns += 1
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(asyncio.wait_for(work(), PATIENCE_S))
    assert lines == [b"%0999d" % number for number in range(count)]
    assert len(seen) >= 6, "the loop's other tasks had no turn between"


def test_a_rotated_backlog_is_read_to_its_end_before_the_new_file(tmp_path: Path) -> None:
    async def act(read: Read, path: Path) -> None:
        append(path, *(b"%0999d" % number for number in range(count)))
        path.rename(path.with_suffix(".1"))
        append(path, b"new")
        await read.until(count + 1)

    count = 3 * TURN_BYTES // 1000
    assert follow(tmp_path, act).lines == [*(b"%0999d" % number for number in range(count)), b"new"]


def test_a_socket_is_read_no_further_than_what_is_dealt_with(tmp_path: Path) -> None:
    taken, written = 0, 0
    is_dealt_with = False

    def take(lines: list[bytes]) -> None:
        nonlocal taken
        taken += sum(len(line) + 1 for line in lines)

    source = SocketSource(tmp_path / "eve.sock", take, is_dealt_with=lambda: is_dealt_with)

    async def tell() -> None:
        nonlocal written
        _, writer = await asyncio.open_unix_connection(tmp_path / "eve.sock")
        for number in range(8 * TURN_BYTES // 1000):
            writer.write(b"%0999d\n" % number)
            written += 1000
            await writer.drain()
        writer.close()

    async def work() -> None:
        nonlocal is_dealt_with
        task = asyncio.create_task(source.run())
        await until((tmp_path / "eve.sock").exists)
        telling = asyncio.create_task(tell())
        await until(lambda: taken >= TURN_BYTES)
        await asyncio.sleep(10 * WAIT_S)
        assert taken <= TURN_BYTES + 2 * READ_BYTES
        is_dealt_with = True
        await telling
        await until(lambda: taken == written)
        task.cancel()

    asyncio.run(work())


def test_what_is_no_ordinary_file_is_said_so_and_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    os.mkfifo(path)

    def let_go() -> None:
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

    # Who waits in open(2) for a writer gets one, so that the test ends whatever is wrong.
    helper = threading.Timer(5, let_go)
    helper.start()
    source = FileSource(path, tmp_path / "kept.json", lambda lines: None)

    async def work() -> None:
        task = asyncio.create_task(source.run())
        await until(lambda: source.counts.error)
        task.cancel()

    asyncio.run(work())
    assert source.counts.error == f"{path}: it is no ordinary file"
    assert helper.is_alive(), "it waited for the pipe's writer"
    helper.cancel()


def test_a_socket_takes_lines_of_several_connections(tmp_path: Path) -> None:
    lines: list[bytes] = []
    source = SocketSource(tmp_path / "eve.sock", lines.extend)

    async def run() -> None:
        task = asyncio.create_task(source.run())
        await asyncio.sleep(0.05)
        for number in range(3):
            _, writer = await asyncio.open_unix_connection(tmp_path / "eve.sock")
            writer.write(b"line %d\nsame\n" % number)
            await writer.drain()
            writer.close()
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while len(lines) < 4 and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(run())
    assert sorted(lines) == [b"line 0", b"line 1", b"line 2", b"same"]


def test_a_socket_is_its_owners_alone_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, modes = tmp_path / "eve.sock", []
    listen = socket.socket.listen

    def looked_at(one: socket.socket, *backlog: int) -> None:
        modes.append(stat.S_IMODE(place.stat().st_mode))
        listen(one, *backlog)

    monkeypatch.setattr(socket.socket, "listen", looked_at)

    async def run() -> None:
        task = asyncio.create_task(SocketSource(place, lambda lines: None).run())
        await until(lambda: modes)
        task.cancel()

    asyncio.run(run())
    assert modes == [0o600]


def test_how_far_was_read_is_written_down_once_what_follows_is(tmp_path: Path) -> None:
    path, kept = tmp_path / "eve.json", tmp_path / "kept.json"
    path.touch()
    lines: list[bytes] = []
    settled = False
    source = FileSource(path, kept, lines.extend, lambda: settled)

    async def work() -> None:
        nonlocal settled
        task = asyncio.create_task(source.run())
        append(path, b"an alert")
        await until(lambda: lines)
        await asyncio.sleep(5 * KEEP_AFTER_S)
        assert not kept.exists(), "who is killed now reads the line once more"
        settled = True
        await until(kept.exists)
        task.cancel()

    asyncio.run(work())
    again: list[bytes] = []
    follow_again = FileSource(path, kept, again.extend)

    async def work_again() -> None:
        task = asyncio.create_task(follow_again.run())
        append(path, b"another")
        await until(lambda: again)
        task.cancel()

    asyncio.run(work_again())
    assert (lines, again) == ([b"an alert"], [b"another"])


async def until(condition: Callable[[], object]) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not condition() and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.005)
    assert condition()
