"""Guard, connection state, isolation and appliances: what happens to packets beside a connection's first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.compiled import FABRIC, LEGS, TARGETS, CompiledFleet, Port, Seen
from support.configurations import configure, endpoint, mirror, probe, rule, tenant, tier, zone
from zonewall.flows.simulate.packet import Packet, packet
from zonewall.intent.semantics import Probe
from zonewall.placement.model import BindingState
from zonewall.policy.model import Configuration, Provider
from zonewall.values.names import EndpointKey, HostName, TenantName, ZoneName

WEB, DB, FIX = (EndpointKey(f"acme/{name}") for name in ("web", "db", "fix"))
FAMILIES = {4: ("10.0.0.1", "10.0.0.2"), 6: ("fd00::1", "fd00::2")}
ASK = {version: probe(WEB, DB, "tcp/80", src_ip=a, dst_ip=b) for version, (a, b) in FAMILIES.items()}


def shop(*extra: object, services: str = "tcp/80", **rule_fields: Any) -> Configuration:
    """Return web, db and a remediation endpoint; web may reach db."""
    acme = tenant(
        "acme",
        tier("t", rule("shop", "web", "db", services=[services], **rule_fields), rule("fix", "any", "fix")),
        zones=[zone(name, labels={"role": name}) for name in ("web", "db", "fix")],
        mirrors=(mirror("m", "any", "db"),),
    )
    ends = [
        endpoint("acme/db", "10.0.0.2", "fd00::2", labels={"role": "db"}, mac=0x525400000002),
        endpoint("acme/fix", "10.0.0.3", "fd00::3", labels={"role": "fix"}, mac=0x525400000003),
        endpoint("acme/web", "10.0.0.1", "fd00::1", labels={"role": "web"}, mac=0x525400000001),
    ]
    provider = Provider(remediation=(TenantName("acme"), ZoneName("fix")))
    return configure(*ends, *extra, acme, provider=provider)  # type: ignore[arg-type]


def first(fleet: CompiledFleet, asked: Probe) -> tuple[Port, Packet]:
    return fleet.entering(asked, *fleet.addresses(asked))


def answer(fleet: CompiledFleet, asked: Probe) -> tuple[Port, Packet]:
    """Return the other end's SYN+ACK."""
    back = replace(
        asked, source=asked.destination, destination=asked.source,
        source_ip=asked.destination_ip, destination_ip=asked.source_ip,
        source_port=asked.destination_port, destination_port=asked.source_port or 40000,
    )  # fmt: skip
    port, frame = first(fleet, back)
    return port, frame.but(tcp_flags=0x12)


def arrived(seen: Seen) -> list[Port]:
    return [port for port, _ in seen.arrived]


