"""Traffic that never pauses, in a process of its own, every packet numbered: what was lost, leaked, late.

In each pair of a client and a server run: UDP in both directions, short TCP connections one after the other,
a long transfer, and packets that no policy ever allows; a machine of another identity knocks at the servers.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from topologies.lab import Machine
from topologies.probes import lost_segments

from support.raw_probes import address_of
from support.stranger import Stranger, heard
from support.traffic_report import Flow, Report

UDP_PORT, SHORT_PORT, LONG_PORT, FORBIDDEN_PORT = 5000, 8000, 8001, 6000
UDP_EVERY_S, SHORT_EVERY_S, LONG_EVERY_S, FORBIDDEN_EVERY_S, KNOCK_EVERY_S = 0.005, 0.04, 0.01, 0.02, 0.01
SHORT_PATIENCE_S = 20.0
CHUNK = bytes(1000)
BUFFER = 4 << 20
NUMBER = struct.Struct("!Q")
DRAIN_S = 1.0
CALM_S = 1.0
"""So long the traffic runs before anything is done to it: what is measured then is the peer."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Who speaks to whom, in which family."""

    client: Machine
    server: Machine
    family: int = 4


class Traffic:
    """A context manager: traffic runs within it, ``report`` is what became of it."""

    report: Report
    calm_until: float

    def __init__(self, pairs: Sequence[Pair], stranger: Machine) -> None:
        """Open every socket."""
        self._loop = _Loop(pairs, stranger)
        context = multiprocessing.get_context("fork")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=self._loop.run, args=(theirs,), daemon=True)

    def __enter__(self) -> Traffic:
        """Begin, and let it run in peace for a while; other work on the machine comes after it."""
        self._process.start()
        assert self._process.pid is not None
        os.setpriority(os.PRIO_PROCESS, self._process.pid, -20)
        self._ours.recv()
        time.sleep(CALM_S)
        self.calm_until = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        """End, and take the report."""
        self._ours.send("stop")
        if self._ours.poll(DRAIN_S + 30):
            self.report = self._ours.recv()
            self.report.begun_at = self.calm_until
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
        self._loop.close()

    def so_far(self) -> Report:
        """Return the report of now."""
        self._ours.send("report")
        report: Report = self._ours.recv()
        report.begun_at = self.calm_until
        return report


