"""Steady UDP between two machines, each datagram with number and time; how long each was on the way.

Run as ``python steady.py send ADDRESS PORT PER_S`` and ``python steady.py receive PORT FILE``.
The kernel says when a datagram came, so that a reader that is late makes no packet late.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

PORT = 5555
SO_TIMESTAMPNS = 35
CATCHES_UP_S = 0.05
_STAMP = struct.Struct("!QQ")


def send(address: str, port: int, per_s: int) -> None:
    """Send until ended; a sender that is late sends no more at once than a switch's queue can hold."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.connect((address, port))
    number, due = 0, time.monotonic()
    while True:
        out.send(_STAMP.pack(number, time.time_ns()))
        number += 1
        due = max(due + 1 / per_s, time.monotonic() - CATCHES_UP_S)
        time.sleep(max(0.0, due - time.monotonic()))


def receive(port: int, file: Path) -> None:
    """Write number, time sent and time received (ns) of every datagram until ended."""
    into = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    into.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    into.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    into.bind(("", port))
    with file.open("wb", buffering=0) as out:
        while True:
            data, extra, _, _ = into.recvmsg(64, 128)
            seconds, rest = struct.unpack("qq", extra[0][2])
            number, sent = _STAMP.unpack(data)
            array.array("Q", (number, sent, seconds * 1_000_000_000 + rest)).tofile(out)


@dataclass(frozen=True, slots=True)
class Flight:
    """What became of the datagrams that were sent within a time (ns).

    Attributes:
        not_fetched: frames dropped before the switch had fetched them, where that was watched.
    """

    sent: int
    lost: int
    longest_ms: float
    not_fetched: int = 0


def rows(file: Path) -> list[tuple[int, int, int]]:
    """Return number, time sent and time received (ns) of every datagram that came."""
    numbers = array.array("Q")
    data = file.read_bytes()
    numbers.frombytes(data[: len(data) // 24 * 24])
    return [(numbers[at], numbers[at + 1], numbers[at + 2]) for at in range(0, len(numbers), 3)]


def longest_gap_ms(file: Path, begin_ns: int, end_ns: int) -> float:
    """Return the longest time between two arrivals in a time."""
    times = [received for _, _, received in rows(file) if begin_ns <= received <= end_ns]
    return max((later - earlier for earlier, later in pairwise(times)), default=end_ns - begin_ns) / 1e6


def flight(file: Path, begin_ns: int, end_ns: int) -> Flight:
    """Return what became of the datagrams sent in a time; those after the last that came do not count."""
    found = [row for row in rows(file) if begin_ns <= row[1] <= end_ns]
    got = {row[0] for row in found}
    count = max(got) - min(got) + 1 if got else 0
    longest = max((row[2] - row[1] for row in found), default=0)
    return Flight(count, count - len(got), longest / 1e6)


class Window:
    """A time that is measured; ``flight`` is there once it is over and the last datagram has come."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.begin_ns = time.time_ns()
        self.end_ns = 0

    def flight(self) -> Flight:
        """Return what became of the datagrams of this time."""
        return flight(self._file, self.begin_ns, self.end_ns)


def before_others(pid: int) -> None:
    """Have a process and all its threads go before other work on the machine, which is not measured."""
    for thread in threads_of(pid):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.setpriority(os.PRIO_PROCESS, thread, -20)


def at_once(pid: int, level: int) -> None:
    """Have a process run whenever it can, its other threads when nothing of a higher level can.

    So a machine that is busy with other work delays less of what is measured. Where that is not permitted,
    it goes before other work as ``before_others`` has it.
    """
    for thread in threads_of(pid):
        with suppress(ProcessLookupError):
            try:
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(level if thread == pid else 1))
            except PermissionError:
                os.setpriority(os.PRIO_PROCESS, thread, -20)


def threads_of(pid: int) -> list[int]:
    """Return the numbers of a process's threads."""
    return [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]


@contextmanager
def window(file: Path) -> Iterator[Window]:
    """Measure what happens within the block."""
    measured = Window(file)
    try:
        yield measured
    finally:
        measured.end_ns = time.time_ns()
        time.sleep(0.1)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        receive(int(sys.argv[2]), Path(sys.argv[3]))
