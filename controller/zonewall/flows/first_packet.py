"""A probe's first packet, and the port where it enters the fleet."""

from __future__ import annotations

from dataclasses import dataclass

from zonewall.errors import ZonewallError
from zonewall.flows.simulate.packet import Packet, packet
from zonewall.intent.fleet import Fleet
from zonewall.intent.semantics import Probe
from zonewall.intent.semantics.membership import End
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import PortRole
from zonewall.values.addresses import MacAddress
from zonewall.values.names import TenantName
from zonewall.values.services import Protocol

SOMEBODY = MacAddress(0x00005E0053FE)
"""Whoever is outside and has no listed router's address (RFC 7042, 2.1.2: for documentation)."""

_SYN = 2
_PORTS = {Protocol.TCP: "tcp", Protocol.UDP: "udp", Protocol.SCTP: "sctp"}


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a packet enters, and how it looks there."""

    bridge: BridgeKey
    ofport: int
    packet: Packet


def first_packet(fleet: Fleet, probe: Probe, source: End, destination: End) -> Entry:
    """Return the first packet of a probe's connection at the port where it enters; TCP's is a SYN.

    Raises:
        ZonewallError: the source is at no port, or there is no uplink for one from outside.
    """
    view = source.tenant.name if source.is_outside else destination.tenant.name
    routers = _routers(fleet, view)
    if source.endpoint is not None:
        place = fleet.of(source.endpoint.tenant).place.get(source.endpoint.key)
        if place is None:
            raise ZonewallError(f"{source.endpoint.key} is at no port; there is nothing that it could send")
        bridge, ofport, vlan, mac = place.bridge, int(place.ofport), 0, source.endpoint.mac
    else:
        bridge, ofport, vlan = _uplink(fleet, view)
        mac = routers[0] if routers else SOMEBODY
    to = destination.endpoint.mac if destination.endpoint is not None else (routers or [SOMEBODY])[0]
    tags = (vlan,) if vlan else ()
    frame = packet(vlans=tags).but(**_headers(probe, source, destination, mac, to))
    return Entry(bridge, ofport, frame)


def _uplink(fleet: Fleet, tenant: TenantName) -> tuple[BridgeKey, int, int]:
    for bridge in fleet.declared.uplinks.get(tenant, ()):
        for port, number in fleet.ports[bridge]:
            for vlan, owner in sorted((port.vlans or {}).items()):
                if port.role is PortRole.UPLINK and owner == tenant:
                    return bridge, number, vlan
    raise ZonewallError(f"{tenant} has no uplink that is there; nothing from outside can reach it")


def _routers(fleet: Fleet, tenant: TenantName) -> list[MacAddress]:
    return [
        mac
        for bridge in fleet.declared.uplinks.get(tenant, ())
        for port, _ in fleet.ports[bridge]
        if port.role is PortRole.UPLINK and tenant in (port.vlans or {}).values()
        for mac in port.routers
    ]


def _headers(probe: Probe, source: End, destination: End, mac: int, to: int) -> dict[str, int]:
    v4 = source.address.version == 4
    fields = {
        "eth_src": mac,
        "eth_dst": to,
        "eth_type": 0x0800 if v4 else 0x86DD,
        "ipv4_src" if v4 else "ipv6_src": int(source.address),
        "ipv4_dst" if v4 else "ipv6_dst": int(destination.address),
        "ip_proto": probe.protocol,
        "nw_ttl": 64,
    }
    word = _PORTS.get(Protocol(probe.protocol)) if probe.protocol in list(Protocol) else None
    if word is not None:
        fields[f"{word}_src"] = 40000 if probe.source_port is None else probe.source_port
        fields[f"{word}_dst"] = probe.destination_port or 0
    if probe.protocol == Protocol.TCP:
        fields["tcp_flags"] = _SYN
    if probe.icmp is not None:
        family = "icmpv4" if v4 else "icmpv6"
        fields[f"{family}_type"], fields[f"{family}_code"] = probe.icmp
    return fields
