"""Sessions with a real bridge: programmed, changed, told, lost and found again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from support.dummy import DummySwitch
from support.openflow_bridge import EMPTY, connected, heard, listening, rules
from zonewall.flows.diff import Change, Delta, diff_state
from zonewall.flows.encoded import BridgeState
from zonewall.flows.staging import Plan, Stage, plan
from zonewall.flows.wire import encode_flow
from zonewall.flows.wire_actions import encode_actions
from zonewall.openflow import bundle, messages
from zonewall.openflow.bundle import apply, apply_plan
from zonewall.openflow.errors import BundleRefused, MeterRefused, RequestRefused, SessionClosed
from zonewall.openflow.events import (
    BridgeDown,
    BridgeUp,
    FlowRemoved,
    PacketIn,
    PortChange,
    PortChanged,
    SwitchError,
)
from zonewall.openflow.fingerprint import Fingerprinter
from zonewall.openflow.session import Session
from zonewall.openflow.waiting import Limits
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import (
    Flow,
    Group,
    MeterEntry,
    MeterUnit,
    Output,
    PopVlan,
    SetField,
    ToController,
)
from zonewall.pipeline.registers import TENANT
from zonewall.pipeline.tables import ACT, CLASSIFY, VERDICT_TABLE

pytestmark = pytest.mark.ovs


FRAME = bytes.fromhex("505400000002505400000001") + b"\x08\x00" + bytes(50)


@pytest.mark.parametrize("atomic", [True, False])
def test_ten_thousand_flows_are_put_read_back_changed_and_removed(
    dummy_switch: DummySwitch, atomic: bool
) -> None:
    wanted = rules(10_000)
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, diff_state(EMPTY, wanted), atomic=atomic))
        held = bridge.run(bridge.session.read_state())
        assert held.flows == wanted.flows
        fewer = BridgeState(dict(list(wanted.flows.items())[:10]), {}, {})
        bridge.run(apply(bridge.session, diff_state(held, fewer), atomic=atomic))
        assert bridge.run(bridge.session.read_flows()) == fewer.flows


def test_only_flows_of_the_asked_cookie_are_read(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, diff_state(EMPTY, rules(16))))
        assert {flow.cookie for flow in bridge.run(bridge.session.read_flows(4, 0x0C)).values()} == {
            4,
            5,
            6,
            7,
        }


@pytest.mark.parametrize(
    ("actions", "reason"),
    [((Group(99),), "no such group"), ((PopVlan(), SetField(pf.TCP_DST, 5)), "needs a match it lacks")],
    ids=["at-commit", "when-added"],
)
def test_a_refused_bundle_names_the_flow_and_changes_nothing(
    dummy_switch: DummySwitch, actions: tuple[Group | PopVlan | SetField, ...], reason: str
) -> None:
    bad = encode_flow(Flow(ACT, 7, (), actions))
    good = tuple(rules(3).flows.values())
    with connected(dummy_switch) as bridge:
        with pytest.raises(BundleRefused, match=f"table {ACT.number}, priority 7: .*{reason}") as refusal:
            bridge.run(apply(bridge.session, Change(Delta((good[0], bad, *good[1:])))))
        assert refusal.value.flow == bad
        assert bridge.run(bridge.session.read_flows()) == {}
        bridge.run(apply(bridge.session, Change(Delta(good))))
        assert len(bridge.run(bridge.session.read_flows())) == 3


def test_a_meter_is_changed_in_place_and_one_that_exists_is_refused(dummy_switch: DummySwitch) -> None:
    meter = MeterEntry(1, MeterUnit.PPS, 10, 20)
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, Change(put_meters=(meter,))))
        with pytest.raises(RequestRefused, match=r"meter 1: .*METER_EXISTS"):
            bridge.run(apply(bridge.session, Change(put_meters=(meter,))))
        changed = replace(meter, rate=30)
        wanted = BridgeState({}, {}, {1: changed})
        bridge.run(apply(bridge.session, diff_state(bridge.run(bridge.session.read_state()), wanted)))
        assert bridge.run(bridge.session.read_meters()) == {1: changed}
        bridge.run(apply(bridge.session, diff_state(wanted, EMPTY)))
        assert bridge.run(bridge.session.read_meters()) == {}


def test_a_meter_that_is_refused_keeps_the_flows_that_were_sent_with_it_out(
    dummy_switch: DummySwitch,
) -> None:
    meters = tuple(MeterEntry(number, MeterUnit.PPS, 10, 20) for number in (1, 2, 3))
    flows = tuple(rules(3).flows.values())
    change = Change(Delta(flows), put_meters=meters)
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, Change(put_meters=meters[1:2])))
        with pytest.raises(MeterRefused, match=r"meter 2: .*METER_EXISTS"):
            bridge.run(apply_plan(bridge.session, change, plan(change, {}, rules(3).flows)))
        assert bridge.run(bridge.session.read_flows()) == {}
        bridge.run(apply(bridge.session, Change(delete_meters=(1, 2, 3))))

        bridge.run(apply_plan(bridge.session, change, plan(change, {}, rules(3).flows)))
        assert bridge.run(bridge.session.read_meters()) == {meter.number: meter for meter in meters}
        assert bridge.run(bridge.session.read_flows()).keys() == {flow.key for flow in flows}


def test_a_frame_comes_up_with_its_reason_and_registers_and_goes_out_where_it_is_told(
    dummy_switch: DummySwitch,
) -> None:
    flow = Flow(CLASSIFY, 7, ((pf.IN_PORT, 1, None),), (SetField(TENANT, 77), ToController(b"\1\2")), 0xC0)
    with connected(dummy_switch, ports=2) as bridge:
        bridge.run(apply(bridge.session, Change(Delta((encode_flow(flow),)))))
        dummy_switch.inject("p1", FRAME)
        event = bridge.until(PacketIn)
        assert (event.userdata, event.in_port, event.registers, event.cookie) == (
            b"\1\2",
            1,
            ((4, 77),),
            0xC0,
        )
        assert (event.frame, event.full_len) == (FRAME, len(FRAME))
        bridge.run(bridge.session.packet_out(1, encode_actions((Output(2),)), FRAME))
        bridge.run(bridge.session.barrier())
        assert dummy_switch.captured("p2") == [FRAME]


def test_a_refused_packet_out_is_told_as_an_error(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        bridge.run(bridge.session.packet_out(1, encode_actions((Group(5),)), FRAME))
        bridge.until(SwitchError, lambda event: event.kind == 2)


def test_what_cached_decisions_may_need_stays_for_a_while_after_the_rest_is_in_force(
    dummy_switch: DummySwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (encode_flow(Flow(ACT, 7, ((TENANT, number, None),), (), number)) for number in (1, 2))
    planned = Plan(
        (Stage(Delta((new,)), is_whole=True), Stage(Delta((), (old.key,)), is_gentle=True, waits=True)),
        frozenset(),
    )

    async def scene(session: Session) -> None:
        await apply(session, Change(Delta((old,))))
        in_force = asyncio.Event()
        making = asyncio.create_task(
            apply_plan(session, Change(Delta((new,), (old.key,))), planned, in_force=in_force.set)
        )
        await in_force.wait()
        for _ in range(3):
            assert (await session.read_flows()).keys() == {old.key, new.key}
        making.cancel()
        monkeypatch.setattr(bundle, "LONGEST_REVALIDATION_S", 0.0)
        await apply_plan(session, Change(Delta((), (old.key,))), Plan(planned.stages[1:], frozenset()))
        assert (await session.read_flows()).keys() == {new.key}

    monkeypatch.setattr(bundle, "REVALIDATION_S", 60.0)
    monkeypatch.setattr(bundle, "LONGEST_REVALIDATION_S", 60.0)
    with connected(dummy_switch) as bridge:
        bridge.run(scene(bridge.session))


def test_ports_are_told_as_they_come_and_go(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch, ports=1) as bridge:
        assert [p.number for p in bridge.run(bridge.session.read_ports()) if p.name == "p1"] == [1]
        dummy_switch.add_port("br-int", "later", ofport=9)
        came = bridge.until(PortChanged, lambda event: event.change is PortChange.ADDED)
        assert (came.port.name, came.port.number) == ("later", 9)
        dummy_switch.del_port("br-int", "later")
        bridge.until(PortChanged, lambda event: event.change is PortChange.DELETED and event.port.number == 9)


def test_a_flow_that_ends_by_itself_is_told_and_its_time_left_is_read(dummy_switch: DummySwitch) -> None:
    short = encode_flow(Flow(ACT, 7, ((TENANT, 5, None),), (), 9, hard_timeout_s=2))
    long = encode_flow(Flow(ACT, 8, ((TENANT, 5, None),), (), 9, hard_timeout_s=10_000))
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, Change(Delta((short, long)))))
        ended = bridge.until(FlowRemoved)
        assert (ended.table, ended.priority, ended.match, ended.cookie) == (*short.key, 9)
        assert 9_000 < bridge.run(bridge.session.read_flows())[long.key].hard_timeout_s < 10_000


OF_VERDICTS = f"table={VERDICT_TABLE.number}"
ALTERATIONS = {
    "other actions": ("mod-flows", "br-int", f"{OF_VERDICTS},tcp,tp_dst=81 actions=drop"),
    "one fewer": ("--strict", "del-flows", "br-int", f"{OF_VERDICTS},priority=7,tcp,tp_dst=82"),
    "one more": ("add-flow", "br-int", "table=9,priority=1 actions=drop"),
    "another cookie": (
        "add-flow", "br-int", f"{OF_VERDICTS},priority=7,cookie=9,tcp,tp_dst=83 actions=5",
    ),
    "one that ends": ("add-flow", "br-int", "table=9,priority=2,hard_timeout=99 actions=drop"),
}  # fmt: skip


def test_a_fingerprint_is_the_same_until_a_flow_is_another(dummy_switch: DummySwitch) -> None:
    flow = f"table={VERDICT_TABLE.number},priority=7,tcp,tp_dst={{}} actions=5"
    with connected(dummy_switch) as bridge:
        dummy_switch.load_flows("br-int", [flow.format(port) for port in range(80, 90)])
        seen = Fingerprinter()
        asked = (messages.flow_desc_body(0, 0),)
        assert len(bridge.run(bridge.session.read_flows_of(asked, seen))) == 10
        # A second later every flow's own time is another, as counters are under traffic.
        time.sleep(1.1)
        assert bridge.run(bridge.session.fingerprint()) == seen.result
        assert seen.result is not None
        known: list[object] = [seen.result]
        for what, words in ALTERATIONS.items():
            dummy_switch.ofctl(*words)
            now = bridge.run(bridge.session.fingerprint())
            assert now not in known, what
            known.append(now)


def test_a_bridge_that_restarts_is_down_and_then_up_and_empty(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        bridge.run(apply(bridge.session, diff_state(EMPTY, rules(5))))
        dummy_switch.stop_vswitchd()
        bridge.until(BridgeDown)
        dummy_switch.start_vswitchd()
        assert bridge.until(BridgeUp).datapath_id == 0xA1
        assert bridge.run(bridge.session.read_flows()) == {}


def test_a_controller_that_restarts_finds_nothing_to_send(dummy_switch: DummySwitch) -> None:
    wanted = rules(200)
    with connected(dummy_switch) as bridge:
        port = bridge.listener.port
        bridge.run(apply(bridge.session, diff_state(EMPTY, wanted)))
    assert len(dummy_switch.dump_flows("br-int")) == 200
    with listening(port=port) as again:
        again.until(BridgeUp)
        assert not diff_state(again.run(again.session.read_state()), wanted)


def test_a_silent_bridge_is_asked_for_an_echo_and_answers(dummy_switch: DummySwitch) -> None:
    with listening(limits=Limits(echo_after_s=0.2)) as controller:
        dummy_switch.add_bridge("br-int", controller=controller.remote)
        controller.until(BridgeUp)
        kinds = heard(controller)
        controller.until_so(lambda: kinds[messages.ECHO_REPLY] >= 3)
        assert not [event for event in controller.events if isinstance(event, BridgeDown)]
        assert controller.run(controller.session.is_alive())


def test_a_lost_session_ends_what_waits_for_it(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        session = bridge.session
        session.close("the test says so")
        with pytest.raises(SessionClosed, match="the test says so"):
            bridge.run(session.barrier())
        assert bridge.until(BridgeDown).reason == "the test says so"
