"""Questions of neighbour discovery, and a small fleet that is asked: honest ones and forged ones."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Final

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier
from zonewall.flows.simulate.packet import Packet, packet
from zonewall.policy.model import Configuration
from zonewall.values.addresses import MacAddress
from zonewall.values.names import EndpointKey, TenantName

ASKS, OTHER, ROUTER = (EndpointKey(f"acme/{name}") for name in ("asks", "other", "router"))
MACS = {ASKS: 0x525400000001, OTHER: 0x525400000002, ROUTER: 0x525400000003}
OWN, VICTIMS, UNSPECIFIED, ALL_ROUTERS = "fd00::1", "fd00::2", "::", "ff02::2"
ACME: Final = TenantName("acme")


def shop() -> Configuration:
    """Return two endpoints and a router that may all talk, on two bridges."""
    ends = [
        endpoint(key, f"10.0.0.{number}", f"fd00::{number}", mac=MACS[key], roles=roles)
        for number, (key, roles) in enumerate({ASKS: (), OTHER: (), ROUTER: ("router",)}.items(), 1)
    ]
    return configure(*ends, tenant("acme", tier("t", rule("all", "any", "any"))))


def solicits(
    source: str,
    mac: int,
    *,
    kind: int = 133,
    target: str = VICTIMS,
    to: str = "",
    vlans: tuple[int, ...] = (),
) -> Packet:
    """Return a router solicitation (133), or a neighbour solicitation (135) with its sender's MAC in it."""
    about = {} if kind == 133 else {"nd_target": number(target), "nd_sll": mac}
    return packet(
        vlans=vlans, eth_type=0x86DD, eth_src=mac, eth_dst=0x333300000002, ip_proto=58, icmpv6_type=kind,
        ipv6_src=number(source), ipv6_dst=number(to or (ALL_ROUTERS if kind == 133 else target)),
    ).but(**about)  # fmt: skip


def number(address: str) -> int:
    return int(ipaddress.ip_address(address))


def at_uplink(routers: tuple[MacAddress, ...]) -> CompiledFleet:
    """Return the fleet with MACs at its uplinks that may speak for addresses beyond them."""
    fleet = CompiledFleet(shop())
    inventory = fleet.configuration.inventory
    host = inventory.hosts[FIRST.host]
    bridge = host.bridges[FIRST.bridge]
    ports = {
        name: replace(port, routers=routers if name.startswith("up-") else ())
        for name, port in bridge.ports.items()
    }
    hosts = {
        **inventory.hosts,
        FIRST.host: replace(host, bridges={FIRST.bridge: replace(bridge, ports=ports)}),
    }
    configuration = replace(fleet.configuration, inventory=replace(inventory, hosts=hosts))
    fleet.carry(replace(fleet.policy, configuration=configuration), fleet.placement)
    return fleet
