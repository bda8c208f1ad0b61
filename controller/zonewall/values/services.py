"""Services: which packets of a connection's first direction a rule is about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

PortRange = tuple[int, int]
"""First and last port, both included, 0 to 65535."""

ALL_PORTS: PortRange = (0, 65535)


class Protocol(IntEnum):
    """IP protocol numbers that zonewall knows more of than the number (IANA protocol-numbers)."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58
    SCTP = 132


PORT_PROTOCOLS = frozenset({Protocol.TCP, Protocol.UDP, Protocol.SCTP})

ICMP_TYPES = {
    "echo-reply": 0,
    "destination-unreachable": 3,
    "source-quench": 4,
    "redirect": 5,
    "echo-request": 8,
    "router-advertisement": 9,
    "router-solicitation": 10,
    "time-exceeded": 11,
    "parameter-problem": 12,
    "timestamp-request": 13,
    "timestamp-reply": 14,
}
"""IPv4 ICMP types by name (RFC 792, RFC 1256)."""

ICMPV6_TYPES = {
    "destination-unreachable": 1,
    "packet-too-big": 2,
    "time-exceeded": 3,
    "parameter-problem": 4,
    "echo-request": 128,
    "echo-reply": 129,
    "router-solicitation": 133,
    "router-advertisement": 134,
    "neighbour-solicitation": 135,
    "neighbour-advertisement": 136,
    "redirect": 137,
}
"""ICMPv6 types by name (RFC 4443, RFC 4861)."""


@dataclass(frozen=True, slots=True)
class ServiceTerm:
    """One alternative of a service.

    Attributes:
        protocol: IP protocol number; None is every protocol. ICMP is IPv4's only, ICMPV6 IPv6's only.
        ports: destination port ranges, sorted, disjoint, not touching; empty means every port.
        source_ports: the same for source ports.
        icmp_type: ICMP type, None is every type.
        icmp_code: ICMP code, None is every code; only with ``icmp_type``.
    """

    protocol: int | None = None
    ports: tuple[PortRange, ...] = ()
    source_ports: tuple[PortRange, ...] = ()
    icmp_type: int | None = None
    icmp_code: int | None = None

    def __str__(self) -> str:
        """Return it as a policy writes it: ``tcp/80,8000-8099``, ``icmp/3/1``, ``ip/47``, ``any``."""
        if self.protocol is None:
            return "any"
        if self.protocol not in _WORDS:
            return f"ip/{self.protocol}"
        parts = [_WORDS[self.protocol]]
        if self.icmp_type is not None:
            parts += [str(number) for number in (self.icmp_type, self.icmp_code) if number is not None]
        elif self.ports:
            parts.append(_ranges_text(self.ports))
        source = f" from {_ranges_text(self.source_ports)}" if self.source_ports else ""
        return "/".join(parts) + source


_WORDS = {int(protocol): protocol.name.lower() for protocol in Protocol}


def _ranges_text(ranges: tuple[PortRange, ...]) -> str:
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


ANY_SERVICE = ServiceTerm()


def merge_ranges(ranges: list[PortRange]) -> tuple[PortRange, ...]:
    """Return the same ports as sorted ranges that neither overlap nor touch; all ports give ``()``."""
    merged: list[PortRange] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return () if merged == [ALL_PORTS] else tuple(merged)


def range_to_masks(port_range: PortRange) -> list[tuple[int, int]]:
    """Return the fewest (value, mask) pairs over 16 bits that together are exactly the range."""
    first, last = port_range
    masks: list[tuple[int, int]] = []
    while first <= last:
        size = first & -first or 0x10000
        while first + size - 1 > last:
            size >>= 1
        masks.append((first, 0x10000 - size & 0xFFFF))
        first += size
    return masks
