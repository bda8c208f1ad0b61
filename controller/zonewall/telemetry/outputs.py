"""Records on their way to collectors: threads of their own write them, and say how many they could not."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import structlog

from zonewall.errors import ZonewallError
from zonewall.journal.keeping import JournalSink
from zonewall.journal.record import Entry, Kind, canonical

SENT = frozenset({Kind.CONNECTION, Kind.DENIED, Kind.GAP})
"""What goes to collectors; everything is in the journal."""

MOST_WAITING = 20_000
BATCH = 1_000
RETRY_S = 1.0
STOPPING_S = 2.0

_LOCAL0 = 16 << 3
_SEVERITIES = {Kind.GAP: 4, Kind.DENIED: 5}
_INFORMATIONAL = 6

_log = structlog.get_logger()


class Output(Protocol):
    """One collector."""

    name: str

    def write(self, entries: Sequence[Entry]) -> int:
        """Write entries in order, and return how many were taken; the rest may be tried again.

        Raises:
            OSError: none was.
        """


def as_line(entry: Entry) -> str:
    """Return an entry as one line of JSON, as ``zonewall journal --output json`` writes records."""
    document = {
        "time": _time(entry.at_us), "kind": entry.kind.value, "tenant": entry.tenant or None,
        "endpoint": entry.endpoint or None, "host": entry.host or None, "cause": entry.cause,
        "details": entry.said,
    }  # fmt: skip
    return json.dumps(document)


class LineFile:
    """Appends lines of JSON to a file; opened anew each time, so that it may be rotated."""

    def __init__(self, path: Path) -> None:
        """Write to ``path``."""
        self.name = f"file:{path}"
        self._path = path

    def write(self, entries: Sequence[Entry]) -> int:
        """Write all entries, or none: a disk that fills up leaves no torn line, and no line comes twice."""
        data = "".join(f"{as_line(entry)}\n" for entry in entries).encode()
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            before = os.fstat(file).st_size
            try:
                while data:
                    data = data[os.write(file, data) :]
            except OSError:
                with contextlib.suppress(OSError):  # a pipe takes nothing back
                    os.ftruncate(file, before)
                raise
        finally:
            os.close(file)
        return len(entries)


class Syslog:
    """Sends datagrams of RFC 5424, one for each record, the record as JSON in their message."""

    def __init__(self, name: str, family: int, address: str | tuple[str, int]) -> None:
        """Send to a unix socket's path, or to an IP address and port."""
        self.name = name
        self._family, self._address = family, address
        self._socket: socket.socket | None = None
        host = socket.gethostname().encode("ascii", "replace").decode()
        self._sender = f"{host[:255] or '-'} zonewall {os.getpid()}"

    def write(self, entries: Sequence[Entry]) -> int:
        """Send entries."""
        written = 0
        try:
            if self._socket is None:
                self._socket = socket.socket(self._family, socket.SOCK_DGRAM)
                self._socket.settimeout(RETRY_S)
                self._socket.connect(self._address)
            for entry in entries:
                self._send(self._socket, entry)
                written += 1
        except OSError:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            if not written:
                raise
        return written

    def _send(self, to: socket.socket, entry: Entry) -> None:
        try:
            to.send(self.message(entry))
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            # It never would go, however often it is tried, and nothing behind it: the journal has it whole.
            said = {"left_out": "too large for a datagram", "bytes": len(entry.details.encode())}
            to.send(self.message(replace(entry, details=canonical(said))))

    def message(self, entry: Entry) -> bytes:
        """Return one message (RFC 5424, 6): local0, the record's kind as its MSGID."""
        priority = _LOCAL0 | _SEVERITIES.get(entry.kind, _INFORMATIONAL)
        head = f"<{priority}>1 {_time(entry.at_us)} {self._sender} {entry.kind.value} - "
        return (head + as_line(entry)).encode()


