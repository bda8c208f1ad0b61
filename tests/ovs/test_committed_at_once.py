"""A small bundle of flows as the bridge has taken before is committed without waiting for its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.anything import Anything
from support.dummy import DummySwitch
from support.openflow_bridge import EMPTY, ListenerUnderTest, connected
from support.wire_flows import GROUP, METER, WITHIN_S, flows
from zonewall.flows import diff as diff_module
from zonewall.flows.diff import Change, Delta, diff_state
from zonewall.flows.encoded import BridgeState, EncodedFlow
from zonewall.flows.shape import shape_of
from zonewall.flows.staging import plan
from zonewall.flows.wire import encode_flow, encode_program
from zonewall.openflow import bundle
from zonewall.openflow.bundle import apply, apply_plan
from zonewall.openflow.errors import BundleRefused, MeterRefused
from zonewall.openflow.session import Session
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import (
    BridgeProgram,
    Bucket,
    Flow,
    GroupEntry,
    Meter,
    MeterEntry,
    MeterUnit,
    Output,
    PopVlan,
    SetField,
)
from zonewall.pipeline.registers import DST_IDENTITY, SRC_IDENTITY, VERDICT
from zonewall.pipeline.tables import ACT, VERDICT_TABLE

pytestmark = pytest.mark.ovs

NEEDED = BridgeProgram(
    (), (GroupEntry(GROUP, "select", (Bucket((Output(1),), 50),)),), (MeterEntry(METER, MeterUnit.PPS, 9, 9),)
)


def put(bridge: ListenerUnderTest, made: Iterable[Flow], meters: tuple[MeterEntry, ...] = ()) -> int:
    """Put flows as a plugged port's are; return how often something was sent."""
    sent = 0
    session = bridge.session
    send_all = session.send_all

    async def counted(parts: Iterable[bytes]) -> None:
        nonlocal sent
        sent += 1
        await send_all(parts)

    encoded = tuple(map(encode_flow, made))
    change = Change(Delta(encoded), put_meters=meters)
    session.send_all = counted  # type: ignore[method-assign]
    try:
        planned = plan(change, {}, {flow.key: flow for flow in encoded})
        bridge.run(apply_plan(session, change, planned))
    finally:
        session.send_all = send_all  # type: ignore[method-assign]
    return sent


def web(number: int, *actions: Any) -> Flow:
    match = ((pf.ETH_TYPE, 0x800, None), (pf.IPV4_SRC, number, None))
    return Flow(ACT, 100, match, actions or (Output(number),), number)


