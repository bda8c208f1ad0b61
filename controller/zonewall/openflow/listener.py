"""Where bridges connect: who they are is checked before they become a session."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from zonewall.errors import AdmissionError, BridgeError
from zonewall.openflow.channel import Channel
from zonewall.openflow.errors import RequestRefused
from zonewall.openflow.events import BridgeDown, BridgeUp, ConnectionRefused, Fenced
from zonewall.openflow.handshake import greet
from zonewall.openflow.pause import Room
from zonewall.openflow.session import Emit, Session
from zonewall.openflow.tls import TlsFiles, certificate_names
from zonewall.openflow.waiting import Limits


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a bridge is let in, and if not, why in one line."""

    is_admitted: bool
    reason: str = ""


_CROWDED = "too many connections are being opened"

Admit = Callable[[int, frozenset[str] | None, str], Admission]
"""(datapath id, names in its certificate or None without TLS, its address) -> admission."""


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


class Listener:
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
            admit: decides who is let in.
            emit: called with each event.
            room: asked before more is read of a bridge.
            sessions: shared by the listeners of one controller, so that a datapath id is there once.

        Raises:
            AdmissionError: plain TCP was asked for on an address that others can reach.
        """
        if options.tls is None and not options.allow_plain and not ip_address(options.host).is_loopback:
            raise AdmissionError(
                f"{options.host}:{options.port}: OpenFlow without TLS is for loopback only: give certificates"
            )
        self.options = options
        self.sessions: dict[int, Session] = {} if sessions is None else sessions
        self._admit = admit
        self._emit = emit
        self._room = room
        self._context = options.tls.context() if options.tls else None
        self._written = options.tls.written() if options.tls else ()
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

    def reload_certificates(self) -> None:
        """Read key, certificate and authority again, for the connections to come.

        Raises:
            OSError: a file cannot be used; the old ones stay in force.
        """
        if self.options.tls is not None:
            written = self.options.tls.written()
            self._context = self.options.tls.context()
            self._written = written

    def _renew(self) -> None:
        """Take certificates that were replaced; those that cannot be used leave the old ones in force."""
        tls = self.options.tls
        if tls is not None and tls.written() != self._written:
            with contextlib.suppress(OSError):
                self.reload_certificates()

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
        channel: Channel | None = None
        try:
            try:
                async with asyncio.timeout(self.options.limits.handshake_s):
                    channel, names = await self._open(connection)
                    datapath_id = await greet(channel)
                    session = await self._let_in(channel, datapath_id, names, peer)
            finally:
                self._is_open(address)
        except (BridgeError, OSError, ssl.SSLError, TimeoutError) as error:
            reason = str(error) or f"no OpenFlow within {self.options.limits.handshake_s:g} s"
            self._emit(ConnectionRefused(peer, getattr(error, "datapath_id", None), reason))
            if channel is not None:
                await channel.close()
            connection.close()
            return
        except asyncio.CancelledError:
            if channel is not None:
                channel.abort()
            connection.close()
            if _present() in self._crowded_out:
                self._crowded_out.discard(_present())
                self._emit(ConnectionRefused(peer, None, _CROWDED))
                return
            raise
        await self._live(session)

    async def _open(self, connection: socket.socket) -> tuple[Channel, frozenset[str] | None]:
        loop = asyncio.get_running_loop()
        self._renew()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handshake_s = self.options.limits.handshake_s if self._context else None
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=self._context, ssl_handshake_timeout=handshake_s
        )
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        tls = transport.get_extra_info("ssl_object")
        return Channel(reader, writer), certificate_names(tls) if tls else None

    async def _let_in(
        self, channel: Channel, datapath_id: int, names: frozenset[str] | None, peer: str
    ) -> Session:
        admission = self._admit(datapath_id, names, peer)
        if not admission.is_admitted:
            raise _refused(datapath_id, f"not admitted: {admission.reason}")
        other = self.sessions.get(datapath_id)
        if other is not None:
            is_proven = names is not None and other.certificate_names is None
            if not is_proven and await other.is_alive():
                raise _refused(
                    datapath_id, f"{other.peer_address} is connected with this datapath id already"
                )
            silent = "it was silent when the bridge connected again"
            other.close(f"replaced: {'the bridge has shown a certificate' if is_proven else silent}")
            await asyncio.sleep(0)
        if datapath_id in self.sessions and self.sessions[datapath_id] is not other:
            raise _refused(datapath_id, "another connection with this datapath id was quicker")
        session = Session(channel, datapath_id, peer, self._emit, self.options.limits, self._room)
        session.certificate_names = names
        self.sessions[datapath_id] = session
        return session

    async def _live(self, session: Session) -> None:
        reading = asyncio.create_task(session.run())
        is_up, refused = False, None
        try:
            try:
                await session.become_master(self.options.generation_id)
                ports = await session.read_ports()
            except BridgeError as error:
                if isinstance(error, RequestRefused) and error.is_stale:
                    self._emit(Fenced(session.datapath_id))
                session.close(str(error))
                refused = ConnectionRefused(session.peer_address, session.datapath_id, str(error))
            else:
                is_up = True
                self._emit(BridgeUp(session.datapath_id, session.peer_address, ports))
            await asyncio.wait((reading,))
        finally:
            session.close("the controller stops")
            await asyncio.wait((reading,))
            if self.sessions.get(session.datapath_id) is session:
                del self.sessions[session.datapath_id]
            if refused is not None:
                self._emit(refused)
            if is_up:
                self._emit(BridgeDown(session.datapath_id, session.end))
            reading.result()


def _present() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


class _RefusedBridge(AdmissionError):  # noqa: N818
    """A refusal of a bridge whose datapath id is known."""

    def __init__(self, datapath_id: int, reason: str) -> None:
        self.datapath_id = datapath_id
        super().__init__(f"bridge {datapath_id:016x}: {reason}")


def _refused(datapath_id: int, reason: str) -> AdmissionError:
    return _RefusedBridge(datapath_id, reason)
