"""Whole messages in and out of one connection: bounded in size, in time and in what waits to be sent."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterable

from zonewall.flows.wire import VERSION
from zonewall.openflow import messages
from zonewall.openflow.errors import Malformed, SessionClosed, forget_frames
from zonewall.openflow.parse import Header, parse_header

JOINED_BYTES = 64 * 1024
"""Messages are joined to writes of about this size."""
MAX_WAITING_BYTES = 4 * 1024 * 1024
"""A bridge that asks without reading the answers is cut when this much waits for it."""
READ_BYTES = 256 * 1024
_TAKEN_APART = 64
"""So many messages are taken apart at a time of who is read one by one: it may be anybody."""
HELD_S = 0.002
"""So long a question waits at most for the change that it is to go along with."""


class Channel:
    """Messages of one connection; every OpenFlow message is at most 65,535 bytes by its own header."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over both ends of a connection."""
        self._reader = reader
        self._writer = writer
        self._waiting = b""
        self._put_back: deque[tuple[Header, bytes]] = deque()
        self._next_xid = 1
        self._held: list[bytes] = []
        self._release: asyncio.TimerHandle | None = None

    def new_xid(self, count: int = 1) -> int:
        """Return the first of ``count`` numbers that no other request in flight has."""
        if self._next_xid + count > 0xFFFFFFFF:
            self._next_xid = 1
        first = self._next_xid
        self._next_xid += count
        return first

    async def read(self, most: int = sys.maxsize) -> list[tuple[Header, bytes]]:
        """Wait for, and return, the messages that came, at ``most`` so many; never an empty list.

        All else that waits in the loop has its turn before more of what is here already is returned.

        Raises:
            SessionClosed: the other end closed.
            Malformed: a header that cannot be.
        """
        if self._put_back:
            whole = list(self._put_back)
            self._put_back.clear()
            return whole
        data = self._waiting
        if len(data) >= 8:
            await asyncio.sleep(0)
        while True:
            whole, used = _split(data, most)
            self._waiting = data[used:]
            if whole:
                return whole
            more = await self._reader.read(READ_BYTES)
            if not more:
                raise SessionClosed("the bridge closed the connection")
            data = self._waiting + more

    async def read_one(self) -> tuple[Header, bytes]:
        """Wait for, and return, one message; those that came with it are for the next read.

        Raises:
            SessionClosed, Malformed: as ``read``.
        """
        if not self._put_back:
            self._put_back.extend(await self.read(_TAKEN_APART))
        return self._put_back.popleft()

    def answer(self, message: bytes) -> None:
        """Send without waiting.

        Raises:
            Malformed: the bridge asks and does not read.
        """
        if self._writer.transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            raise Malformed("the bridge does not read what it asked for")
        self._writer.write(message)

    def hold(self, parts: Iterable[bytes]) -> None:
        """Send messages along with what is sent next, before it, or alone if nothing is for a moment.

        A bridge takes what it reads at once in one turn of its main loop, and every turn costs its time.
        """
        self._held.extend(parts)
        if self._release is None:
            self._release = asyncio.get_running_loop().call_later(HELD_S, self._let_go)

    def _let_go(self) -> None:
        held = self._taken()
        if held and not self._writer.is_closing():
            self._writer.write(b"".join(held))

    def _taken(self) -> list[bytes]:
        """Return what was held, which is so no longer."""
        if self._release is not None:
            self._release.cancel()
            self._release = None
        held, self._held = self._held, []
        return held

    async def send(self, parts: Iterable[bytes]) -> None:
        """Send messages joined to large writes, no faster than the bridge takes them."""
        joined = self._taken()
        size = sum(map(len, joined))
        for part in parts:
            joined.append(part)
            size += len(part)
            if size >= JOINED_BYTES:
                self._writer.write(b"".join(joined))
                await self._writer.drain()
                joined, size = [], 0
        if joined:
            self._writer.write(b"".join(joined))
            await self._writer.drain()

    def abort(self) -> None:
        """Close at once, whatever still waits to be sent."""
        self._taken()
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close after what waits was sent, or at once when that does not end."""
        self._let_go()
        # Python 3.11's TLS transport that is closed a second time can no longer be aborted.
        if not self._writer.is_closing():
            self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), 1.0)
        except (TimeoutError, OSError) as error:
            forget_frames(error)
            self.abort()


def _split(data: bytes, most: int) -> tuple[list[tuple[Header, bytes]], int]:
    """Return the whole messages at the beginning, at most so many, and how many bytes they take."""
    whole: list[tuple[Header, bytes]] = []
    position = 0
    while position + 8 <= len(data) and len(whole) < most:
        header = parse_header(data, position)
        if header.version != VERSION and header.kind not in (messages.HELLO, messages.ERROR):
            raise Malformed(f"a message of OpenFlow version byte {header.version}, not {VERSION}")
        end = position + header.length
        if end > len(data):
            break
        whole.append((header, data[position + 8 : end]))
        position = end
    return whole, position
