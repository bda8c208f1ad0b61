"""Whom a joined tenant cannot reach it does not see: neither is it asked, nor does anybody hear it ask."""

from __future__ import annotations

import ipaddress
from itertools import permutations, product
from typing import Any

import pytest

from support.compiled import FIRST, OUTSIDE_MAC, SECOND, UPLINKS, CompiledFleet
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.flows.assembly import Assembler
from zonewall.flows.simulate.packet import Packet, packet
from zonewall.flows.wire import encode_program
from zonewall.intent.fleet import index_fleet
from zonewall.intent.semantics import Verdict, verdict
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Action, Provider
from zonewall.values.addresses import link_local_address
from zonewall.values.names import EndpointKey

ROLES = {"shown": {"role": "shown"}, "idle": {"role": "idle"}}
SHOWN = [zone("shown", labels=ROLES["shown"])]
ALL = tier("t", rule("all", "any", "any"), rule("there", "any", "shown"))
SEEN = {
    **{("acme", f"blue/{one}"): one == "shown" for one in ROLES},  # acme imports what blue shows
    **{("blue", f"acme/{one}"): True for one in ROLES},
    **{("blue", f"red/{one}"): one == "shown" for one in ROLES},  # and blue what red shows
    **{("red", f"blue/{one}"): True for one in ROLES},
    **{("ops", f"{owner}/{one}"): owner != "red" for owner in ("acme", "blue", "red") for one in ROLES},
    **{(name, f"ops/{one}"): one == "shown" for name in ("acme", "blue") for one in ROLES},
}
"""Who can reach whom of another tenant; whoever is not named cannot."""


def chain() -> CompiledFleet:
    """Return acme joined with blue, blue with red, and ops with two of them by a provider's rule."""
    ends = [
        endpoint(f"{owner}/{one}", f"10.{number}.0.{place}", f"fd00:{number}::{place}", labels=labels)
        for number, owner in enumerate(("acme", "blue", "red", "ops"))
        for place, (one, labels) in enumerate(ROLES.items(), 1)
    ]
    watch = tier("w", rule("in", "ops/shown", "acme/any blue/any"))
    return CompiledFleet(
        configure(
            *ends,
            tenant("acme", tier("t", rule("b", "any", "b")), zones=SHOWN, imports=[("blue/shown", "b")]),
            tenant(
                "blue", tier("t", rule("r", "any", "r shown")), zones=SHOWN,
                exports=[("shown", "acme")], imports=[("red/shown", "r")],
            ),
            tenant("red", ALL, zones=SHOWN, exports=[("shown", "blue")]),
            tenant("ops", ALL, zones=SHOWN),
            provider=Provider(before=(watch,)),
        )
    )  # fmt: skip


def sees(one: EndpointDeclaration, other: EndpointDeclaration) -> bool:
    """Say whether the tenant of one can reach the other."""
    return one.tenant == other.tenant or SEEN.get((one.tenant, other.key), False)


def spoken(
    one: EndpointDeclaration, other: EndpointDeclaration, vlans: tuple[int, ...] = ()
) -> dict[str, Packet]:
    """Return all by which one asks for the other, answers it, or tells it where it is."""
    (four, six), (to_four, to_six) = one.ips, other.ips
    own, theirs = link_local_address(one.mac), link_local_address(other.mac)
    arp: dict[str, Any] = {
        "vlans": vlans,
        "eth_type": 0x0806,
        "eth_src": one.mac,
        "arp_sha": one.mac,
        "arp_spa": int(four),
        "arp_tpa": int(to_four),
    }
    nd: dict[str, Any] = {"vlans": vlans, "eth_type": 0x86DD, "eth_src": one.mac, "ip_proto": 58}
    said = {
        "ARP asks": packet(**arp, eth_dst=(1 << 48) - 1, arp_op=1, arp_tha=0),
        "ARP answers": packet(**arp, eth_dst=other.mac, arp_op=2, arp_tha=other.mac),
    }
    for whence, to in product((six, own), (to_six, theirs)):
        asks = {**nd, "icmpv6_type": 135, "ipv6_src": int(whence), "nd_target": int(to), "nd_sll": one.mac}
        said[f"{whence} asks for {to}"] = packet(
            **asks, eth_dst=0x3333FF000000, ipv6_dst=0xFF02 << 112 | 1 << 32 | 0xFF << 24 | int(to) & 0xFFFFFF
        )
        told = {
            **nd,
            "icmpv6_type": 136,
            "ipv6_src": int(whence),
            "nd_target": int(whence),
            "nd_tll": one.mac,
        }
        said[f"{whence} answers {to}"] = packet(**told, eth_dst=other.mac, ipv6_dst=int(to))
    return said


