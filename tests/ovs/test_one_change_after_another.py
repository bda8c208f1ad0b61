"""One bridge's change is prepared while another's is carried out, and put in force after it."""

from __future__ import annotations

import asyncio

import pytest

from support.dummy import DummySwitch
from support.openflow_bridge import connected
from zonewall.flows.diff import diff_state
from zonewall.flows.encoded import BridgeState
from zonewall.flows.staging import Plan, plan
from zonewall.flows.wire import encode_program
from zonewall.openflow.bundle import apply_plan
from zonewall.openflow.errors import BundleRefused
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import Action, BridgeProgram, Flow, Group, MeterEntry, MeterUnit, SetField
from zonewall.pipeline.registers import RULE
from zonewall.pipeline.tables import ACT

pytestmark = pytest.mark.ovs

EMPTY = BridgeState({}, {}, {})


def flows(count: int, *actions: Action) -> BridgeState:
    made = [Flow(ACT, 100 + each, ((pf.ETH_TYPE, 0x800, None),), actions or (SetField(RULE, 1),), 1)
            for each in range(count)]  # fmt: skip
    return encode_program(BridgeProgram(tuple(made)))


def planned(wanted: BridgeState) -> Plan:
    return plan(diff_state(EMPTY, wanted), {}, wanted.flows)


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_is_in_force_before_it_is_time_and_all_of_it_then(
    dummy_switch: DummySwitch, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zonewall.openflow.bundle.WAITING_S", 20.0)
    wanted = flows(count)
    with connected(dummy_switch) as bridge:

        async def scene() -> None:
            when = asyncio.Event()
            change = diff_state(EMPTY, wanted)
            changing = asyncio.create_task(apply_plan(bridge.session, change, planned(wanted), when))
            await asyncio.sleep(0.1)
            assert await bridge.session.read_flows() == {}
            assert not changing.done()
            when.set()
            await changing
            assert await bridge.session.read_flows() == wanted.flows

        bridge.run(scene())


@pytest.mark.parametrize("count", [1, 3])
def test_a_bridge_that_is_waited_for_in_vain_holds_up_no_other(dummy_switch: DummySwitch, count: int) -> None:
    wanted = flows(count)
    with connected(dummy_switch) as bridge:
        change = diff_state(EMPTY, wanted)
        bridge.run(apply_plan(bridge.session, change, planned(wanted), asyncio.Event()))
        assert bridge.run(bridge.session.read_flows()) == wanted.flows


def test_a_single_flow_that_is_refused_is_named(dummy_switch: DummySwitch) -> None:
    wanted = flows(1, Group(99))
    with connected(dummy_switch) as bridge:
        with pytest.raises(BundleRefused, match="no such group") as refused:
            bridge.run(apply_plan(bridge.session, diff_state(EMPTY, wanted), planned(wanted)))
        assert [refusal.flow for refusal in refused.value.refusals] == list(wanted.flows.values())
        assert bridge.run(bridge.session.read_flows()) == {}


def test_who_waits_is_told_when_it_is_in_force_and_not_when_it_is_tidy(dummy_switch: DummySwitch) -> None:
    meters = {number: MeterEntry(number, MeterUnit.PPS, 10, 10) for number in (1, 2)}
    before = BridgeState(flows(1).flows, {}, meters)
    wanted = BridgeState(flows(3).flows, {}, {})
    order: list[str] = []
    with connected(dummy_switch) as bridge:
        bridge.run(apply_plan(bridge.session, diff_state(EMPTY, before), planned(before)))
        change = diff_state(before, wanted)
        assert change.delete_meters == (1, 2)

        async def scene() -> None:
            made = plan(change, before.flows, wanted.flows)
            changing = apply_plan(bridge.session, change, made, in_force=lambda: order.append("in force"))
            order.append("begun")
            await changing
            order.append("tidy")
            assert await bridge.session.read_meters() == {}
            assert await bridge.session.read_flows() == wanted.flows

        bridge.run(scene())
    assert order == ["begun", "in force", "tidy"]


def test_what_is_refused_is_never_said_to_be_in_force(dummy_switch: DummySwitch) -> None:
    wanted = BridgeState({**flows(2).flows, **flows(1, Group(99)).flows}, {}, {})
    order: list[str] = []
    with connected(dummy_switch) as bridge:
        with pytest.raises(BundleRefused):
            bridge.run(
                apply_plan(
                    bridge.session,
                    diff_state(EMPTY, wanted),
                    planned(wanted),
                    in_force=lambda: order.append("in force"),
                )
            )
        assert bridge.run(bridge.session.read_flows()) == {}
    assert order == []