@pytest.mark.parametrize("asked", ASK.values(), ids=["ipv4", "ipv6"])
class TestConnections:
    def test_answers_pass_and_answers_to_nothing_do_not(self, asked: Probe) -> None:
        fleet = CompiledFleet(shop())

        assert arrived(fleet.send(*answer(fleet, asked))) == []
        assert arrived(fleet.send(*first(fleet, asked))) == [fleet.places[DB]]
        assert arrived(fleet.send(*answer(fleet, asked))) == [fleet.places[WEB]]
        port, frame = first(fleet, asked)
        assert arrived(fleet.send(port, frame.but(tcp_flags=0x10))) == [fleet.places[DB]]

    def test_a_rule_that_goes_takes_its_connection_along_in_both_directions(self, asked: Probe) -> None:
        fleet, closed = CompiledFleet(shop()), CompiledFleet(shop(services="tcp/81"))
        fleet.send(*first(fleet, asked))
        fleet.send(*answer(fleet, asked))
        closed.tracked = fleet.tracked
        port, frame = first(fleet, asked)

        assert arrived(closed.send(port, frame.but(tcp_flags=0x10))) == []
        assert arrived(closed.send(*answer(fleet, asked))) == []

    def test_a_rule_that_stays_loses_no_packet_when_another_is_put_before_it(self, asked: Probe) -> None:
        fleet = CompiledFleet(shop())
        fleet.send(*first(fleet, asked))
        configuration = shop()
        own = configuration.tenants[TenantName("acme")]
        more = replace(
            own, tiers=(tier("s", rule("other", "any", "any", "drop", services="tcp/22")), *own.tiers)
        )
        edited = CompiledFleet(
            replace(configuration, tenants={own.name: more}), numbering=fleet.policy.numbering
        )
        edited.tracked = fleet.tracked

        assert arrived(edited.send(*answer(edited, asked))) == [edited.places[WEB]]

    def test_the_icmp_error_of_an_allowed_connection_passes_and_another_does_not(self, asked: Probe) -> None:
        fleet = CompiledFleet(shop())
        port, frame = first(fleet, asked)
        back, reply = answer(fleet, asked)
        v4 = reply["eth_type"] == 0x0800
        error: dict[str, Any] = (
            {"icmpv4_type": 3, "icmpv4_code": 3} if v4 else {"icmpv6_type": 1, "icmpv6_code": 4}
        )
        ends: dict[str, Any] = {
            name: reply[name]
            for name in (
                "eth_src",
                "eth_dst",
                "eth_type",
                *(f"ip{'v4' if v4 else 'v6'}_{e}" for e in ("src", "dst")),
            )
        }
        about = packet(ip_proto=1 if v4 else 58, quoted=frame, **ends, **error)

        assert arrived(fleet.send(back, about)) == []
        fleet.send(port, frame)
        assert arrived(fleet.send(back, about)) == [fleet.places[WEB]]

    def test_a_spoofed_mac_or_address_or_a_tag_is_dropped(self, asked: Probe) -> None:
        fleet = CompiledFleet(shop())
        port, frame = first(fleet, asked)
        field = "ipv4_src" if frame["eth_type"] == 0x0800 else "ipv6_src"
        db = fleet.configuration.inventory.endpoints[DB]

        assert arrived(fleet.send(port, frame.but(eth_src=int(db.mac)))) == []
        assert arrived(fleet.send(port, frame.but(**{field: frame[field] + 8}))) == []
        assert arrived(fleet.send(port, frame.but(vlan_vid=0x1064))) == []
        assert arrived(fleet.send((port[0], 999), frame)) == []

    @pytest.mark.parametrize("state", [BindingState.PENDING, BindingState.LEAVING])
    def test_a_port_that_waits_or_is_left_passes_nothing(self, asked: Probe, state: BindingState) -> None:
        fleet = CompiledFleet(shop(), states={WEB: state})
        seen = fleet.send(*first(fleet, asked))

        assert (arrived(seen), seen.announced) == ([], False)

    def test_a_quarantined_endpoint_reaches_the_remediation_zone_only(self, asked: Probe) -> None:
        fleet = CompiledFleet(shop(), states={WEB: BindingState.QUARANTINED})
        fixed = replace(asked, destination=FIX, destination_ip=None)

        assert arrived(fleet.send(*first(fleet, asked))) == []
        assert arrived(fleet.judge(replace(fixed, source_ip=None))) == [fleet.places[FIX]]

    def test_an_appliance_and_a_mirror_target_cannot_begin_a_connection(self, asked: Probe) -> None:
        fleet = CompiledFleet(shop(through=("waf",)))
        seen = fleet.send(*first(fleet, asked))
        assert seen.through == ["waf"]
        fleet.forget_connections()
        (here, _), frame = first(fleet, asked)
        legs = sorted(fleet.configuration.inventory.service_functions).index("waf") * 2 + LEGS
        bridges = {key.host: key for key in fleet.programs}

        for ofport in (legs, legs + 1):
            assert arrived(fleet.send((bridges[HostName("hv1")], ofport), frame)) == []
        assert arrived(fleet.send((bridges[HostName("hv2")], TARGETS), frame)) == []
        assert here in fleet.programs
        assert FABRIC < LEGS


def test_an_announcement_of_a_waiting_port_goes_to_the_controller_alone() -> None:
    fleet = CompiledFleet(shop(), states={WEB: BindingState.PENDING})
    mac = int(fleet.configuration.inventory.endpoints[WEB].mac)
    rarp = packet(eth_type=0x8035, eth_src=mac, eth_dst=0xFFFFFFFFFFFF)

    seen = fleet.send(fleet.places[WEB], rarp)

    assert (arrived(seen), seen.announced) == ([], True)


def test_an_arp_for_an_address_that_is_not_the_endpoints_own_is_dropped() -> None:
    fleet = CompiledFleet(shop())
    mac = int(fleet.configuration.inventory.endpoints[WEB].mac)
    ask = packet(
        eth_type=0x0806, eth_src=mac, eth_dst=0xFFFFFFFFFFFF, arp_op=1,
        arp_spa=0x0A000001, arp_sha=mac, arp_tpa=0x0A000002,
    )  # fmt: skip

    assert arrived(fleet.send(fleet.places[WEB], ask)) == [fleet.places[DB]]
    assert arrived(fleet.send(fleet.places[WEB], ask.but(arp_spa=0x0A000003))) == []
    assert arrived(fleet.send(fleet.places[WEB], ask.but(arp_sha=mac + 1))) == []


def test_another_tenants_same_address_and_mac_are_kept_apart() -> None:
    twin = tenant("blue", tier("t", rule("all", "any", "any")))
    same = [
        endpoint("blue/db", "10.0.0.2", mac=0x525400000002),
        endpoint("blue/web", "10.0.0.1", mac=0x525400000001),
    ]
    fleet = CompiledFleet(shop(twin, *same))

    assert arrived(fleet.judge(ASK[4])) == [fleet.places[DB]]
    assert arrived(fleet.judge(probe("blue/web", "blue/db", "tcp/22"))) == [
        fleet.places[EndpointKey("blue/db")]
    ]
    assert arrived(fleet.judge(replace(ASK[4], destination_port=22))) == []
