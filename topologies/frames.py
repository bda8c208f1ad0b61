"""Frames as they are on the wire: announcements of a machine that has moved, and captures."""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from topologies.namespace import Namespace

ETH_P_ALL = 0x0003
BROADCAST = b"\xff" * 6
SHORTEST_BYTES = 60
SOL_PACKET, PACKET_AUXDATA = 263, 8
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
VLAN_VALID, VLAN_TPID_VALID = 1 << 4, 1 << 6
BUFFER_BYTES = 32 << 20

# QEMU's announce-self by default: five rounds, the first gap 50 ms, each next one 100 ms longer.
QEMU_TIMES_S = (0.0, 0.05, 0.2, 0.45, 0.8)


def rarp(mac: str) -> bytes:
    """Return the frame QEMU sends for a machine that it has just taken over: RFC 903, request reverse."""
    address = _mac(mac)
    body = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 3, address, bytes(4), address, bytes(4))
    return _padded(BROADCAST + address + b"\x80\x35" + body)


def gratuitous_arp(mac: str, ip: str) -> bytes:
    """Return a request for the sender's own address: RFC 5227, section 3."""
    address, packed = _mac(mac), ipaddress.IPv4Address(ip).packed
    body = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, address, packed, bytes(6), packed)
    return _padded(BROADCAST + address + b"\x08\x06" + body)


def unsolicited_advertisement(mac: str, ip: str) -> bytes:
    """Return an advertisement of the sender's own address to all nodes: RFC 4861, section 7.2.6."""
    address, source = _mac(mac), ipaddress.IPv6Address(ip).packed
    everyone = ipaddress.IPv6Address("ff02::1").packed
    # Override flag; option 2 is the target's link-layer address, one unit of eight bytes.
    message = struct.pack("!BBHI16sBB6s", 136, 0, 0, 0x20000000, source, 2, 1, address)
    pseudo = source + everyone + struct.pack("!II", len(message), 58)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    header = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + source + everyone
    return _padded(b"\x33\x33\x00\x00\x00\x01" + address + b"\x86\xdd" + header + message)


def checksum(data: bytes) -> int:
    """Return the Internet checksum, RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Announcer(threading.Thread):
    """Sends frames out of an interface at given times after its start; ``sent_at`` are clock readings."""

    def __init__(
        self, namespace: Namespace, interface: str, frames: Sequence[bytes], times_s: Sequence[float]
    ):
        super().__init__(daemon=True)
        self.sent_at: list[float] = []
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.bind((interface, 0))
        self._frames = tuple(frames)
        self._times_s = tuple(times_s)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Send, round by round; an interface that has gone ends it."""
        begun = time.monotonic()
        with self._socket, contextlib.suppress(OSError):
            for at_s in self._times_s:
                if self._stopped.wait(max(0.0, begun + at_s - time.monotonic())):
                    return
                for frame in self._frames:
                    self._socket.send(frame)
                self.sent_at.append(time.monotonic())

    def stop(self) -> None:
        """Send no more, and wait until it has ended."""
        self._stopped.set()
        self.join()


class Socketed(Protocol):
    """What has a network namespace: its sockets are made there."""

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Return a socket of that namespace."""


class Capture:
    """Every frame that arrives at an interface from now on, with its VLAN tag as it was on the wire."""

    def __init__(self, namespace: Socketed, interface: str) -> None:
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.setblocking(False)
        self.frames: list[bytes] = []
        self.times_s: list[float] = []
        """When each of them arrived by the kernel's clock, however late it was read; see ``stamp``."""

    def stamp(self) -> None:
        """Have the kernel say from now on when frames arrive; it says 0 before."""
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def drain(self) -> list[bytes]:
        """Return all frames caught until now, oldest first."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data, auxiliary, _, address = self._socket.recvmsg(65600, 128)
                if address[2] != socket.PACKET_OUTGOING:
                    self.frames.append(_with_tag(data, auxiliary))
                    self.times_s.append(_stamped(auxiliary))
        return self.frames

    def wait_for(self, wanted: Callable[[bytes], bool], timeout_s: float = 5.0) -> bytes | None:
        """Return the first frame that a function says yes to, or None when none came in time."""
        until = time.monotonic() + timeout_s
        seen = 0
        while True:
            for frame in self.drain()[seen:]:
                if wanted(frame):
                    return frame
            seen = len(self.frames)
            left_s = until - time.monotonic()
            if left_s <= 0 or not select.select([self._socket], [], [], left_s)[0]:
                return None

    def close(self) -> None:
        """Stop listening; what was caught stays."""
        self._socket.close()

    def __enter__(self) -> Capture:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self.close()


def _with_tag(data: bytes, auxiliary: Sequence[tuple[int, int, bytes]]) -> bytes:
    # The kernel takes the outer tag off and tells it aside: struct tpacket_auxdata, packet(7).
    for level, kind, value in auxiliary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, protocol = struct.unpack_from("=IIIHHHH", value)
            if status & VLAN_VALID:
                protocol = protocol if status & VLAN_TPID_VALID else 0x8100
                return data[:12] + struct.pack("!HH", protocol, tci) + data[12:]
    return data


def _stamped(auxiliary: Sequence[tuple[int, int, bytes]]) -> float:
    for level, kind, value in auxiliary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack_from("=qq", value)
            return float(seconds + nanoseconds / 1e9)
    return 0.0


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _padded(frame: bytes) -> bytes:
    return frame.ljust(SHORTEST_BYTES, b"\0")
