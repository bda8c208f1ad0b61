"""How a connection becomes a bridge's session: who it is is checked first, whichever side has connected."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from zonewall.errors import AdmissionError, BridgeError
from zonewall.openflow.channel import Channel
from zonewall.openflow.errors import RequestRefused
from zonewall.openflow.events import BridgeDown, BridgeUp, ConnectionRefused, Fenced
from zonewall.openflow.handshake import greet
from zonewall.openflow.in_order import PortsInOrder
from zonewall.openflow.pause import Room
from zonewall.openflow.session import Emit, Session
from zonewall.openflow.waiting import Limits
from zonewall.tls import Renewed, certificate_names


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a bridge is let in, and if not, why in one line.

    Attributes:
        known_as: the number that stands for its datapath id here; None: the id itself.
    """

    is_admitted: bool
    reason: str = ""
    known_as: int | None = None


Admit = Callable[[int, frozenset[str] | None, str], Admission]
"""(datapath id, names in its certificate or None without TLS, its address) -> admission."""


class Door(ABC):
    """What listeners and callers share: ``sessions`` holds those that are up, by datapath id."""

    def __init__(
        self,
        tls: Renewed | None,
        limits: Limits,
        generation_id: int,
        admit: Admit,
        emit: Emit,
        room: Room = lambda _: None,
        sessions: dict[int, Session] | None = None,
    ) -> None:
        """Nobody is let in yet.

        Args:
            tls: our side of it; None is plain TCP.
            limits: how much to bear of one bridge.
            generation_id: rises with every start of the controller, so that an older one is refused.
            admit: decides who is let in.
            emit: called with each event.
            room: asked before more is read of a bridge.
            sessions: shared by the doors of one controller, so that a datapath id is there once.
        """
        self.sessions: dict[int, Session] = {} if sessions is None else sessions
        self.generation_id = generation_id
        self._limits = limits
        self._tls = tls
        self._admit = admit
        self._emit = emit
        self._room = room

    async def _introduced(self, connection: socket.socket, peer: str) -> Session:
        """Return the session of whoever is at the other end, who may have one.

        Raises:
            BridgeError, OSError, TimeoutError: that cannot be found out, or it may have none; what is at the
                other end is hung up on.
        """
        channel: Channel | None = None
        try:
            async with asyncio.timeout(self._limits.handshake_s):
                channel, names = await self._open(connection)
                datapath_id = await greet(channel)
                return await self._let_in(channel, datapath_id, names, peer)
        except asyncio.CancelledError:
            if channel is not None:
                channel.abort()
            connection.close()
            raise
        except (BridgeError, OSError, TimeoutError):
            if channel is not None:
                await channel.close()
            connection.close()
            raise

    async def _open(self, connection: socket.socket) -> tuple[Channel, frozenset[str] | None]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = await self._transport(protocol, connection)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        tls = transport.get_extra_info("ssl_object")
        return Channel(reader, writer), certificate_names(tls.getpeercert()) if tls else None

    @abstractmethod
    async def _transport(
        self, protocol: asyncio.StreamReaderProtocol, connection: socket.socket
    ) -> asyncio.Transport:
        """Return the transport over a connection, after TLS's handshake where there is one."""

    def _refuse(self, peer: str, error: Exception) -> None:
        """Tell who was not let in, and why."""
        reason = str(error) or f"no OpenFlow within {self._limits.handshake_s:g} s"
        self._emit(ConnectionRefused(peer, getattr(error, "datapath_id", None), reason))

    async def _let_in(
        self, channel: Channel, datapath_id: int, names: frozenset[str] | None, peer: str
    ) -> Session:
        known_as = self._judged(datapath_id, names, peer)
        other = self.sessions.get(known_as)
        if other is not None:
            is_proven = names is not None and other.certificate_names is None
            if not is_proven and await other.is_alive():
                raise _refused(known_as, f"{other.peer_address} is connected with this datapath id already")
            self._judge_again(datapath_id, names, peer, known_as)
            silent = "it was silent when the bridge connected again"
            other.close(f"replaced: {'the bridge has shown a certificate' if is_proven else silent}")
            await asyncio.sleep(0)
            self._judge_again(datapath_id, names, peer, known_as)
        if known_as in self.sessions and self.sessions[known_as] is not other:
            raise _refused(known_as, "another connection with this datapath id was quicker")
        emit = PortsInOrder(self._emit, self._limits.max_ports)
        session = Session(channel, known_as, peer, emit, self._limits, self._room)
        session.certificate_names = names
        self.sessions[known_as] = session
        return session

    def _judged(self, datapath_id: int, names: frozenset[str] | None, peer: str) -> int:
        """Return what stands for a bridge's datapath id here.

        Raises:
            AdmissionError: it is not let in.
        """
        admission = self._admit(datapath_id, names, peer)
        if not admission.is_admitted:
            raise _refused(datapath_id, f"not admitted: {admission.reason}")
        return datapath_id if admission.known_as is None else admission.known_as

    def _judge_again(self, datapath_id: int, names: frozenset[str] | None, peer: str, known_as: int) -> None:
        """Judge by what is in force now, since that may have changed while something was waited for.

        Raises:
            AdmissionError: the bridge is not let in, or as another one.
        """
        if self._judged(datapath_id, names, peer) != known_as:
            raise _refused(datapath_id, "the inventory has changed while it connected")

    async def _live(self, session: Session) -> None:
        reading = asyncio.create_task(session.run())
        is_up, refused = False, None
        try:
            try:
                await session.become_master(self.generation_id)
                ports = await session.read_ports()
            except BridgeError as error:
                if isinstance(error, RequestRefused) and error.is_stale:
                    self._emit(Fenced(session.datapath_id))
                session.close(str(error))
                refused = ConnectionRefused(session.peer_address, session.datapath_id, str(error))
            else:
                is_up = True
                session.emit(BridgeUp(session.datapath_id, session.peer_address, ports))
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
            await session.channel.close()  # so that no error is left that holds what it came through
            reading.result()


class _RefusedBridge(AdmissionError):  # noqa: N818
    """A refusal of a bridge whose datapath id is known."""

    def __init__(self, datapath_id: int, reason: str) -> None:
        self.datapath_id = datapath_id
        super().__init__(f"bridge {datapath_id:016x}: {reason}")


def _refused(datapath_id: int, reason: str) -> AdmissionError:
    return _RefusedBridge(datapath_id, reason)
