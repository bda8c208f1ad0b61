"""Whole messages in and out of one connection: bounded in size, in time and in what waits to be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from zonewall.flows.wire import VERSION
from zonewall.openflow import messages
from zonewall.openflow.errors import Malformed, SessionClosed
from zonewall.openflow.parse import Header, parse_header

JOINED_BYTES = 64 * 1024
"""Messages are joined to writes of about this size."""
MAX_WAITING_BYTES = 4 * 1024 * 1024
"""A bridge that asks without reading the answers is cut when this much waits for it."""
READ_BYTES = 256 * 1024


class Channel:
    """Messages of one connection; every OpenFlow message is at most 65,535 bytes by its own header."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over both ends of a connection."""
        self._reader = reader
        self._writer = writer
        self._waiting = b""
        self._put_back: list[tuple[Header, bytes]] = []
        self._next_xid = 1

    def new_xid(self, count: int = 1) -> int:
        """Return the first of ``count`` numbers that no other request in flight has."""
        if self._next_xid + count > 0xFFFFFFFF:
            self._next_xid = 1
        first = self._next_xid
        self._next_xid += count
        return first

    async def read(self) -> list[tuple[Header, bytes]]:
        """Wait for, and return, the messages that came; never an empty list.

        Raises:
            SessionClosed: the other end closed.
            Malformed: a header that cannot be.
        """
        if self._put_back:
            whole, self._put_back = self._put_back, []
            return whole
        while True:
            data = await self._reader.read(READ_BYTES)
            if not data:
                raise SessionClosed("the bridge closed the connection")
            data = self._waiting + data
            whole, used = _split(data)
            self._waiting = data[used:]
            if whole:
                return whole

    async def read_one(self) -> tuple[Header, bytes]:
        """Wait for, and return, one message; those that came with it are for the next read.

        Raises:
            SessionClosed, Malformed: as ``read``.
        """
        first, *self._put_back = await self.read()
        return first

    def answer(self, message: bytes) -> None:
        """Send without waiting.

        Raises:
            Malformed: the bridge asks and does not read.
        """
        if self._writer.transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            raise Malformed("the bridge does not read what it asked for")
        self._writer.write(message)

    async def send(self, parts: Iterable[bytes]) -> None:
        """Send messages joined to large writes, no faster than the bridge takes them."""
        joined: list[bytes] = []
        size = 0
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
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close after what waits was sent, or at once when that does not end."""
        # Python 3.11's TLS transport that is closed a second time can no longer be aborted.
        if not self._writer.is_closing():
            self._writer.close()
        try:
            await asyncio.wait_for(self._writer.wait_closed(), 1.0)
        except (TimeoutError, OSError):
            self.abort()


def _split(data: bytes) -> tuple[list[tuple[Header, bytes]], int]:
    """Return the whole messages at the beginning, and how many bytes they take."""
    whole: list[tuple[Header, bytes]] = []
    position = 0
    while position + 8 <= len(data):
        header = parse_header(data, position)
        if header.version != VERSION and header.kind not in (messages.HELLO, messages.ERROR):
            raise Malformed(f"a message of OpenFlow version byte {header.version}, not {VERSION}")
        end = position + header.length
        if end > len(data):
            break
        whole.append((header, data[position + 8 : end]))
        position = end
    return whole, position
