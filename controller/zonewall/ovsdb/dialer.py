"""Connecting out to a host whose database listens (``ptcp:``, ``pssl:``), again until it answers."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass

from ovs import timeval
from zonewall.errors import ZonewallError
from zonewall.ovsdb.loop import Wants
from zonewall.values.names import HostName

DEFAULT_PORT = 6640
"""IANA's port for OVSDB (RFC 7047, section 7)."""

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
_REMOTE = re.compile(r"(tcp|ssl):(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a host's database listens; a ``unix`` remote has a path, the others an address and a port."""

    kind: str
    address: str
    port: int = 0

    def __str__(self) -> str:
        """Return it as it is written."""
        if self.kind == "unix":
            return f"unix:{self.address}"
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.kind}:{address}:{self.port}"


def parse_remote(text: str) -> Remote:
    """Return the remote that is written ``tcp:ADDRESS[:PORT]``, ``ssl:ADDRESS[:PORT]`` or ``unix:PATH``.

    Raises:
        ZonewallError: it is not written so. Names are not looked up: that would hold up every other host.
    """
    if text.startswith("unix:") and len(text) > len("unix:"):
        return Remote("unix", text.removeprefix("unix:"))
    found = _REMOTE.fullmatch(text)
    address = (found[2] or found[3]) if found else ""
    try:
        ipaddress.ip_address(address)
    except ValueError as problem:
        raise ZonewallError(
            f"ovsdb: {text!r} is no remote; write tcp:ADDRESS:PORT, ssl:ADDRESS:PORT or unix:PATH, "
            "with an IP address"
        ) from problem
    port = int(found[4]) if found and found[4] else DEFAULT_PORT
    if not 0 < port < 65536:
        raise ZonewallError(f"ovsdb: {text!r} has no usable port; write one from 1 to 65535")
    return Remote(found[1] if found else "", address, port)


def connecting_socket(remote: Remote) -> socket.socket:
    """Return a non-blocking socket on its way to the remote.

    Raises:
        OSError: it failed at once.
    """
    target: str | tuple[str, int]
    if remote.kind == "unix":
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        target = remote.address
    else:
        family = socket.AF_INET6 if ":" in remote.address else socket.AF_INET
        connecting = socket.socket(family, socket.SOCK_STREAM)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        target = (remote.address, remote.port)
    connecting.setblocking(False)
    error = connecting.connect_ex(target)
    if error not in (0, errno.EINPROGRESS):
        connecting.close()
        raise OSError(error, os.strerror(error))
    return connecting


class Dialer:
    """Says when to try, each time after a longer pause, until it is told that the host was admitted."""

    def __init__(self, host: HostName, remote: Remote, dial: Callable[[Dialer], None]) -> None:
        """``dial`` is called when it is time; ``again`` or ``succeeded`` must follow each call."""
        self.host = host
        self.remote = remote
        self._dial = dial
        self._pause_s = _FIRST_PAUSE_S
        self._at_ms: float | None = 0.0

    def run(self) -> None:
        """Dial when it is time."""
        if self._at_ms is not None and timeval.msec() >= self._at_ms:
            self._at_ms = None
            self._dial(self)

    def wait(self, wants: Wants) -> None:
        """Wait for the time."""
        if self._at_ms is not None:
            wants.timer_wait_until(self._at_ms)

    def fail(self, reason: str) -> None:
        """Try again later; ``reason`` was logged by the loop."""
        del reason
        self.again()

    def again(self) -> None:
        """Try again after the pause."""
        self._at_ms = timeval.msec() + self._pause_s * 1000
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def succeeded(self) -> None:
        """Begin with the short pause next time."""
        self._pause_s = _FIRST_PAUSE_S