class _Loop:
    """The other process: one selector, timers, no threads."""

    def __init__(self, pairs: Sequence[Pair], stranger: Machine) -> None:
        self.report = Report()
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._sockets: list[socket.socket] = []
        self._opening: dict[socket.socket, tuple[float, str]] = {}
        self._starts: list[Callable[[], None]] = []
        self._senders: dict[str, socket.socket] = {}
        for pair in pairs:
            self._datagrams(pair)
            self._long(pair)
            self._listen(pair, SHORT_PORT, self._echo)
            self._forbid(pair)
            self._every(SHORT_EVERY_S * len(pairs), self._opener(pair))
        servers = [(pair.server, pair.family) for pair in pairs]
        self._stranger = Stranger(stranger, servers, UDP_PORT, (SHORT_PORT, LONG_PORT))
        self._knock()

    def run(self, orders: Connection) -> None:
        """Work until told to stop; then send the report."""
        self._selector.register(orders, selectors.EVENT_READ, None)
        for start in self._starts:
            start()
        orders.send("begun")
        stop_at = float("inf")
        due = [time.monotonic() + every for every, _ in self._timers]
        while (now := time.monotonic()) < stop_at:
            if stop_at == float("inf"):
                for index, (every, action) in enumerate(self._timers):
                    if due[index] <= now:
                        due[index] = max(due[index] + every, now)
                        action()
            wait = 0.05 if stop_at < float("inf") else max(0.0, min(due) - time.monotonic())
            for key, _ in self._selector.select(wait):
                if key.data is not None:
                    key.data()
                elif orders.recv() == "stop":
                    stop_at = time.monotonic() + DRAIN_S
                else:
                    self._count_repeated()
                    orders.send(self.report)
            self._give_up()
        self._count_repeated()
        orders.send(self.report)

    def close(self) -> None:
        """Close this process's copies."""
        self._stranger.close()
        for one in self._sockets:
            one.close()

    # Sockets

    def _socket(self, machine: Machine, family: int, kind: int) -> socket.socket:
        made = machine.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == 6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._sockets.append(made)
        return made

    def _every(self, seconds: float, action: Callable[[], None]) -> None:
        self._timers.append((seconds, action))

    def _when_readable(self, one: socket.socket, action: Callable[[], None]) -> None:
        one.setblocking(False)
        self._selector.register(one, selectors.EVENT_READ, action)

    # Datagrams

    def _datagrams(self, pair: Pair) -> None:
        server, family = pair.server, pair.family
        there, back = Flow(), Flow()
        self.report.udp[server.short_name] = (there, back)
        listener, caller = (self._socket(m, family, socket.SOCK_DGRAM) for m in (server, pair.client))
        listener.bind(("", UDP_PORT))
        caller.connect((address_of(server, family), UDP_PORT))

        def send() -> None:
            with contextlib.suppress(OSError):
                caller.send(NUMBER.pack(there.sent))
            there.sent += 1

        def asked() -> None:
            for data, address in _datagrams_of(listener):
                if len(data) != NUMBER.size:
                    continue  # a stranger's, which is counted elsewhere
                _note(there, data)
                with contextlib.suppress(OSError):
                    listener.sendto(data, address)
                back.sent += 1

        def answered() -> None:
            for data, _ in _datagrams_of(caller):
                _note(back, data)

        self._when_readable(listener, asked)
        self._when_readable(caller, answered)
        self._every(UDP_EVERY_S, send)

    def _knock(self) -> None:
        """Have the stranger knock, and count what arrives."""

        def send() -> None:
            self._stranger.knock()
            self.report.knocks += 1

        def let_in(ear: socket.socket) -> None:
            self.report.let_in += heard(ear)

        for ear in self._stranger.ears:
            self._selector.register(ear, selectors.EVENT_READ, partial(let_in, ear))
        self._every(KNOCK_EVERY_S, send)

    def _forbid(self, pair: Pair) -> None:
        """Send what is never allowed, both ways, and count what arrives."""
        family = pair.family
        for source, target in ((pair.client, pair.server), (pair.server, pair.client)):
            listener, caller = (self._socket(m, family, socket.SOCK_DGRAM) for m in (target, source))
            listener.bind(("", FORBIDDEN_PORT))
            address = (address_of(target, family), FORBIDDEN_PORT)

            def send(caller: socket.socket = caller, address: tuple[str, int] = address) -> None:
                with contextlib.suppress(OSError):
                    caller.sendto(b"never", address)
                self.report.forbidden += 1

            def leaked(listener: socket.socket = listener) -> None:
                self.report.leaked += sum(1 for _ in _datagrams_of(listener))

            self._when_readable(listener, leaked)
            self._every(FORBIDDEN_EVERY_S, send)

    # Streams

    def _listen(self, pair: Pair, port: int, serve: Callable[[socket.socket], None]) -> None:
        listener = self._socket(pair.server, pair.family, socket.SOCK_STREAM)
        listener.bind(("", port))
        listener.listen(256)

        def accept() -> None:
            with contextlib.suppress(OSError):
                serve(listener.accept()[0])

        self._when_readable(listener, accept)

    def _echo(self, peer: socket.socket) -> None:
        def answer() -> None:
            try:
                data = peer.recv(65536)
                if data:
                    peer.send(data)
                    return
            except OSError:
                pass
            self._selector.unregister(peer)
            peer.close()

        self._when_readable(peer, answer)

    def _long(self, pair: Pair) -> None:
        server, family, name = pair.server, pair.family, pair.server.short_name
        times = self.report.transfers.setdefault(name, [])
        self.report.transfers_broken[name] = ""

        def take(peer: socket.socket) -> None:
            def read() -> None:
                with contextlib.suppress(BlockingIOError):
                    try:
                        if peer.recv(1 << 20):
                            times.append(time.monotonic())
                            return
                    except ConnectionError as error:
                        self.report.transfers_broken[name] = str(error)
                    self._selector.unregister(peer)

            self._when_readable(peer, read)

        self._listen(pair, LONG_PORT, take)
        caller = self._socket(pair.client, family, socket.SOCK_STREAM)
        caller.settimeout(10.0)

        def start() -> None:
            caller.connect((address_of(server, family), LONG_PORT))
            caller.setblocking(False)

        def send() -> None:
            try:
                caller.send(CHUNK)
            except BlockingIOError:
                pass
            except OSError as error:
                self.report.transfers_broken[name] = str(error)

        self._starts.append(start)
        self._every(LONG_EVERY_S, send)
        self._senders[name] = caller

    def _count_repeated(self) -> None:
        for name, caller in self._senders.items():
            self.report.repeated[name] = lost_segments(caller)

    def _opener(self, pair: Pair) -> Callable[[], None]:
        """Return what opens one short connection: asks, is answered, closes."""
        server, family = pair.server, pair.family
        address = (address_of(server, family), SHORT_PORT)
        inet = socket.AF_INET if family == 4 else socket.AF_INET6

        def open_one() -> None:
            pair.client.enter()  # of this process nothing else is made from now on
            caller = socket.socket(inet, socket.SOCK_STREAM)
            caller.setblocking(False)
            self._opening[caller] = (time.monotonic(), server.short_name)
            code = caller.connect_ex(address)
            if code not in (0, errno.EINPROGRESS):
                self._finish(caller, f"{server.short_name}: {errno.errorcode[code]}")
                return
            self._selector.register(caller, selectors.EVENT_WRITE, lambda: connected(caller))

        def connected(caller: socket.socket) -> None:
            code = caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._finish(caller, f"{server.short_name}: {errno.errorcode[code]}")
                return
            caller.send(b"short")
            self._selector.modify(caller, selectors.EVENT_READ, lambda: answered(caller))

        def answered(caller: socket.socket) -> None:
            try:
                fine = caller.recv(64) == b"short"
            except OSError as error:
                self._finish(caller, f"{server.short_name}: {error}")
                return
            self._finish(caller, "" if fine else f"{server.short_name}: closed")

        return open_one

    def _finish(self, caller: socket.socket, problem: str) -> None:
        begun, _ = self._opening.pop(caller)
        with contextlib.suppress(KeyError):
            self._selector.unregister(caller)
        caller.close()
        if problem:
            self.report.broken.append(problem)
        else:
            self.report.short.append(time.monotonic() - begun)

    def _give_up(self) -> None:
        late = time.monotonic() - SHORT_PATIENCE_S
        for caller, (begun, name) in list(self._opening.items()):
            if begun < late:
                self._finish(caller, f"{name}: not finished after {SHORT_PATIENCE_S:.0f} s")


def _datagrams_of(one: socket.socket) -> list[tuple[bytes, tuple[str, int]]]:
    found = []
    with contextlib.suppress(OSError):
        while True:
            found.append(one.recvfrom(2048))
    return found


def _note(flow: Flow, data: bytes) -> None:
    number = int.from_bytes(data, "big")
    if number in flow.arrivals:
        flow.twice += 1
    else:
        flow.arrivals[number] = time.monotonic()
