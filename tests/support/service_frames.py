"""Frames with a payload of their own, so that each can be found again byte for byte."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address

from topologies.frames import checksum
from topologies.lab import Capture, Machine
from topologies.machine import CARD

from support.raw_probes import address_of

SYN, RST, ACK, FIN = 0x02, 0x04, 0x10, 0x01
PATIENCE_S = 20.0
QUIET_S = 0.3


def ip_frame(source: Machine, destination: Machine, protocol: int, body: bytes, family: int = 4) -> bytes:
    """Return a frame with a transport body whose checksum is made right."""
    ends = (ip_address(address_of(source, family)).packed, ip_address(address_of(destination, family)).packed)
    place = {1: 2, 6: 16, 17: 6, 58: 2}.get(protocol)
    if place is not None:
        pseudo = b"" if protocol == 1 else b"".join(ends) + struct.pack("!II", len(body), protocol)
        body = body[:place] + struct.pack("!H", checksum(pseudo + body)) + body[place + 2 :]
    macs = bytes.fromhex(destination.mac.replace(":", "") + source.mac.replace(":", ""))
    if family == 6:
        head = struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + b"".join(ends)
        return macs + b"\x86\xdd" + head + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + b"".join(ends)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return macs + b"\x08\x00" + head + body


def udp(
    source: Machine, destination: Machine, port: int, payload: bytes, family: int = 4, sport: int = 40000
) -> bytes:
    """Return a UDP frame."""
    body = struct.pack("!HHHH", sport, port, 8 + len(payload), 0) + payload
    return ip_frame(source, destination, 17, body, family)


def tcp(
    source: Machine, destination: Machine, port: int, flags: int, family: int = 4, *, sport: int = 40000,
    seq: int = 7000, ack: int = 0, payload: bytes = b"",
) -> bytes:  # fmt: skip
    """Return a TCP frame."""
    body = struct.pack("!HHIIBBHHH", sport, port, seq, ack, 0x50, flags, 4096, 0, 0) + payload
    return ip_frame(source, destination, 6, body, family)


def send(machine: Machine, frames: Iterable[bytes], every_s: float = 0.0) -> None:
    """Send frames out of a machine's card."""
    with machine.socket(socket.AF_PACKET, socket.SOCK_RAW) as card:
        card.bind((CARD, 0))
        for frame in frames:
            card.send(frame)
            if every_s:
                time.sleep(every_s)


@contextlib.contextmanager
def listening(*places: object) -> Iterator[list[Capture]]:
    """Catch what arrives at machines, sinks or appliances."""
    captures = [place.capture() for place in places]  # type: ignore[attr-defined]
    try:
        yield captures
    finally:
        for capture in captures:
            capture.close()


def gather(capture: Capture, wanted: Callable[[bytes], bool], count: int) -> list[bytes]:
    """Return the wanted frames once there are so many and no more come, or what came in time."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if sum(1 for frame in capture.drain() if wanted(frame)) >= count:
            break
        time.sleep(0.01)
    time.sleep(QUIET_S)
    return [frame for frame in capture.drain() if wanted(frame)]


def eventually(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds, or so long in vain; the caller asserts what it is about."""
    deadline = time.monotonic() + patience_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def transport(frame: bytes) -> tuple[int, bytes]:
    """Return protocol and transport body of an untagged IP frame, 0 and nothing of others."""
    if frame[12:14] == b"\x08\x00":
        total = int.from_bytes(frame[16:18], "big")
        return frame[23], frame[14 + (frame[14] & 15) * 4 : 14 + total]
    if frame[12:14] == b"\x86\xdd":
        return frame[20], frame[54 : 54 + int.from_bytes(frame[18:20], "big")]
    return 0, b""


def sums_are_right(frame: bytes) -> bool:
    """Say whether the checksums of IP, and of TCP, UDP or ICMP, are right."""
    protocol, body = transport(frame)
    if frame[12:14] == b"\x08\x00":
        ends, header = frame[26:34], checksum(frame[14:34]) == 0
    else:
        ends, header = frame[22:54], True
    pseudo = b"" if protocol == 1 else ends + struct.pack("!II", len(body), protocol)
    return header and checksum(pseudo + body) == 0
