"""A real switch that stands still (SIGSTOP): it is cut as silent, and nothing queues for it meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier
from support.dummy import DummySwitch
from support.kept_bridge import kept
from support.openflow_bridge import listening
from zonewall.intent.fleet import Fleet, index_fleet, prepare
from zonewall.openflow.events import BridgeDown, BridgeUp
from zonewall.openflow.waiting import Limits
from zonewall.policy.model import Configuration

pytestmark = pytest.mark.ovs
CHANGES = 100
FEW = 5


@contextmanager
def standing_still(switch: DummySwitch) -> Iterator[None]:
    """Have the switch's process stand still within the block: connected, and silent."""
    pid = int((switch.run_dir / "ovs-vswitchd.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def configuration(port: int) -> Configuration:
    ends = [endpoint(f"acme/e{n}", f"10.0.0.{n}") for n in (1, 2, 3)]
    return configure(*ends, tenant("acme", tier("t", rule("r", "any", "any", services=f"tcp/{port}"))))


def fleets() -> list[Fleet]:
    """Return the same fleet under one policy after the other."""
    first = CompiledFleet(configuration(1000))
    found, policy = [index_fleet(first.policy, first.placement)], first.policy
    for number in range(CHANGES):
        now = CompiledFleet(configuration(1001 + number)).configuration
        policy = prepare(now, policy.numbering)
        found.append(index_fleet(policy, first.placement))
    return found


def test_a_bridge_that_says_nothing_any_more_is_cut_and_comes_back(dummy_switch: DummySwitch) -> None:
    limits = Limits(echo_after_s=0.2, dead_after_s=1.0)
    with listening(limits=limits) as controller:
        dummy_switch.add_bridge("br-int", controller=controller.remote)
        controller.until(BridgeUp)
        dummy_switch.vsctl("set", "controller", "br-int", "inactivity_probe=0", "max_backoff=1000")
        with standing_still(dummy_switch):
            down = controller.until(BridgeDown)
            assert down.reason.startswith("nothing heard for "), down
            assert controller.listener.sessions == {}
        controller.until(BridgeUp)
        controller.until_alive()


def test_a_bridge_that_stood_still_gets_what_holds_now_and_not_what_held_in_between(
    dummy_switch: DummySwitch,
) -> None:
    before, *changed = fleets()
    with kept(dummy_switch, FIRST, before) as bridge:
        status = bridge.keeper.status
        applied = status.applied
        with standing_still(dummy_switch):
            for fleet in changed:
                bridge.fleet = fleet
                bridge.keeper.wake()
                bridge.bridge.pause(0.005)
            assert status.applied == applied, "nothing can be confirmed by who stands still"
            assert bridge.keeper.is_pending
        bridge.until(lambda: not bridge.keeper.is_pending, "all is in force")
        print(f"{CHANGES} changes while the bridge stood still: {status.applied - applied} sent")
        assert 1 <= status.applied - applied <= FEW
        held = dummy_switch.dump_flows("br-int")
        assert any(f"tp_dst={1000 + CHANGES}" in flow for flow in held)
        assert not any(f"tp_dst={1000 + number}" in flow for flow in held for number in range(CHANGES))
