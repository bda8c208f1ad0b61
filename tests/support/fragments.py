"""Frames cut into fragments (RFC 791, 3.2; RFC 8200, 4.5), as a sender with a smaller MTU would."""

from __future__ import annotations

import struct
from itertools import count

from support.packets import IPV6, build, checksum
from zonewall.flows.simulate import Packet

_NUMBERS = count(1)
"""Each datagram has a number of its own: parts of two with one number would be put together."""
_ETHERNET, _IPV4, _IPV6, _UDP = 14, 20, 40, 17
_ICMP_SUM = 2
_UDP_SUM = 6


def big(one: Packet, size: int) -> bytes:
    """Return the frame of an untagged UDP or ICMP packet with ``size`` bytes behind the IP header."""
    frame = build(one)
    v6 = one["eth_type"] == IPV6
    at = _ETHERNET + (_IPV6 if v6 else _IPV4)
    body = bytearray(frame[at : at + 8].ljust(size, b"z"))
    place = _UDP_SUM if one["ip_proto"] == _UDP else _ICMP_SUM
    if one["ip_proto"] == _UDP:
        body[4:6] = size.to_bytes(2, "big")
    body[place : place + 2] = b"\0\0"
    pseudo = b""
    if v6:
        pseudo = frame[at - 32 : at] + struct.pack("!II", size, one["ip_proto"])
    elif one["ip_proto"] == _UDP:
        pseudo = frame[at - 8 : at] + struct.pack("!HH", one["ip_proto"], size)
    body[place : place + 2] = (checksum(pseudo + bytes(body)) or 0xFFFF).to_bytes(2, "big")
    head = bytearray(frame[:at])
    if v6:
        head[_ETHERNET + 4 : _ETHERNET + 6] = size.to_bytes(2, "big")
    else:
        head[_ETHERNET + 2 : _ETHERNET + 4] = (_IPV4 + size).to_bytes(2, "big")
        _sum(head)
    return bytes(head + body)


def cut(frame: bytes, pieces: list[tuple[int, int]] | None = None, mtu: int = 1500) -> list[bytes]:
    """Return an untagged frame in fragments.

    Args:
        frame: IPv4 without options, or IPv6 without extension headers.
        pieces: (first byte, byte after the last) behind the IP header, multiples of 8; None: as ``mtu`` says.
        mtu: bytes of IP that fit.
    """
    v6 = int.from_bytes(frame[12:14], "big") == IPV6
    at = _ETHERNET + (_IPV6 if v6 else _IPV4)
    body, number = frame[at:], next(_NUMBERS)
    if pieces is None:
        step = (mtu - (_IPV6 + 8 if v6 else _IPV4)) // 8 * 8
        pieces = [(start, min(start + step, len(body))) for start in range(0, len(body), step)]
    return [_piece(frame[:at], body, start, end, number, v6) for start, end in pieces]


def _piece(head: bytes, body: bytes, start: int, end: int, number: int, v6: bool) -> bytes:
    made, part, more = bytearray(head), body[start:end], end < len(body)
    if v6:
        extra = struct.pack("!BBHI", head[_ETHERNET + 6], 0, start | more, number)
        made[_ETHERNET + 4 : _ETHERNET + 6] = (len(extra) + len(part)).to_bytes(2, "big")
        made[_ETHERNET + 6] = 44
        return bytes(made) + extra + part
    made[_ETHERNET + 2 : _ETHERNET + 4] = (_IPV4 + len(part)).to_bytes(2, "big")
    made[_ETHERNET + 4 : _ETHERNET + 6] = (number & 0xFFFF).to_bytes(2, "big")
    made[_ETHERNET + 6 : _ETHERNET + 8] = (more << 13 | start // 8).to_bytes(2, "big")
    _sum(made)
    return bytes(made) + part


def _sum(head: bytearray) -> None:
    head[_ETHERNET + 10 : _ETHERNET + 12] = b"\0\0"
    head[_ETHERNET + 10 : _ETHERNET + 12] = checksum(bytes(head[_ETHERNET:])).to_bytes(2, "big")
