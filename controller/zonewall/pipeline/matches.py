"""Conditions that several stages ask: address families, prefixes, services."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

from zonewall.pipeline.model import Condition, Field
from zonewall.pipeline.packet_fields import (
    ETH_ARP,
    ETH_DST,
    ETH_IPV4,
    ETH_IPV6,
    ETH_TYPE,
    ICMP_CODE,
    ICMP_TYPE,
    ICMPV6_CODE,
    ICMPV6_TYPE,
    IP_PROTO,
    IPV4_DST,
    IPV4_SRC,
    IPV6_DST,
    IPV6_SRC,
    SCTP_DST,
    SCTP_SRC,
    TCP_DST,
    TCP_SRC,
    UDP_DST,
    UDP_SRC,
    VLAN_VID,
)
from zonewall.values.addresses import IpPrefix
from zonewall.values.services import (
    ALL_PORTS,
    PortRange,
    Protocol,
    ServiceTerm,
    merge_ranges,
    range_to_masks,
)

IPV4: Condition = (ETH_TYPE, ETH_IPV4, None)
IPV6: Condition = (ETH_TYPE, ETH_IPV6, None)
ARP_FRAME: Condition = (ETH_TYPE, ETH_ARP, None)
UNTAGGED: Condition = (VLAN_VID, 0, None)
GROUP: Condition = (ETH_DST, 1 << 40, 1 << 40)
"""A frame to a group of stations: multicast or broadcast (IEEE 802, the I/G bit)."""
FAMILIES = {ETH_IPV4: IPV4, ETH_IPV6: IPV6}

_PORTS = {
    Protocol.TCP: (TCP_SRC, TCP_DST),
    Protocol.UDP: (UDP_SRC, UDP_DST),
    Protocol.SCTP: (SCTP_SRC, SCTP_DST),
}


def tagged(vlan: int) -> Condition:
    """Return the condition that the outermost tag has this VLAN (ovs-fields(7), "vlan_vid")."""
    return (VLAN_VID, 0x1000 | vlan, None)


def source_in(prefix: IpPrefix) -> tuple[Condition, ...]:
    """Return the conditions that the IP source is in the prefix."""
    return _address_in(prefix, IPV4_SRC, IPV6_SRC)


def destination_in(prefix: IpPrefix) -> tuple[Condition, ...]:
    """Return the conditions that the IP destination is in the prefix."""
    return _address_in(prefix, IPV4_DST, IPV6_DST)


def prefix_condition(field: Field, prefix: IpPrefix) -> tuple[Condition, ...]:
    """Return the condition that a field's address is in the prefix; none at all for ``/0``."""
    if prefix.prefixlen == 0:
        return ()
    mask = None if prefix.prefixlen == prefix.max_prefixlen else int(prefix.netmask)
    return ((field, int(prefix.network_address), mask),)


def _address_in(prefix: IpPrefix, v4: Field, v6: Field) -> tuple[Condition, ...]:
    family, field = (IPV4, v4) if prefix.version == 4 else (IPV6, v6)
    return (family, *prefix_condition(field, prefix))


def service_conditions(
    services: Iterable[ServiceTerm], families: tuple[int, ...]
) -> list[tuple[Condition, ...]]:
    """Return the alternatives that together are exactly the services; ``[()]`` for every protocol.

    Terms of one protocol that differ in ports alone are merged first, so that no two alternatives overlap.
    """
    return list(_service_conditions(tuple(services), families))


@lru_cache(maxsize=1 << 14)
def _service_conditions(
    terms: tuple[ServiceTerm, ...], families: tuple[int, ...]
) -> tuple[tuple[Condition, ...], ...]:
    if not terms or any(term.protocol is None for term in terms):
        return ((),)
    alternatives: dict[tuple[Condition, ...], None] = {}
    for protocol in dict.fromkeys(term.protocol for term in terms if term.protocol is not None):
        same = [term for term in terms if term.protocol == protocol]
        for family in families:
            for conditions in _protocol_conditions(protocol, same, family):
                alternatives[conditions] = None
    return tuple(alternatives)


def _protocol_conditions(
    protocol: int, terms: list[ServiceTerm], family: int
) -> Iterable[tuple[Condition, ...]]:
    if (protocol == Protocol.ICMP and family != ETH_IPV4) or (
        protocol == Protocol.ICMPV6 and family != ETH_IPV6
    ):
        return
    base = (FAMILIES[family], (IP_PROTO, protocol, None))
    if protocol in (Protocol.ICMP, Protocol.ICMPV6):
        yield from _without_covered([base + _icmp(term, family) for term in terms])
    elif protocol in _PORTS:
        source, destination = _PORTS[Protocol(protocol)]
        for source_ports, ports in _disjoint(terms):
            for source_condition in _port_conditions(source, source_ports):
                for destination_condition in _port_conditions(destination, ports):
                    yield base + source_condition + destination_condition
    else:
        yield base


def _disjoint(terms: list[ServiceTerm]) -> Iterable[tuple[tuple[PortRange, ...], tuple[PortRange, ...]]]:
    """Yield (source ports, destination ports) that overlap nowhere and together are the terms."""
    edges = {0, 0x10000}
    for term in terms:
        for first, last in term.source_ports:
            edges |= {first, last + 1}
    by_ports: dict[tuple[PortRange, ...], list[PortRange]] = {}
    for first, after in pairwise(sorted(edges)):
        here = [
            term
            for term in terms
            if not term.source_ports or any(low <= first <= high for low, high in term.source_ports)
        ]
        if here:
            merged = merge_ranges([each for term in here for each in term.ports or (ALL_PORTS,)])
            by_ports.setdefault(merged, []).append((first, after - 1))
    for ports, source_ports in by_ports.items():
        yield merge_ranges(source_ports), ports


def _icmp(term: ServiceTerm, family: int) -> tuple[Condition, ...]:
    if term.icmp_type is None:
        return ()
    kind, code = (ICMP_TYPE, ICMP_CODE) if family == ETH_IPV4 else (ICMPV6_TYPE, ICMPV6_CODE)
    condition: tuple[Condition, ...] = ((kind, term.icmp_type, None),)
    return condition if term.icmp_code is None else (*condition, (code, term.icmp_code, None))


def _port_conditions(field: Field, ranges: tuple[tuple[int, int], ...]) -> list[tuple[Condition, ...]]:
    if not ranges or ALL_PORTS in ranges:
        return [()]
    return [
        ((field, value, None if mask == 0xFFFF else mask),)
        for port_range in ranges
        for value, mask in range_to_masks(port_range)
    ]


def _without_covered(alternatives: list[tuple[Condition, ...]]) -> list[tuple[Condition, ...]]:
    """Drop alternatives that ask for all that another one asks, and more."""
    sets = [frozenset(conditions) for conditions in alternatives]
    return [
        conditions
        for conditions, own in zip(alternatives, sets, strict=True)
        if not any(other < own for other in sets)
    ]
