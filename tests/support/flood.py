"""A hostile machine: frames of every kind that could be sent up or tracked, as fast as a card takes them.

Run as ``python flood.py CARD MAC ADDRESS PEER_MAC PEER_ADDRESS FILE``; how many were sent is written to FILE.
"""

from __future__ import annotations

import ctypes
import random
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

QDISC_BYPASS = 20
SOL_PACKET = 263
OF_EACH_KIND = 4_000
AT_ONCE = 256
BROADCAST = b"\xff" * 6


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_char_p), ("size", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """``struct mmsghdr``, sendmmsg(2)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint),
        ("vector", ctypes.POINTER(_Vector)),
        ("vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("sent", ctypes.c_uint),
    )


class Flooder:
    """Makes the frames of one machine."""

    def __init__(self, mac: str, address: str, peer_mac: str, peer: str) -> None:
        self._mac, self._peer_mac = (bytes.fromhex(one.replace(":", "")) for one in (mac, peer_mac))
        self._address, self._peer = socket.inet_aton(address), socket.inet_aton(peer)
        self._random = random.Random(4)

    def kinds(self) -> dict[str, Callable[[], bytes]]:
        """Return what makes one frame of each kind."""
        return {
            "random MACs": self.random_macs,
            "ARP": lambda: self.arp(self._mac, 1, self._address, self._random.randbytes(4)),
            "forged ARP": lambda: self.arp(self._mac, 2, self._random.randbytes(4), self._peer),
            "RARP": lambda: self.rarp(self._mac),
            "forged RARP": lambda: self.rarp(self._random.randbytes(6)),
            "neighbour solicitations": lambda: self.neighbour(135, self._random.randbytes(16)),
            "forged neighbour advertisements": lambda: self.neighbour(136, self._random.randbytes(16)),
            "router solicitations": lambda: self.neighbour(133, b""),
            "DHCP": lambda: self.dhcp(self._mac),
            "forged DHCP": lambda: self.dhcp(self._random.randbytes(6)),
            "DHCPv6": self.dhcp6,
            "malformed": self.malformed,
            "new TCP connections": lambda: self.begin(6),
            "new UDP connections": lambda: self.begin(17),
        }

    def random_macs(self) -> bytes:
        """Return a broadcast from an address that nobody has."""
        source = bytes((0x02, *self._random.randbytes(5)))
        return (BROADCAST + source + b"\x88\xb5").ljust(60, b"\0")

    def arp(self, mac: bytes, operation: int, sender: bytes, target: bytes) -> bytes:
        body = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, mac, sender, bytes(6), target)
        return (BROADCAST + self._mac + b"\x08\x06" + body).ljust(60, b"\0")

    def rarp(self, mac: bytes) -> bytes:
        body = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 3, mac, bytes(4), mac, bytes(4))
        return (BROADCAST + mac + b"\x80\x35" + body).ljust(60, b"\0")

    def neighbour(self, kind: int, target: bytes) -> bytes:
        """Return a message of neighbour discovery (RFC 4861) to all, with its sender's own MAC."""
        option = bytes((2 if kind == 136 else 1, 1)) + self._mac
        message = struct.pack("!BBHI", kind, 0, 0, 0) + target + option
        everyone = socket.inet_pton(socket.AF_INET6, "ff02::1")
        ends = self.link_local + everyone
        own = _checksum(ends + struct.pack("!II", len(message), 58) + message)
        message = message[:2] + struct.pack("!H", own) + message[4:]
        head = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + ends
        return b"\x33\x33\x00\x00\x00\x01" + self._mac + b"\x86\xdd" + head + message

    @property
    def link_local(self) -> bytes:
        """Return the address that the MAC gives (RFC 4291, appendix A)."""
        own = self._mac
        return b"\xfe\x80" + bytes(6) + bytes((own[0] ^ 2, *own[1:3], 0xFF, 0xFE, *own[3:]))

    def dhcp(self, client: bytes) -> bytes:
        """Return a DHCPDISCOVER (RFC 2131) of a client, sent by this machine."""
        number = self._random.randbytes(4)
        body = b"\x01\x01\x06\x00" + number + bytes(20) + client.ljust(16, b"\0") + bytes(192)
        body += b"\x63\x82\x53\x63" + b"\x35\x01\x01\xff"
        segment = struct.pack("!HHHH", 68, 67, 8 + len(body), 0) + body
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 17, 0) + bytes(4) + b"\xff" * 4
        head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
        return BROADCAST + self._mac + b"\x08\x00" + head + segment

    def dhcp6(self) -> bytes:
        """Return a Solicit (RFC 8415) with an identifier that nobody has."""
        body = (
            b"\x01"
            + self._random.randbytes(3)
            + struct.pack("!HHHH", 1, 10, 3, 1)
            + self._random.randbytes(6)
        )
        ends = self.link_local + socket.inet_pton(socket.AF_INET6, "ff02::1:2")
        segment = struct.pack("!HHHH", 546, 547, 8 + len(body), 0) + body
        own = _checksum(ends + struct.pack("!II", len(segment), 17) + segment)
        segment = segment[:6] + struct.pack("!H", own) + segment[8:]
        head = struct.pack("!IHBB", 6 << 28, len(segment), 17, 64) + ends
        return b"\x33\x33\x00\x01\x00\x02" + self._mac + b"\x86\xdd" + head + segment

    def malformed(self) -> bytes:
        """Return IPv4 or IPv6 whose lengths are wrong, or a packet that ends in its header."""
        kind = self._random.choice((b"\x08\x00", b"\x86\xdd"))
        size = self._random.randrange(1, 60)
        return self._peer_mac + self._mac + kind + self._random.randbytes(size)

    def begin(self, protocol: int) -> bytes:
        """Return the first packet of a connection that a rule allows."""
        ports = struct.pack("!HH", self._random.randrange(1024, 65536), 80)
        rest = struct.pack("!IIBBHHH", 1, 0, 5 << 4, 2, 1024, 0, 0) if protocol == 6 else b"\0\x08\0\0"
        segment = ports + rest
        ends = self._address + self._peer
        if protocol == 6:
            own = _checksum(ends + struct.pack("!HH", protocol, len(segment)) + segment)
            segment = segment[:16] + struct.pack("!H", own) + segment[18:]
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, protocol, 0) + ends
        head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
        return self._peer_mac + self._mac + b"\x08\x00" + head + segment