def output_of(place: str) -> Output:
    """Return the collector at ``file:PATH``, ``syslog:unix:PATH`` or ``syslog:udp:ADDRESS:PORT``.

    Raises:
        ZonewallError: it is written otherwise.
    """
    kind, _, rest = place.partition(":")
    if kind == "file" and rest:
        return LineFile(Path(rest))
    way, _, where = rest.partition(":")
    if kind == "syslog" and way == "unix" and where:
        return Syslog(place, socket.AF_UNIX, where)
    host, _, port = where.rpartition(":")
    if kind == "syslog" and way == "udp" and host and port.isdecimal() and 0 < int(port) < 65536:
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return Syslog(place, family, (host, int(port)))
    raise ZonewallError(
        f"{place!r} is no place for records; write file:PATH, syslog:unix:/dev/log or syslog:udp:ADDRESS:514"
    )


@dataclass(slots=True)
class _Queue:
    """What one collector has not been given yet."""

    output: Output
    waiting: deque[Entry] = field(default_factory=deque)
    lost: int = 0
    lost_in_all: int = 0
    error: str = ""


class Outputs:
    """A sink that passes everything on to the journal, and what collectors want to them."""

    def __init__(self, journal: JournalSink, places: Iterable[str]) -> None:
        """Write to ``places``, once started.

        Raises:
            ZonewallError: a place is not written well.
        """
        self._journal = journal
        self._queues = [_Queue(output_of(place)) for place in places]
        self._ready = threading.Condition()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, args=(queue,), name="zonewall-records", daemon=True)
            for queue in self._queues
        ]

    def start(self) -> None:
        """Start a thread for each collector."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Write what is waiting, if it can be written soon, and end."""
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(STOPPING_S)

    def put(self, entries: Iterable[Entry], texts: Mapping[str, bytes] | None = None) -> None:
        """Have entries kept, and written where they are to go; never waits."""
        entries = list(entries)
        self._journal.put(entries, texts)
        chosen = [entry for entry in entries if entry.kind in SENT]
        if not chosen or not self._queues:
            return
        with self._ready:
            for queue in self._queues:
                room = MOST_WAITING - len(queue.waiting)
                queue.waiting.extend(chosen[:room])
                queue.lost += max(0, len(chosen) - room)
            self._ready.notify_all()

    def status(self) -> list[dict[str, object]]:
        """Return how each collector fares."""
        with self._ready:
            return [
                {
                    "to": queue.output.name, "waiting": len(queue.waiting),
                    "lost": queue.lost + queue.lost_in_all, "error": queue.error or None,
                }
                for queue in self._queues
            ]  # fmt: skip

    # In a collector's thread

    def _work(self, queue: _Queue) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._stopping or queue.waiting or queue.lost)
                batch, lost = list(_first(queue.waiting, BATCH)), queue.lost
                if not batch and not lost:
                    return
            try:
                # What was lost is told by itself, after the records before it: each is tried again alone.
                written = queue.output.write(batch or [_gap(lost)])
            except OSError as error:
                if not self._failed(queue, error):
                    return
                continue
            with self._ready:
                queue.error = ""
                if batch:
                    for _ in range(written):
                        queue.waiting.popleft()
                else:  # meanwhile more may have been lost, which the next report tells
                    queue.lost_in_all, queue.lost = queue.lost_in_all + lost, queue.lost - lost

    def _failed(self, queue: _Queue, error: OSError) -> bool:
        """Wait before the next attempt; False if there is none."""
        reason = error.strerror or str(error)
        if queue.error != reason:
            _log.error("records_not_written", to=queue.output.name, error=reason)
        with self._ready:
            queue.error = reason
            if self._stopping:
                return False
            self._ready.wait_for(lambda: self._stopping, RETRY_S)
        return True


def _first(waiting: deque[Entry], count: int) -> Iterator[Entry]:
    for position, entry in enumerate(waiting):
        if position == count:
            return
        yield entry


def _gap(lost: int) -> Entry:
    at_us = (datetime.now(UTC) - _EPOCH) // timedelta(microseconds=1)
    reason = "too much was waiting for this collector; the journal has it"
    return Entry(at_us, Kind.GAP, "controller", details=canonical({"reason": reason, "records": lost}))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _time(at_us: int) -> str:
    when = _EPOCH + timedelta(microseconds=at_us)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
