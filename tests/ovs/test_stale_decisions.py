"""No decision that the datapath has cached outlives a change of the policy, also where several overlap."""

from __future__ import annotations

import time

import pytest

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier
from support.dummy import DummySwitch
from support.kept_bridge import kept
from support.packets import UDP, build
from zonewall.flows import stirring
from zonewall.flows.simulate import packet
from zonewall.flows.stirring import ROWS
from zonewall.intent.fleet import Fleet, index_fleet

pytestmark = pytest.mark.ovs
NARROW, WIDE = 70, 5000
ORDERED_S = 1.2
"""So often the datapath puts first what is met most."""


def world(*services: str, action: str = "allow") -> Fleet:
    ends = [endpoint(f"acme/e{n}", f"10.0.0.{n}") for n in (1, 2, 3)]
    one = rule("r", "any", "any", action, services=services)
    fleet = CompiledFleet(configure(*ends, tenant("acme", tier("t", one))))
    return index_fleet(fleet.policy, fleet.placement)


def say(switch: DummySwitch, port: int, count: int) -> None:
    """Have the first machine begin conversations with the third."""
    one, other = (endpoint(f"acme/e{n}") for n in (1, 3))
    for number in range(count):
        sent = packet(
            eth_src=one.mac, eth_dst=other.mac, eth_type=0x0800, ip_proto=UDP, ipv4_src=0x0A000001,
            ipv4_dst=0x0A000003, udp_src=20000 + number, udp_dst=port,
        )  # fmt: skip
        switch.inject("p1", build(sent))


def cached(switch: DummySwitch) -> list[tuple[str, bool]]:
    """Return the cached decisions about what begins: what of the ports they read, whether it leaves."""
    lines = [one for one in switch.appctl("dpctl/dump-flows").splitlines() if "+new" in one]
    return sorted((one.partition("udp(dst=")[2].partition(")")[0], "drop" not in one) for one in lines)


def test_a_decision_beside_a_wider_one_ends_with_its_rule(dummy_switch: DummySwitch) -> None:
    """A narrow one, a wider one that is met more often, and then a rule by which both are wrong."""
    with kept(dummy_switch, FIRST, world("udp/64-79"), ports=2) as bridge:
        say(dummy_switch, NARROW, 1)
        assert cached(dummy_switch) == [("70/0xfff0", True)]
        assert len(dummy_switch.captured("p2")) == 1
        bridge.fleet = world("udp")
        bridge.settle()
        say(dummy_switch, WIDE, 60)
        time.sleep(ORDERED_S)
        say(dummy_switch, WIDE, 1)
        assert len(dummy_switch.captured("p2")) == 61
        bridge.fleet = world("udp", action="drop")
        bridge.settle()
        dummy_switch.appctl("revalidator/wait")
        assert not any(leaves for _, leaves in cached(dummy_switch))
        say(dummy_switch, NARROW, 1)
        assert dummy_switch.captured("p2") == []


def test_the_row_by_which_decisions_end_is_gone_a_moment_later(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stirring, "REVALIDATION_S", 60.0)  # it is there still, however long the look takes
    with kept(dummy_switch, FIRST, world("udp/64-79"), ports=2) as bridge:
        seen = set()
        for port in range(80, 84):
            bridge.fleet = world(f"udp/{port}")
            bridge.settle()
            there = bridge.bridge.run(bridge.bridge.session.read_flows()).keys() & {row.key for row in ROWS}
            assert len(there) == 1
            seen |= there
        assert len(seen) == 4
        monkeypatch.undo()
        bridge.fleet = world("udp/84")
        bridge.settle()
        bridge.until(lambda: bridge.keeper.stirring.until is None, "the last one goes")
        assert not bridge.bridge.run(bridge.bridge.session.read_flows()).keys() & {row.key for row in ROWS}
