"""What a real bridge reports is, byte for byte, what we meant; and the text means the same as the bytes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.dummy import DummySwitch
from support.openflow_bridge import connected
from support.wire_flows import GROUP, METER, WITHIN_S, flows
from zonewall.errors import EncodingError
from zonewall.flows import diff as diff_module
from zonewall.flows.diff import diff_state
from zonewall.flows.encoded import BridgeState
from zonewall.flows.render import render_numeric, render_program
from zonewall.flows.wire import encode_flow, encode_program
from zonewall.openflow.bundle import apply
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import (
    BridgeProgram,
    Bucket,
    Flow,
    GroupEntry,
    MeterEntry,
    MeterUnit,
    Output,
    SetField,
)
from zonewall.pipeline.registers import FIELDS, TENANT
from zonewall.pipeline.tables import ACT

pytestmark = pytest.mark.ovs

NEEDED = BridgeProgram(
    (),
    (GroupEntry(GROUP, "select", (Bucket((Output(1),), 50), Bucket((Output(2),), 100, 2))),),
    (MeterEntry(METER, MeterUnit.PPS, 100, 200),),
)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes, what was put with a time left is what is read back with less."""
    monkeypatch.setattr(diff_module, "TIMEOUT_SLACK_S", WITHIN_S)


def _distinct(drawn: list[Flow]) -> tuple[Flow, ...]:
    return tuple({encode_flow(flow).key: flow for flow in drawn}.values())


def test_any_flows_read_back_are_the_flows_put(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch, ports=2) as bridge:
        bridge.run(apply(bridge.session, diff_state(BridgeState({}, {}, {}), encode_program(NEEDED))))

        @given(st.lists(flows(), min_size=1, max_size=12))
        @settings(max_examples=70, deadline=None, suppress_health_check=list(HealthCheck))
        def check(drawn: list[Flow]) -> None:
            program = BridgeProgram(_distinct(drawn), NEEDED.groups, NEEDED.meters)
            wanted = encode_program(program)
            held = bridge.run(bridge.session.read_state())
            bridge.run(apply(bridge.session, diff_state(held, wanted)))
            assert not diff_state(bridge.run(bridge.session.read_state()), wanted)

        check()


def test_any_flows_as_text_are_the_flows_as_bytes(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch, ports=2) as bridge:
        bridge.run(apply(bridge.session, diff_state(BridgeState({}, {}, {}), encode_program(NEEDED))))

        @given(st.lists(flows(), min_size=1, max_size=25))
        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
        def check(drawn: list[Flow]) -> None:
            program = BridgeProgram(_distinct(drawn), NEEDED.groups, NEEDED.meters)
            dummy_switch.ofctl("del-flows", "br-int")
            dummy_switch.load_flows("br-int", [render_numeric(flow) for flow in program.flows])
            assert not diff_state(bridge.run(bridge.session.read_state()), encode_program(program))

        check()


def test_each_field_read_back_is_the_field_put(dummy_switch: DummySwitch) -> None:
    families = (
        (),
        ((pf.ETH_TYPE, 0x800, None),),
        ((pf.ETH_TYPE, 0x86DD, None),),
        ((pf.ETH_TYPE, 0x806, None),),
    )
    neighbour = tuple(((pf.ICMPV6_TYPE, kind, None),) for kind in (135, 136))
    values = {"eth_type": 0x88CC, "vlan_vid": 0x1005, "ct_state": 0x22, "ip_frag": 1}
    program = []
    for number, field in enumerate((*pf.PACKET_FIELDS, *FIELDS)):
        for family in (*families, *neighbour):
            flow = Flow(ACT, number + 1, (*family, (field, values.get(field.name, 1), None)), ())
            if _has_form(flow):
                program.append(flow)
                break
    assert len(program) == len(pf.PACKET_FIELDS) + len(FIELDS)
    wanted = encode_program(BridgeProgram(tuple(program)))
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, diff_state(BridgeState({}, {}, {}), wanted)))
        assert bridge.run(bridge.session.read_flows()) == wanted.flows


def _has_form(flow: Flow) -> bool:
    try:
        encode_flow(flow)
    except EncodingError:
        return False
    return True


def test_groups_and_meters_as_text_are_those_as_bytes(dummy_switch: DummySwitch) -> None:
    program = BridgeProgram(
        (Flow(ACT, 1, (), (SetField(TENANT, 5),)),),
        (
            *NEEDED.groups,
            GroupEntry(9, "all", (Bucket((SetField(TENANT, 3), Output(1))), Bucket((Output(2),)))),
        ),
        (*NEEDED.meters, MeterEntry(2, MeterUnit.KBPS, 1000, 2000)),
    )
    with connected(dummy_switch, ports=2) as bridge:
        dummy_switch.load_program("br-int", "\n".join(render_program(program)))
        assert bridge.run(bridge.session.read_state()) == encode_program(program)


def test_the_bridges_own_loop_stays_free(dummy_switch: DummySwitch) -> None:
    """A session closed by the test leaves nothing running in its loop."""
    with connected(dummy_switch) as bridge:
        listener = bridge.listener
    assert listener.sessions == {}
    assert not [task for task in asyncio.all_tasks(bridge.loop) if not task.done()]
