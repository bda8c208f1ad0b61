"""A bridge that listens (``ptcp:``, ``pssl:``) is called until it answers, and then served like any other."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

from zonewall.errors import AdmissionError, BridgeError
from zonewall.openflow.door import Admit, Door
from zonewall.openflow.errors import forget_frames
from zonewall.openflow.pause import Room
from zonewall.openflow.session import Emit, Session
from zonewall.openflow.waiting import Limits
from zonewall.tls import Renewed, TlsFiles, client_context

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
"""The same pauses as between calls to a host's database (``ovsdb.dialer``)."""


@dataclass(frozen=True, slots=True)
class CallerOptions:
    """What bridge to call, and how.

    Attributes:
        bridge: its name, for the log.
        address: IP address where it listens; ``port``: its TCP port.
        tls: None is plain TCP: on loopback only, unless ``allow_plain``.
        generation_id: as of the controller's listeners.
    """

    bridge: str
    address: str
    port: int
    generation_id: int
    tls: TlsFiles | None = None
    allow_plain: bool = False
    limits: Limits = field(default_factory=Limits)

    def __str__(self) -> str:
        """Return what is called, as the inventory writes it."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.bridge} at {'ssl' if self.tls else 'tcp'}:{address}:{self.port}"


class Caller(Door):
    """Calls one bridge while it has no session."""

    def __init__(
        self,
        options: CallerOptions,
        admit: Admit,
        emit: Emit,
        room: Room,
        sessions: dict[int, Session],
        is_awaited: Callable[[], bool],
    ) -> None:
        """Check the options; ``is_awaited`` says whether the bridge has no session, also with a listener.

        Raises:
            AdmissionError: plain TCP was asked for to an address that is not this machine's own.
            ZonewallError: the certificates cannot be used.
        """
        if options.tls is None and not options.allow_plain and not ip_address(options.address).is_loopback:
            raise AdmissionError(
                "OpenFlow without TLS is for loopback only: write ssl:, or let the controller's options say "
                "`allow-plain`"
            )
        tls = None if options.tls is None else Renewed(options.tls, client_context)
        super().__init__(tls, options.limits, options.generation_id, admit, emit, room, sessions)
        self.options = options
        self._is_awaited = is_awaited
        self._calling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to call."""
        self._calling = asyncio.create_task(self._call())

    async def stop(self) -> None:
        """End the session, if there is one, and call no more."""
        if self._calling is not None:
            self._calling.cancel()
            await asyncio.gather(self._calling, return_exceptions=True)

    async def _call(self) -> None:
        pause_s = FIRST_PAUSE_S / 2
        while True:
            if self._is_awaited():
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                try:
                    session = await self._introduced(await self._connect(), str(self.options))
                    pause_s = FIRST_PAUSE_S
                    await self._live(session)
                except Exception as error:  # whatever it was, the bridge is called again
                    self._refuse(str(self.options), error)
                    forget_frames(error)
            await self._rest(pause_s)

    async def _rest(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)

    async def _connect(self) -> socket.socket:
        """Return a connection to the bridge.

        Raises:
            BridgeError, TimeoutError: there is none.
        """
        family = socket.AF_INET6 if ":" in self.options.address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            async with asyncio.timeout(self.options.limits.handshake_s):
                place = (self.options.address, self.options.port)
                await asyncio.get_running_loop().sock_connect(connection, place)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError) and error.errno:
                raise BridgeError(f"connecting failed: {os.strerror(error.errno)}") from None
            raise
        return connection

    async def _transport(
        self, protocol: asyncio.StreamReaderProtocol, connection: socket.socket
    ) -> asyncio.Transport:
        context = self._tls.current() if self._tls else None
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: protocol,
            sock=connection,
            ssl=context,
            # Who it is is no matter of its address: its certificate's names are compared with the inventory.
            server_hostname="" if context else None,
            ssl_handshake_timeout=self.options.limits.handshake_s if context else None,
        )
        return transport
