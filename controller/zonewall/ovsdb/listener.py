"""Where hosts connect in."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable

from ovs import poller, timeval
from zonewall.errors import ZonewallError
from zonewall.ovsdb.loop import Wants

_BACKLOG = 256
_ACCEPTED_A_TURN = 32
_REST_MS = 1000.0
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def listening_socket(address: str, port: int) -> socket.socket:
    """Return a socket that hosts can connect to; port 0 has one chosen.

    Raises:
        ZonewallError: the address or port cannot be had.
    """
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    except ValueError as problem:
        raise ZonewallError(f"{address!r} is no IP address to listen on") from problem
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(_BACKLOG)
    except OSError as problem:
        listening.close()
        raise ZonewallError(
            f"cannot listen for OVSDB on {address} port {port}: {problem.strerror}"
        ) from problem
    listening.setblocking(False)
    return listening


class Listener:
    """Accepts; what becomes of a connection is others' business."""

    def __init__(self, listening: socket.socket, accepted: Callable[[socket.socket, str], None]) -> None:
        """``accepted`` is called with each non-blocking socket and its peer, ``tcp:ADDRESS:PORT``."""
        self._socket = listening
        self._accepted = accepted
        self._rest_until_ms = 0.0

    def run(self) -> None:
        """Accept who is waiting, so many at a time."""
        for _ in range(_ACCEPTED_A_TURN):
            try:
                connected, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as problem:
                # A connection that was reset before it was accepted is nobody's loss.
                if problem.errno in _OUT_OF_DESCRIPTORS:
                    self._rest_until_ms = timeval.msec() + _REST_MS
                    return
                continue
            connected.setblocking(False)
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted(connected, f"{_bracketed(address[0])}:{address[1]}")

    def wait(self, wants: Wants) -> None:
        """Wait for somebody to connect; without descriptors left, only for a while to pass."""
        if timeval.msec() < self._rest_until_ms:
            wants.timer_wait_until(self._rest_until_ms)
        else:
            wants.fd_wait(self._socket, poller.POLLIN)

    def fail(self, reason: str) -> None:
        """Go on listening after a while; ``reason`` was logged by the loop."""
        del reason
        self._rest_until_ms = timeval.msec() + _REST_MS

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
