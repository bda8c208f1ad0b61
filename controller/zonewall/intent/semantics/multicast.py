"""Multicast and broadcast: a class of their own, beside the rules."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

from zonewall.intent.semantics.connection import Connection
from zonewall.policy.model import Provider
from zonewall.values.addresses import IpAddress
from zonewall.values.services import Protocol

_VRRP = 112
_ND = range(133, 138)
_ROUTER_ADVERTISEMENT = 134
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")
_DHCP_SERVERS = ipaddress.IPv6Address("ff02::1:2")

_ON_REQUEST: Mapping[str, tuple[frozenset[str], int, int | None]] = {
    "vrrp": (frozenset({"224.0.0.18", "ff02::12"}), _VRRP, None),
    "mdns": (frozenset({"224.0.0.251", "ff02::fb"}), Protocol.UDP, 5353),
}
"""What ``multicast:`` may name: groups, protocol, port (RFC 9568, RFC 6762)."""


def is_group_address(address: IpAddress) -> bool:
    """Say whether the address is multicast (RFC 5771, RFC 4291) or the limited broadcast (RFC 919)."""
    return address.is_multicast or address == _BROADCAST


def passes_multicast(provider: Provider, connection: Connection) -> bool:
    """Say whether the packet is neighbour discovery, a DHCP request, or what the provider lists."""
    tests: tuple[Callable[[Connection], bool], ...] = (_is_discovery, _is_dhcp_request)
    return any(test(connection) for test in tests) or any(
        _is_listed(name, connection) for name in provider.multicast
    )


def _is_discovery(connection: Connection) -> bool:
    """RFC 4861; an endpoint that is no router does not advertise itself as one."""
    probe, source = connection.probe, connection.source
    if probe.protocol != Protocol.ICMPV6 or probe.icmp is None or probe.icmp[0] not in _ND:
        return False
    if probe.icmp[0] != _ROUTER_ADVERTISEMENT or source.endpoint is None:
        return True
    return "router" in source.endpoint.roles


def _is_dhcp_request(connection: Connection) -> bool:
    """RFC 2131 (broadcast to port 67), RFC 8415 (to all servers, port 547)."""
    probe = connection.probe
    asked = (connection.destination.address, probe.destination_port)
    return probe.protocol == Protocol.UDP and asked in ((_BROADCAST, 67), (_DHCP_SERVERS, 547))


def _is_listed(name: str, connection: Connection) -> bool:
    if name not in _ON_REQUEST:
        return False
    groups, protocol, port = _ON_REQUEST[name]
    probe = connection.probe
    return (
        str(connection.destination.address) in groups
        and probe.protocol == protocol
        and port in (None, probe.destination_port)
    )