def test_the_second_of_a_shape_goes_in_one_go_and_another_shape_does_not(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        assert put(bridge, [web(1), web(2)]) == 2
        assert put(bridge, [web(3), web(4), web(5, Output(3), Output(4))]) == 1
        assert put(bridge, [web(6), web(7, SetField(pf.ETH_SRC, 7))]) == 2
        assert len(bridge.run(bridge.session.read_flows())) == 7


def test_a_rule_for_other_identities_goes_in_one_go(dummy_switch: DummySwitch) -> None:
    def row(source: int, destination: int) -> Flow:
        pair = ((SRC_IDENTITY, source, None), (DST_IDENTITY, destination, None))
        return Flow(VERDICT_TABLE, 100, ((pf.ETH_TYPE, 0x800, None), *pair), (SetField(VERDICT, 1),), 1)

    with connected(dummy_switch) as bridge:
        assert put(bridge, [row(1, 2), row(3, 4)]) == 2
        assert put(bridge, [row(5, 6), row(0xFFFFFFFF, 0x80000001)]) == 1
        assert len(bridge.run(bridge.session.read_flows())) == 4


def test_what_waits_for_another_bridge_is_not_committed_before_however_well_known_it_is(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(session: Session) -> None:
        other = asyncio.Event()
        encoded = tuple(map(encode_flow, (web(3), web(4))))
        change = Change(Delta(encoded))
        planned = plan(change, {}, {flow.key: flow for flow in encoded})
        making = asyncio.create_task(apply_plan(session, change, planned, other))
        for _ in range(3):
            assert len(await session.read_flows()) == 2  # whatever has been sent is done by then
        other.set()
        await making
        assert len(await session.read_flows()) == 4

    monkeypatch.setattr(bundle, "WAITING_S", 20.0)
    with connected(dummy_switch) as bridge:
        put(bridge, [web(1), web(2)])
        bridge.run(scene(bridge.session))


def test_a_new_session_has_taken_nothing(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        put(bridge, [web(1), web(2)])
    with connected(dummy_switch) as bridge:
        assert put(bridge, [web(3), web(4)]) == 2


def test_a_meter_that_is_refused_keeps_flows_of_a_known_shape_out(dummy_switch: DummySwitch) -> None:
    first, second = (MeterEntry(number, MeterUnit.PPS, 10, 20) for number in (1, 2))
    with connected(dummy_switch) as bridge:
        put(bridge, [web(1, Meter(1)), web(2, Meter(1))], (first,))
        with pytest.raises(MeterRefused, match=r"meter 1: .*METER_EXISTS"):
            put(bridge, [web(3, Meter(2)), web(4, Meter(2))], (first,))
        assert len(bridge.run(bridge.session.read_flows())) == 2
        assert put(bridge, [web(3, Meter(2)), web(4, Meter(2))], (second,)) == 2, "all is asked for anew"


def test_what_is_refused_against_expectation_is_named_and_the_rest_told_to_be_there(
    dummy_switch: DummySwitch,
) -> None:
    with connected(dummy_switch) as bridge:
        bridge.session.taken_shapes = Anything()
        with pytest.raises(BundleRefused, match="needs a match it lacks") as caught:
            put(bridge, [web(1), web(2, PopVlan(), SetField(pf.TCP_DST, 5)), web(3)])
        assert caught.value.is_partly_done
        assert {flow.cookie for flow in bridge.run(bridge.session.read_flows()).values()} == {1, 3}
        bridge.session.taken_shapes = set()
        with pytest.raises(BundleRefused, match="needs a match it lacks") as caught:
            put(bridge, [web(4), web(5, PopVlan(), SetField(pf.TCP_DST, 5))])
        assert not caught.value.is_partly_done
        assert len(bridge.run(bridge.session.read_flows())) == 2


def altered(data: st.DataObject, flow: EncodedFlow) -> EncodedFlow:
    """Return the flow with other values wherever a shape of it says nothing."""
    for at, size in _values(flow.match):
        half = size // 2 if flow.match[at - 2] & 1 else size
        value = data.draw(st.binary(min_size=half, max_size=half))
        if flow.match[at - 4 : at - 1] == b"\x80\x00\x00":  # a port that there can be
            value = b"\0\0\x12" + value[-1:]
        mask = flow.match[at + half : at + size] or b"\xff" * size
        value = bytes(a & b for a, b in zip(value, mask, strict=True))
        other = flow._replace(match=flow.match[:at] + value + flow.match[at + half :])
        flow = other if shape_of(other) == shape_of(flow) else flow
    return flow


def _values(match: bytes) -> Iterable[tuple[int, int]]:
    at = 0
    while at < len(match):
        yield at + 4, match[at + 3]
        at += 4 + match[at + 3]


def test_a_switch_that_took_a_flow_takes_any_other_of_its_shape(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diff_module, "TIMEOUT_SLACK_S", WITHIN_S)
    with connected(dummy_switch, ports=2) as bridge:
        bridge.run(apply(bridge.session, diff_state(EMPTY, encode_program(NEEDED))))
        tried = 0

        @given(st.lists(flows(), min_size=1, max_size=8), st.data())
        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        def check(drawn: list[Flow], data: st.DataObject) -> None:
            nonlocal tried
            held = bridge.run(bridge.session.read_state())
            first = {flow.key: flow for flow in map(encode_flow, drawn)}
            second = {flow.key: flow for flow in (altered(data, flow) for flow in first.values())}
            tried += len(second.keys() - first.keys())
            for wanted in (first, second):
                state = BridgeState(wanted, held.groups, held.meters)
                bridge.run(apply(bridge.session, diff_state(held, state)))
                held = bridge.run(bridge.session.read_state())
                assert not diff_state(held, state)

        check()
        assert tried > 20
