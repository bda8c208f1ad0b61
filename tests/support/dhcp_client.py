"""A DHCP client in raw frames, and a real server (dnsmasq) in a machine of the lab."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from pathlib import Path

from topologies.frames import checksum
from topologies.lab import Machine, Process
from topologies.machine import CARD

DISCOVER, REQUEST, OFFER, ACK = 1, 3, 2, 5


def serve(machine: Machine, folder: Path, first: str, last: str, lease: str = "2m") -> Process:
    """Start dnsmasq in a machine; it answers from its card and knows nothing of DNS."""
    return machine.start(
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", f"--interface={CARD}",
        f"--dhcp-range={first},{last},255.255.255.0,{lease}", "--dhcp-authoritative", "--no-ping",
        f"--dhcp-leasefile={folder / 'leases'}", f"--pid-file={folder / 'dnsmasq.pid'}", "--user=root",
    )  # fmt: skip


def obtain(machine: Machine, patience_s: float = 30.0) -> str:
    """Ask for an address as a booting machine does, and return what was acknowledged.

    Raises:
        AssertionError: nobody granted any in time.
    """
    deadline = time.monotonic() + patience_s
    with machine.socket(socket.AF_PACKET, socket.SOCK_RAW) as card:
        card.bind((CARD, 0x0800))
        card.settimeout(0.5)
        while time.monotonic() < deadline:
            offered = _exchange(card, machine, DISCOVER, None, OFFER)
            if offered is None:
                continue
            granted = _exchange(card, machine, REQUEST, offered, ACK)
            if granted is not None:
                return str(granted[0])
    raise AssertionError(f"{machine.short_name} was granted no address in {patience_s} s")


Offer = tuple[ipaddress.IPv4Address, bytes]


def _exchange(
    card: socket.socket, machine: Machine, kind: int, offer: Offer | None, wanted: int
) -> Offer | None:
    card.send(_message(machine.mac, kind, offer))
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        try:
            frame = card.recv(2048)
        except TimeoutError:
            return None
        found = _answer(frame, machine.mac, wanted)
        if found is not None:
            return found
    return None


def _message(mac: str, kind: int, offer: Offer | None) -> bytes:
    address = bytes.fromhex(mac.replace(":", ""))
    options = bytes([53, 1, kind])
    if offer is not None:
        options += b"\x32\x04" + offer[0].packed + b"\x36\x04" + offer[1]
    body = struct.pack("!BBBBIHH", 1, 1, 6, 0, int.from_bytes(address[2:], "big"), 0, 0) + bytes(16)
    body += address + bytes(10 + 192) + b"\x63\x82\x53\x63" + options + b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(body), 0) + body
    header = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, 0, 0xFFFFFFFF)
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return b"\xff" * 6 + address + b"\x08\x00" + header + udp


def _answer(frame: bytes, mac: str, wanted: int) -> Offer | None:
    if len(frame) < 14 + 28 + 244 or frame[23] != 17 or frame[34:38] != b"\x00\x43\x00\x44":
        return None
    body = frame[42:]
    if body[28:34] != bytes.fromhex(mac.replace(":", "")) or body[242] != wanted:
        return None
    at, server = 240, b""
    while at + 1 < len(body) and body[at] != 255:
        if body[at] == 54:
            server = body[at + 2 : at + 6]
        at += 2 + body[at + 1] if body[at] else 1
    return ipaddress.IPv4Address(body[16:20]), server
