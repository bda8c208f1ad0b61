"""Real traffic between machines of a lab: echo servers, probes, and a stream that measures its own gaps."""

from __future__ import annotations

import contextlib
import errno
import selectors
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from topologies.machine import Machine
from topologies.namespace import LabError, Namespace, Process

REFUSALS = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EACCES, errno.ENETUNREACH, errno.ECONNRESET}
PROBE_S = 1.0
ALLOWED_S = 20.0
"""So long is waited for what is to be allowed; it comes as soon as the machine lets it."""
LISTENS_WITHIN_S = 20.0
ANSWERED_WITHIN_S = 60.0
"""Longer than any test cuts a connection off that is to go on afterwards."""
LAST_ANSWER_S = 15.0
_INFO_BYTES, _TOTAL_RETRANS, _DSACK_DUPS = 224, 100, 216
"""Size and offsets of struct tcp_info, linux/tcp.h."""


class EchoServer(threading.Thread):
    """Answers TCP on some ports of a machine with what it was sent."""

    def __init__(self, machine: Namespace, ports: Iterable[int]) -> None:
        """Listen at once; call ``start`` to answer."""
        super().__init__(daemon=True)
        self._selector = selectors.DefaultSelector()
        self._wake, waker = socket.socketpair()
        self._waker = waker
        self._selector.register(self._wake, selectors.EVENT_READ, "wake")
        for port in ports:
            listener = machine.socket(socket.AF_INET6, socket.SOCK_STREAM)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("::", port))
            listener.listen(64)
            self._selector.register(listener, selectors.EVENT_READ, "listener")

    def run(self) -> None:
        """Answer until stopped."""
        while True:
            for key, _ in self._selector.select():
                if key.data == "wake":
                    return
                assert isinstance(key.fileobj, socket.socket)
                self._serve(key.fileobj, key.data == "listener")

    def stop(self) -> None:
        """End, and close every socket."""
        self._waker.send(b"x")
        self.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._waker.close()
        self._selector.close()

    def _serve(self, ready: socket.socket, is_listener: bool) -> None:
        if is_listener:
            peer, _ = ready.accept()
            self._selector.register(peer, selectors.EVENT_READ, "peer")
            return
        try:
            data = ready.recv(65536)
            if data:
                ready.sendall(data)
                return
        except OSError:
            pass
        self._selector.unregister(ready)
        ready.close()


def probe_tcp(machine: Namespace, address: str, port: int, timeout_s: float = PROBE_S) -> str:
    """Return what becomes of a connection: ``allow``, ``reject`` or ``drop``."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with machine.socket(family, socket.SOCK_STREAM) as caller:
        caller.settimeout(timeout_s)
        try:
            caller.connect((address, port))
            caller.sendall(b"zonewall")
            return "allow" if caller.recv(64) == b"zonewall" else "drop"
        except TimeoutError:
            return "drop"
        except OSError as error:
            return "reject" if error.errno in REFUSALS else "drop"


def probe_ping(machine: Machine, address: str) -> str:
    """Return ``allow`` if an echo request is answered, else ``drop``."""
    return "allow" if machine.ping(address, count=1, timeout_s=PROBE_S) else "drop"


@dataclass(frozen=True, slots=True)
class Gap:
    """How a stream fared: round trips that were made, the longest pause between two, whether it ended.

    ``lost`` are segments of the asking end that were sent again because they, or their answers, did not come.
    """

    round_trips: int
    longest_ms: float
    longest_at: float
    broken: str
    lost: int


class Stream(threading.Thread):
    """One TCP connection that asks and is answered without a pause, every few milliseconds."""

    def __init__(self, machine: Namespace, address: str, port: int, every_s: float = 0.005) -> None:
        """Connect at once; call ``start`` to begin."""
        super().__init__(daemon=True)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = machine.socket(family, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWERED_WITHIN_S)
        self._socket.connect((address, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._every_s = every_s
        self._stopping = threading.Event()
        self._arrivals: list[float] = []
        self._broken = ""
        self._gap: Gap | None = None

    def run(self) -> None:
        """Ask and wait for the answer until stopped."""
        number = 0
        try:
            while not self._stopping.is_set():
                asked = number.to_bytes(8, "big")
                self._socket.sendall(asked)
                got = b""
                while len(got) < len(asked):
                    part = self._socket.recv(len(asked) - len(got))
                    if not part:
                        raise ConnectionResetError("the other end closed the connection")
                    got += part
                if got != asked:
                    raise ConnectionError("the answer was another one's")
                self._arrivals.append(time.monotonic())
                number += 1
                time.sleep(self._every_s)
        except OSError as error:
            self._broken = str(error) or type(error).__name__

    def last(self) -> float:
        """Return when the last answer came, as a reading of ``time.monotonic()``; 0 before the first."""
        return self._arrivals[-1] if self._arrivals else 0.0

    def goes_on(self, patience_s: float = 20.0) -> bool:
        """Say whether there is another answer in time; TCP repeats ever less often."""
        before, deadline = self.last(), time.monotonic() + patience_s
        while self.last() <= before:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def stop(self) -> Gap:
        """End, and say how it went; safe to call twice."""
        if self._gap is None:
            self._gap = self._ended()
        return self._gap

    def _ended(self) -> Gap:
        self._stopping.set()
        self.join(LAST_ANSWER_S)
        broken = self._broken or ("no answer came to the last question" if self.is_alive() else "")
        lost = lost_segments(self._socket)
        with contextlib.suppress(OSError):
            self._socket.close()
        pauses = [(b - a, a) for a, b in pairwise(self._arrivals)]
        longest, at = max(pauses, default=(0.0, 0.0))
        return Gap(len(self._arrivals), longest * 1000, at, broken, lost)


def lost_segments(one: socket.socket) -> int:
    """Return how many segments a TCP socket sent again, less those that the other end had twice then."""
    info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    again, needlessly = (struct.unpack_from("=I", info, at)[0] for at in (_TOTAL_RETRANS, _DSACK_DUPS))
    return max(0, int(again - needlessly))


class Pings:
    """Echo requests every 20 ms from one machine to an address, to see for how long none is answered."""

    def __init__(self, machine: Machine, address: str) -> None:
        """Begin at once."""
        self._process = machine.start("ping", "-n", "-D", "-i", "0.02", "-W", "1", address)

    def stop(self) -> float:
        """End, and return the longest time between two answers in milliseconds."""
        self._process.stop(signal.SIGINT)
        times = [float(line[1 : line.index("]")]) for line in self._lines() if line.startswith("[")]
        return max((b - a for a, b in pairwise(times)), default=float("inf")) * 1000

    def _lines(self) -> list[str]:
        return [line for line in self._process.output().splitlines() if "bytes from" in line]


def serve_files(machine: Namespace, folder: Path, port: int) -> Process:
    """Start a web server for a folder's files and wait until it listens."""
    made = machine.start("python3", "-m", "http.server", str(port), "--directory", str(folder))
    deadline = time.monotonic() + LISTENS_WITHIN_S
    while made.running() and time.monotonic() < deadline and f":{port} " not in machine.run("ss", "-Hltn"):
        time.sleep(0.05)
    return made


def fetch(machine: Namespace, url: str, timeout_s: int = 3) -> tuple[str, str]:
    """Return the status and the page that HTTP gives, ``000`` and nothing where nobody answers."""
    try:
        said = machine.run("curl", "-s", "-m", str(timeout_s), "-w", "\n%{http_code}", f"http://{url}")
    except LabError:
        return "000", ""
    page, _, status = said.rpartition("\n")
    return status, page
