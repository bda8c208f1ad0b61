"""Multicast, other ethertypes and what is flooded: a known list, no loop, nothing from who is isolated."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.compiled import FIRST, HERE, SECOND, UPLINKS, CompiledFleet, Port, Seen
from support.configurations import configure, endpoint, rule, tenant, tier
from zonewall.flows.simulate.packet import Packet, packet
from zonewall.intent.fleet import index_fleet
from zonewall.intent.resolve import resolve_bridge
from zonewall.placement.model import BindingState
from zonewall.policy.inventory import PortDeclaration, PortRole
from zonewall.policy.model import Configuration, Provider
from zonewall.values.names import EndpointKey, OfPort, TenantName

ONE, TWO, THREE = (EndpointKey(f"acme/{name}") for name in ("one", "two", "three"))
MDNS = 0xE00000FB
OTHER = 0x88B5


def shop() -> Configuration:
    """Return three endpoints that may all talk; mDNS and one more ethertype are let through."""
    ends = [
        endpoint(f"acme/{name}", f"10.0.0.{number}", f"fd00::{number}", mac=0x525400000000 + number)
        for number, name in enumerate(("one", "two", "three"), 1)
    ]
    own = tenant("acme", tier("t", rule("all", "any", "any")))
    provider = Provider(multicast=frozenset({"mdns"}), ethertypes=frozenset({OTHER}))
    return configure(*ends, own, provider=provider)


def mdns(source: int, group: int = MDNS) -> Packet:
    return packet(
        eth_type=0x0800, eth_src=0x525400000000 + source, eth_dst=0x01005E0000FB,
        ipv4_src=0x0A000000 + source, ipv4_dst=group, ip_proto=17, udp_src=5353, udp_dst=5353,
    )  # fmt: skip


def other(source: int, to: int) -> Packet:
    return packet(eth_type=OTHER, eth_src=0x525400000000 + source, eth_dst=to)


def arrived(seen: Seen) -> list[Port]:
    return sorted(port for port, _ in seen.arrived if port[1] not in UPLINKS)


def left(seen: Seen) -> list[Port]:
    return sorted(port for port, _ in seen.arrived if port[1] in UPLINKS)


def test_a_group_on_the_list_reaches_each_of_the_tenants_endpoints_once() -> None:
    fleet = CompiledFleet(shop())

    seen = fleet.send(fleet.places[ONE], mdns(1))
    assert arrived(seen) == sorted(fleet.places[key] for key in (TWO, THREE))
    assert left(seen) == [(FIRST, port) for port in UPLINKS]
    assert arrived(fleet.send(fleet.places[ONE], mdns(1, group=MDNS + 1))) == []


def test_a_named_ethertype_reaches_whom_it_is_for_and_its_groups_reach_all() -> None:
    fleet = CompiledFleet(shop())

    assert arrived(fleet.send(fleet.places[ONE], other(1, 0x525400000002))) == [fleet.places[TWO]]
    assert arrived(fleet.send(fleet.places[ONE], other(1, 0x0180C200000E))) == sorted(
        fleet.places[key] for key in (TWO, THREE)
    )
    stranger = other(1, 0x0180C200000E).but(eth_type=OTHER + 1)
    assert arrived(fleet.send(fleet.places[ONE], stranger)) == []


@pytest.mark.parametrize(
    "frame",
    [mdns(1), other(1, 0x525400000002), other(1, 0x0180C200000E)],
    ids=["multicast", "ethertype", "ethertype to a group"],
)
def test_a_quarantined_endpoint_sends_neither_multicast_nor_other_ethertypes(frame: Packet) -> None:
    fleet = CompiledFleet(shop(), states={ONE: BindingState.QUARANTINED})
    assert fleet.send(fleet.places[ONE], frame).arrived == []


def test_no_other_ethertype_reaches_a_quarantined_endpoint() -> None:
    fleet = CompiledFleet(shop(), states={TWO: BindingState.QUARANTINED})
    assert arrived(fleet.send(fleet.places[ONE], other(1, 0x525400000002))) == []


def test_two_bridges_with_uplinks_to_one_network_close_no_loop() -> None:
    fleet = CompiledFleet(shop())
    inventory = fleet.configuration.inventory
    host = inventory.hosts[SECOND.host]
    vlans = {fleet.vlans[TenantName("acme")]: TenantName("acme")}
    ports = {
        **host.bridges[SECOND.bridge].ports,
        "up-2": PortDeclaration("up-2", PortRole.UPLINK, HERE, vlans=vlans),
    }
    bridge = replace(host.bridges[SECOND.bridge], ports=ports)
    hosts = {**inventory.hosts, SECOND.host: replace(host, bridges={SECOND.bridge: bridge})}
    configuration = replace(fleet.configuration, inventory=replace(inventory, hosts=hosts))
    placement = replace(
        fleet.placement, ports={**fleet.placement.ports, (SECOND, "up-2"): OfPort(UPLINKS[0])}
    )
    policy = replace(fleet.policy, configuration=configuration)

    indexed = index_fleet(policy, placement)
    floods = {key: resolve_bridge(indexed, key).tenants[0].intent.floods_outside for key in (FIRST, SECOND)}
    assert floods == {FIRST: True, SECOND: False}

    fleet.carry(policy, placement)
    tag = (fleet.vlans[TenantName("acme")],)
    from_outside = packet(
        vlans=tag, eth_type=0x0800, eth_src=0x00005E00AA01, eth_dst=0x01005E0000FB,
        ipv4_src=0xC0000201, ipv4_dst=MDNS, ip_proto=17, udp_src=5353, udp_dst=5353,
    )  # fmt: skip
    at_first = fleet.send((FIRST, UPLINKS[0]), from_outside)
    assert arrived(at_first) == sorted(fleet.places.values())
    assert left(at_first) == [(FIRST, UPLINKS[1])]
    assert fleet.send((SECOND, UPLINKS[0]), from_outside).arrived == []
    assert left(fleet.send(fleet.places[TWO], mdns(2))) == [(FIRST, port) for port in UPLINKS]
