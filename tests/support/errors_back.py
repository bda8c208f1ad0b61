"""An answered question between endpoints, and the ICMP error that its server sends in place of an answer."""

from __future__ import annotations

from dataclasses import replace

from support.compiled import CompiledFleet
from support.configurations import configure, endpoint, probe, rule, tenant, tier
from zonewall.flows.simulate.packet import Packet, packet
from zonewall.policy.model import Configuration, Provider
from zonewall.values.names import EndpointKey

CLIENT, WITHIN, BETWEEN = EndpointKey("acme/a"), EndpointKey("acme/c"), EndpointKey("blue/b")


def agreed() -> Configuration:
    """Return two tenants whose machines may ask each other's name servers, as they may their own."""
    ends = [
        endpoint("acme/a", "10.0.0.1", "fd00::1"), endpoint("acme/b", "10.0.0.2"),
        endpoint("acme/c", "10.0.0.3", "fd00::3"), endpoint("acme/d", "10.0.0.4"),
        endpoint("blue/b", "10.1.0.1", "fd01::1"),
    ]  # fmt: skip
    across = tier("x", rule("across", "acme/any", "blue/any", services="udp/53"))
    own = tenant("acme", tier("t", rule("in", "any", "any", services="udp/53")))
    return configure(*ends, own, tenant("blue"), provider=Provider(before=(across,)))


def question(fleet: CompiledFleet, server: EndpointKey, family: int) -> Packet:
    """Return the client's first packet to a server."""
    ends = [
        next(ip for ip in fleet.configuration.inventory.endpoints[key].ips if ip.version == family)
        for key in (CLIENT, server)
    ]
    return fleet.entering(probe(CLIENT, server, "udp/53", sport=40000), *ends)[1]


def error(asked: Packet) -> Packet:
    """Return what a server says of it: a packet too big, or its port unreachable (RFC 792, RFC 4443)."""
    family = 4 if asked["eth_type"] == 0x0800 else 6
    kind, protocol, numbers = ("icmpv4", 1, (3, 4)) if family == 4 else ("icmpv6", 58, (2, 0))
    made = packet(
        eth_src=asked["eth_dst"], eth_dst=asked["eth_src"], eth_type=asked["eth_type"], ip_proto=protocol,
    ).but(
        **{f"ipv{family}_src": asked[f"ipv{family}_dst"], f"ipv{family}_dst": asked[f"ipv{family}_src"]},
        **{f"{kind}_type": numbers[0], f"{kind}_code": numbers[1]},
    )  # fmt: skip
    return replace(made, quoted=asked)
