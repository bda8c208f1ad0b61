"""A connected and checked socket as python-ovs wants it, with bounds on what the other side can cost."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import Any

from ovs import jsonrpc, poller
from zonewall.ovsdb.framing import Framer, MalformedStreamError, OutgrownError, Room, parse_document

_READ_BYTES = 65536
_READ_A_TURN_BYTES = 1 << 17
"""So much is read of one before others have their turn: to find the ends of so many values takes 20 ms."""
_MAX_UNSENT_BYTES = 8 << 20


class CheckedStream:
    """Speaks the interface of ``ovs.stream.Stream`` over a non-blocking socket that is connected already."""

    def __init__(self, connected: socket.socket, name: str) -> None:
        """``name``: who the other side is, for messages."""
        self.socket = connected
        self.name = name
        self._sending_wants_read = False

    def recv(self, size: int) -> tuple[int, bytes]:
        """Return (0, bytes), (0, b"") at the end, or (errno, b"")."""
        try:
            return 0, self.socket.recv(size)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return errno.EAGAIN, b""
        except ssl.SSLZeroReturnError:
            return 0, b""
        except OSError as problem:
            return _errno(problem), b""

    def send(self, text: str) -> int:
        """Return how many characters (all ASCII) were taken, or a negative errno."""
        self._sending_wants_read = False
        try:
            return self.socket.send(text[:_READ_BYTES].encode("ascii"))
        except ssl.SSLWantReadError:
            self._sending_wants_read = True
            return -errno.EAGAIN
        except (BlockingIOError, ssl.SSLWantWriteError):
            return -errno.EAGAIN
        except OSError as problem:
            return -_errno(problem)

    def run_wait(self, wants: Any) -> None:
        """There is nothing to do in between."""

    def recv_wait(self, wants: Any) -> None:
        """Wait for bytes; what TLS has decrypted already does not show on the socket."""
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            wants.immediate_wake()
        else:
            wants.fd_wait(self.socket, poller.POLLIN)

    def send_wait(self, wants: Any) -> None:
        """Wait until more can be sent."""
        wants.fd_wait(self.socket, poller.POLLIN if self._sending_wants_read else poller.POLLOUT)

    def close(self) -> None:
        """Close the socket; a second time does nothing."""
        self.socket.close()


class BoundedConnection(jsonrpc.Connection):  # type: ignore[misc]  # python-ovs has no types
    """JSON-RPC on a stream: messages bounded in size and depth, answers bounded in what they pile up.

    Attributes:
        failure: why the connection was broken off, in words; empty where errno says it.
        is_held: nothing more is taken of it for now.
        has_outgrown: it was broken off since a message had no room.
    """

    def __init__(self, stream: CheckedStream, room: Room) -> None:
        """``room``: what a message may have."""
        super().__init__(stream)
        self.failure = ""
        self.is_held = self.has_outgrown = False
        self._framer = Framer(room)
        self._unfinished_turn = False

    def allow(self, room: Room) -> None:
        """Accept messages that have this room from now on."""
        self._framer.room = room

    def send(self, msg: Any) -> int:
        """Send or queue a message; a peer that asks and never reads is cut off."""
        if len(self.output) > _MAX_UNSENT_BYTES:
            self.broken("it does not read what it asked for", errno.ENOBUFS)
        return int(super().send(msg))

    def recv(self) -> tuple[int, Any]:
        """Return (0, message), (EAGAIN, None) or (status, None); reads a bounded amount."""
        self._unfinished_turn = False
        if self.is_held and not self.status:
            return errno.EAGAIN, None
        read = 0
        try:
            while not self.status:
                document = self._framer.pop()
                if document is not None:
                    return 0, _message(parse_document(document))
                if read >= _READ_A_TURN_BYTES:
                    self._unfinished_turn = True
                    return errno.EAGAIN, None
                error, data = self.stream.recv(_READ_BYTES)
                if error == errno.EAGAIN:
                    return error, None
                if error:
                    self.error(error)
                    continue
                if not data:
                    self.broken("it closed the connection", jsonrpc.EOF)
                    continue
                read += len(data)
                self.received_bytes += len(data)
                self._framer.feed(data)
        except MalformedStreamError as problem:
            self.has_outgrown = isinstance(problem, OutgrownError)
            self.broken(str(problem), errno.EPROTO)
        return self.status, None

    def recv_wait(self, poller: Any) -> None:
        """Wait for the next message, not at all when one is here."""
        if self.status or self._framer or self._unfinished_turn:
            poller.immediate_wake()
        else:
            self.stream.recv_wait(poller)

    def broken(self, why: str, error: int) -> None:
        """Break off."""
        self.failure = self.failure or why
        self.error(error)

    def reason(self) -> str:
        """Return why the connection ended; empty when the other side had no part in it."""
        if self.failure or self.status in (0, jsonrpc.EOF):
            return self.failure
        return os.strerror(self.status)


def session_on(connection: BoundedConnection) -> Any:
    """Return a ``jsonrpc.Session`` on a connection that exists; it does not connect again when that ends."""
    session = jsonrpc.Session.open_unreliably(connection)
    # python-ovs 4.0 leaves the connection out of the session that it makes for it.
    session.rpc = connection
    return session


def _message(document: Any) -> Any:
    message = jsonrpc.Message.from_json(document)
    if not isinstance(message, jsonrpc.Message):
        raise MalformedStreamError(f"a message is no JSON-RPC: {str(message)[:200]}")
    return message


def _errno(problem: OSError) -> int:
    if isinstance(problem, ssl.SSLError) or not problem.errno:
        return errno.EPROTO
    return problem.errno
