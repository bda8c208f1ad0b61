"""Where bridges connect: who they are is checked before they become a session."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from zonewall.errors import AdmissionError, BridgeError
from zonewall.openflow.door import Admit, Door
from zonewall.openflow.errors import forget_frames
from zonewall.openflow.events import ConnectionRefused
from zonewall.openflow.pause import Room
from zonewall.openflow.session import Emit, Session
from zonewall.openflow.waiting import Limits
from zonewall.tls import Renewed, TlsFiles, server_context

_CROWDED = "too many connections are being opened"


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """Where to listen and how much to bear.

    Attributes:
        max_half_open: connections that have not said who they are, in all.
        max_half_open_of_one: of one address; the oldest makes room for another of the same address.
        tls: None is plain TCP: on loopback only, unless ``allow_plain``.
        generation_id: rises with every start of the controller, so that an older one is refused.
    """

    host: str
    port: int
    generation_id: int
    tls: TlsFiles | None = None
    allow_plain: bool = False
    max_half_open: int = 1024
    max_half_open_of_one: int = 16
    max_sessions: int = 4096
    limits: Limits = field(default_factory=Limits)


class Listener(Door):
    """Accepts bridges; ``sessions`` holds those that are up, by datapath id."""

    def __init__(
        self,
        options: ListenerOptions,
        admit: Admit,
        emit: Emit,
        room: Room = lambda _: None,
        sessions: dict[int, Session] | None = None,
    ) -> None:
        """Check the options; nothing is opened yet.

        Args:
            options: where to listen and how much to bear.
            admit, emit, room, sessions: as of every door.

        Raises:
            AdmissionError: plain TCP was asked for on an address that others can reach.
            ZonewallError: the certificates cannot be used.
        """
        if options.tls is None and not options.allow_plain and not ip_address(options.host).is_loopback:
            raise AdmissionError(
                f"{options.host}:{options.port}: OpenFlow without TLS is for loopback only: give certificates"
            )
        tls = None if options.tls is None else Renewed(options.tls, server_context)
        super().__init__(tls, options.limits, options.generation_id, admit, emit, room, sessions)
        self.options = options
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._half_open: dict[str, deque[asyncio.Task[Any]]] = {}
        self._crowded_out: set[asyncio.Task[Any]] = set()

    @property
    def port(self) -> int:
        """Return the TCP port that is really listened on."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    async def start(self, listening: socket.socket | None = None) -> None:
        """Listen, or take over a socket that does.

        Raises:
            OSError: the address is not to be had.
        """
        if listening is None:
            family = socket.AF_INET6 if ":" in self.options.host else socket.AF_INET
            listening = socket.create_server(
                (self.options.host, self.options.port), family=family, backlog=256
            )
        listening.setblocking(False)
        self._socket = listening
        self._accepting = asyncio.create_task(self._accept())

    async def stop(self) -> None:
        """Close everything; the bridges go on enforcing what they hold."""
        tasks = [*self._connections, *([self._accepting] if self._accepting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def accepting(self) -> None:
        """Return, or raise what it raised, when nobody is let in any more."""
        assert self._accepting is not None
        await asyncio.wait((self._accepting,))
        if not self._accepting.cancelled():
            self._accepting.result()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._socket is not None
        while True:
            try:
                connection, address = await loop.sock_accept(self._socket)
            except OSError:
                # Out of file descriptors, or a peer that left at once: go on, but not in a tight circle.
                await asyncio.sleep(0.1)
                continue
            peer = f"{address[0]}:{address[1]}"
            if len(self.sessions) >= self.options.max_sessions:
                connection.close()
                self._emit(ConnectionRefused(peer, None, "too many bridges are connected"))
                continue
            self._make_room(address[0])
            task = asyncio.create_task(self._serve(connection, peer, address[0]))
            self._half_open.setdefault(address[0], deque()).append(task)
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
            # It has to have begun before it may be ended, so that it closes its connection.
            await asyncio.sleep(0)

    def _make_room(self, address: str) -> None:
        """End the oldest connection that has not said who it is: of this address, or of whoever has most."""
        mine = self._half_open.setdefault(address, deque())
        crowd = mine if len(mine) >= self.options.max_half_open_of_one else None
        if crowd is None and sum(map(len, self._half_open.values())) >= self.options.max_half_open:
            crowd = max(self._half_open.values(), key=len)
        if crowd:
            oldest = crowd.popleft()
            self._crowded_out.add(oldest)
            oldest.cancel()

    def _is_open(self, address: str) -> None:
        """Note that the present task's connection is no longer half open."""
        tasks = self._half_open.get(address, deque())
        with contextlib.suppress(ValueError):
            tasks.remove(_present())
        if not tasks:
            self._half_open.pop(address, None)

    async def _serve(self, connection: socket.socket, peer: str, address: str) -> None:
        try:
            try:
                session = await self._introduced(connection, peer)
            finally:
                self._is_open(address)
        except (BridgeError, OSError, TimeoutError) as error:
            self._refuse(peer, error)
            forget_frames(error)
            return
        except asyncio.CancelledError as error:
            forget_frames(error)
            if _present() in self._crowded_out:
                self._crowded_out.discard(_present())
                self._emit(ConnectionRefused(peer, None, _CROWDED))
                return
            raise
        await self._live(session)

    async def _transport(
        self, protocol: asyncio.StreamReaderProtocol, connection: socket.socket
    ) -> asyncio.Transport:
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: protocol,
            connection,
            ssl=self._tls.current() if self._tls else None,
            ssl_handshake_timeout=self._limits.handshake_s if self._tls else None,
        )
        return transport


def _present() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