def test_nobody_asks_or_tells_a_machine_of_another_tenant_unless_either_tenant_can_reach_the_other_s() -> (
    None
):
    fleet = chain()
    endpoints = fleet.configuration.inventory.endpoints

    for one, other in permutations(endpoints.values(), 2):
        for what, frame in spoken(one, other).items():
            arrived = [port for port, _ in fleet.send(fleet.places[one.key], frame).arrived]
            heard = fleet.places[other.key] in arrived
            assert heard == (sees(one, other) and sees(other, one)), (one.key, other.key, what)
            strangers = {fleet.places[key] for key, each in endpoints.items() if each.tenant != one.tenant}
            assert not strangers & {*arrived} - {fleet.places[other.key]}, (one.key, other.key, what)


def test_nobody_outside_asks_or_tells_a_machine_of_another_tenant() -> None:
    fleet = chain()
    outside = endpoint("acme/outside", "203.0.113.9", "2001:db8::9", mac=OUTSIDE_MAC)

    for other in fleet.configuration.inventory.endpoints.values():
        for what, frame in spoken(outside, other, (fleet.vlans[outside.tenant],)).items():
            arrived = [port for port, _ in fleet.send((FIRST, UPLINKS[0]), frame).arrived]
            assert (fleet.places[other.key] in arrived) == (other.tenant == outside.tenant), (other.key, what)


@pytest.mark.parametrize("service", ["tcp/80", "icmp/8/0"])
def test_joined_by_a_third_nobody_reaches_anybody(service: str) -> None:
    fleet = chain()
    ends = fleet.configuration.inventory.endpoints.values()

    for one, other in permutations(ends, 2):
        ask = probe(one.key, other.key, service)
        seen, said = fleet.judge(ask), verdict(fleet.configuration, ask)
        assert isinstance(said, Verdict)
        reached = fleet.places[other.key] in [port for port, _ in seen.arrived]
        assert reached == (said.verdict is Action.ALLOW)
        assert not reached or (sees(one, other) and sees(other, one))


def test_pieces_put_together_say_the_same_of_who_is_not_seen() -> None:
    fleet = chain()
    made, assembler = index_fleet(fleet.policy, fleet.placement), Assembler()

    facts = fleet.policy.endpoints
    assert {str(key): len(one.unseen_by) for key, one in facts.items() if one.unseen_by} == {
        "blue/idle": 1, "red/idle": 1, "ops/idle": 1,
    }  # fmt: skip
    assert facts[EndpointKey("ops/idle")].unseen_by == facts[EndpointKey("red/idle")].unseen_by == (0,)
    for key in (FIRST, SECOND):
        assert dict(assembler.state(made, key).flows) == encode_program(fleet.programs[key]).flows


def test_whom_a_tenant_cannot_reach_takes_no_outside_address_from_it() -> None:
    away = ipaddress.ip_address("198.51.100.7")
    parts = (
        endpoint("acme/own", "10.0.0.1", labels=ROLES["shown"]),
        endpoint("blue/own", "10.1.0.1", labels=ROLES["shown"]),
        endpoint("blue/took", str(away), labels=ROLES["idle"]),
        tenant("acme", tier("t", rule("out", "any", "external")), zones=SHOWN, imports=[("blue/shown", "b")]),
        tenant("blue", ALL, zones=SHOWN, exports=[("shown", "acme")]),
    )
    fleet, ask = CompiledFleet(configure(*parts)), probe("acme/own", str(away))

    seen, said = fleet.judge(ask), verdict(fleet.configuration, ask)

    assert isinstance(said, Verdict)
    assert (seen.verdict, seen.rule) == (said.verdict.value, said.rule) == ("allow", "acme/t/out")