def _checksum(data: bytes) -> int:
    """Return the Internet checksum, RFC 1071, of whole 16-bit words."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def flood(card: str, frames: list[bytes], file: Path) -> None:
    """Send frames over and over until ended."""
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((card, 0))
    out.setsockopt(SOL_PACKET, QDISC_BYPASS, 1)
    vectors = [_Vector(frame, len(frame)) for frame in frames]
    messages = (_Message * len(frames))()
    for message, vector in zip(messages, vectors, strict=True):
        message.vector, message.vectors = ctypes.pointer(vector), 1
    send = ctypes.CDLL(None, use_errno=True).sendmmsg
    size, sent, rounds = ctypes.sizeof(_Message), 0, 0
    while True:
        for start in range(0, len(frames) - AT_ONCE + 1, AT_ONCE):
            done = send(out.fileno(), ctypes.byref(messages, start * size), AT_ONCE, 0)
            sent += max(0, done)
        rounds += 1
        new = file.with_suffix(".new")
        new.write_text(str(sent))
        new.replace(file)


if __name__ == "__main__":
    flooder = Flooder(*sys.argv[2:6])
    made = [make() for make in flooder.kinds().values() for _ in range(OF_EACH_KIND)]
    random.Random(5).shuffle(made)
    flood(sys.argv[1], made, Path(sys.argv[6]))
