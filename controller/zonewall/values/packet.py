"""The header tuple of a connection's first packet, as the meaning of a policy sees it."""

from __future__ import annotations

from dataclasses import dataclass

from zonewall.values.addresses import IpAddress


@dataclass(frozen=True, slots=True)
class Headers:
    """What a verdict may depend on beside who the two ends are.

    Attributes:
        src: source address.
        dst: destination address, of the same family.
        protocol: IP protocol number.
        sport: source port, for TCP, UDP and SCTP.
        dport: destination port, for TCP, UDP and SCTP.
        icmp: (type, code), for ICMP and ICMPv6.
    """

    src: IpAddress
    dst: IpAddress
    protocol: int
    sport: int | None = None
    dport: int | None = None
    icmp: tuple[int, int] | None = None
