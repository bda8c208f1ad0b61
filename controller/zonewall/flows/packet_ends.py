"""Between whom a frame goes: the addresses and ports of its first bytes."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from zonewall.values.addresses import IpAddress

_ETHERNET = 14
_IPV4, _IPV6 = 0x0800, 0x86DD
_WITH_PORTS = (6, 17, 132)
_FRAGMENT = 44
_OFFSET_4, _OFFSET_6 = 0x1FFF, 0xFFF8
"""Where a fragment's place in its datagram is (RFC 791, 3.1; RFC 8200, 4.5)."""


@dataclass(frozen=True, slots=True)
class PacketEnds:
    """The ends of a packet; ports are None where its protocol has none, or the frame does not show them."""

    protocol: int
    source: IpAddress
    destination: IpAddress
    sport: int | None = None
    dport: int | None = None

    def turned(self) -> PacketEnds:
        """Return the ends of an answer."""
        return PacketEnds(self.protocol, self.destination, self.source, self.dport, self.sport)


def packet_ends(frame: bytes) -> PacketEnds | None:
    """Return the ends of an untagged IP frame, of which this may be the beginning; None of any other.

    A first fragment shows its ports, a later one none. Other extension headers of IPv6 are not looked
    into: what they hide has no ports here (RFC 8200, 4).
    """
    kind = int.from_bytes(frame[12:14], "big")
    source: IpAddress
    destination: IpAddress
    if kind == _IPV4 and len(frame) >= _ETHERNET + 20 and frame[_ETHERNET] >> 4 == 4:
        at = _ETHERNET + (frame[_ETHERNET] & 15) * 4
        protocol, is_later = frame[23], bool(int.from_bytes(frame[20:22], "big") & _OFFSET_4)
        source, destination = IPv4Address(frame[26:30]), IPv4Address(frame[30:34])
    elif kind == _IPV6 and len(frame) >= _ETHERNET + 40:
        at, protocol, is_later = _ETHERNET + 40, frame[20], False
        if protocol == _FRAGMENT and len(frame) >= at + 8:
            protocol, is_later = frame[at], bool(int.from_bytes(frame[at + 2 : at + 4], "big") & _OFFSET_6)
            at += 8
        source, destination = IPv6Address(frame[22:38]), IPv6Address(frame[38:54])
    else:
        return None
    if is_later or protocol not in _WITH_PORTS or at < _ETHERNET + 20 or len(frame) < at + 4:
        return PacketEnds(protocol, source, destination)
    ports = (int.from_bytes(frame[at + start : at + start + 2], "big") for start in (0, 2))
    return PacketEnds(protocol, source, destination, *ports)
