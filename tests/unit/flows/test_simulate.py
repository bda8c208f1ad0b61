"""What the simulator does, action by action; the switch agrees in ``tests/ovs``."""

from __future__ import annotations

import pytest

from support.packets import build, parse
from support.random_flows import IP4, IP6, LABEL_LOW, MACS, OUT, R0, R0_LOW, R1_HIGH, TABLES, V4
from zonewall.errors import EncodingError
from zonewall.flows.simulate import ConnTrack, FlowTables, Outcome, Packet, packet, simulate
from zonewall.pipeline import packet_fields as f
from zonewall.pipeline.model import (
    Action,
    BridgeProgram,
    Bucket,
    Clone,
    Condition,
    Conjunction,
    Ct,
    Field,
    Flow,
    Goto,
    Group,
    GroupEntry,
    Meter,
    MeterEntry,
    MeterUnit,
    Move,
    Output,
    OutputField,
    PopField,
    PopVlan,
    PushField,
    PushVlan,
    Resubmit,
    SetField,
    ToController,
    ToInPort,
)

FIRST, SECOND, THIRD, LAST = TABLES
UDP = packet(
    in_port=1, eth_src=MACS[0], eth_dst=MACS[1], eth_type=f.ETH_IPV4, nw_ttl=64, ip_proto=17,
    ipv4_src=V4[0], ipv4_dst=V4[1], udp_src=5000, udp_dst=53,
)  # fmt: skip


def run(*flows: Flow, one: Packet = UDP, before: ConnTrack | None = None) -> Outcome:
    return simulate(FlowTables(BridgeProgram(flows)), one, before)


def flow(*actions: Action, match: tuple[Condition, ...] = (), priority: int = 1) -> Flow:
    return Flow(FIRST, priority, match, actions)


def test_a_packet_that_no_flow_matches_is_dropped() -> None:
    outcome = run(flow(Output(2), match=(IP6,)))

    assert outcome.ports == ()
    assert outcome.trail == ()


def test_output_to_the_port_it_came_from_is_dropped_unless_asked_for_by_name() -> None:
    assert run(flow(Output(1), Output(2))).ports == (2,)
    assert run(flow(ToInPort())).ports == (1,)
    assert run(flow(SetField(OUT, 1), OutputField(OUT), SetField(OUT, 0xFFF8), OutputField(OUT))).ports == (
        1,
    )


def test_a_port_that_does_not_exist_sends_nothing() -> None:
    flows = FlowTables(BridgeProgram((flow(Output(7), Output(2)),)), ports=(1, 2))

    assert simulate(flows, UDP).ports == (2,)


def test_the_stack_exchanges_two_fields_and_narrow_fields_take_the_low_bits() -> None:
    swap = (PushField(R0), PushField(R1_HIGH), PopField(R0), PopField(R1_HIGH))
    check = Flow(SECOND, 1, ((R0, 2, None), (R1_HIGH, 1, None)), (Output(2),))

    assert run(flow(SetField(R0, 1), SetField(R1_HIGH, 2), *swap, Goto(SECOND)), check).ports == (2,)
    narrow = Flow(SECOND, 1, ((R0, 0x0F, None),), (Output(3),))
    assert run(
        flow(SetField(R1_HIGH, 0xFFFF), PushField(R1_HIGH), PopField(R0_LOW), Goto(SECOND)), narrow
    ).ports == (3,)


def test_what_a_clone_changes_does_not_stay() -> None:
    outcome = run(flow(Clone((SetField(f.ETH_DST, 7), Output(2))), Output(3)))

    assert [(sent.port, sent.packet["eth_dst"]) for sent in outcome.sent] == [(2, 7), (3, MACS[1])]


def test_tags_are_pushed_outermost_and_popped_from_there() -> None:
    tagged = (f.VLAN_VID, 0x1000, 0x1000)
    pushed = run(
        flow(PushVlan(), SetField(f.VLAN_VID, 0x1005), PushVlan(), SetField(f.VLAN_VID, 0x1006), Output(2))
    )
    popped = run(flow(PopVlan(), Output(2), match=(tagged,)), one=packet(vlans=(6, 5), in_port=1))

    assert [sent.packet.vlans for sent in pushed.sent] == [(6, 5)]
    assert [sent.packet.vlans for sent in popped.sent] == [(5,)]


def test_setting_a_field_that_the_packet_does_not_have_does_nothing() -> None:
    later = UDP.but(udp_src=0, udp_dst=0, ip_frag=3)
    match = (IP4, (f.IP_PROTO, 17, None))

    sent = run(flow(SetField(f.UDP_DST, 99), Output(2), match=match), one=later).sent[0]

    assert sent.packet["udp_dst"] == 0


def test_a_copy_for_the_controller_carries_userdata_and_registers() -> None:
    (copy,) = run(flow(SetField(R0, 9), ToController(b"\x5a\x01"))).copies

    assert (copy.userdata, dict(copy.registers), copy.packet) == (
        b"\x5a\x01",
        {"reg0": 9},
        UDP.but(in_port=0),
    )


def test_a_committed_connection_keeps_its_label_and_knows_its_answer() -> None:
    remember = Ct(5, None, True, (Move(R0, LABEL_LOW),))
    new = (IP4, (f.CT_STATE, f.CT_NEW, f.CT_NEW))
    answers = (IP4, (f.CT_STATE, f.CT_RPL, f.CT_RPL), (LABEL_LOW, 7, None))
    flows = (
        flow(Ct(5, SECOND), match=(IP4,)),
        Flow(SECOND, 2, new, (SetField(R0, 7), remember, Output(2))),
        Flow(SECOND, 1, answers, (Output(3),)),
    )
    answer = UDP.but(ipv4_src=V4[1], ipv4_dst=V4[0], udp_src=53, udp_dst=5000)

    asked = run(*flows)
    answered = run(*flows, one=answer, before=asked.connections)

    assert asked.ports == (2,)
    assert [(commit.is_new, commit.connection.label) for commit in asked.commits] == [(True, 7)]
    assert run(*flows, before=asked.connections).ports == (2,), "a stream without answer stays new"
    assert answered.ports == (3,)
    assert asked.connections.find(next(iter(asked.connections.entries)).reversed) is not None


def test_after_ct_the_rest_of_the_flow_sees_an_untracked_packet() -> None:
    flows = (
        flow(Ct(5, SECOND), match=(IP4,)),
        Flow(SECOND, 1, (IP4, (f.CT_STATE, f.CT_TRK, f.CT_TRK)), (Ct(5, None, True), Goto(THIRD))),
        Flow(THIRD, 2, ((f.CT_STATE, f.CT_TRK, f.CT_TRK),), (Output(2),)),
        Flow(THIRD, 1, (), (Output(3),)),
    )

    assert run(*flows).ports == (3,)


def test_a_table_that_searches_itself_for_ever_is_given_up_and_sends_nothing() -> None:
    outcome = run(flow(Output(2), Resubmit(FIRST)))

    assert outcome.ports == ()
    assert outcome.errors == ("more than 64 nested searches",)


def test_searches_of_one_pass_are_bounded_even_without_nesting() -> None:
    wide = Flow(LAST, 1, (), (Output(3),))
    outcome = run(flow(*(Resubmit(LAST),) * 4096), wide)

    assert outcome.ports == ()
    assert outcome.errors == ("more than 4096 searches",)


def test_a_conjunction_needs_a_flow_of_each_clause() -> None:
    flows = (
        flow(Conjunction(3, 1, 2), match=(IP4, (f.IPV4_SRC, V4[0], None)), priority=5),
        flow(Conjunction(3, 2, 2), match=(IP4, (f.IPV4_DST, V4[1], None)), priority=5),
        flow(Output(2), match=(IP4, (f.CONJ_ID, 3, None)), priority=5),
        flow(Output(3), priority=4),
    )

    assert run(*flows).ports == (2,)
    assert run(*flows, one=UDP.but(ipv4_dst=V4[2])).ports == (3,)


def test_two_flows_of_one_priority_that_both_match_are_reported() -> None:
    one = flow(Output(2), match=(IP4,))
    other = flow(Output(3), match=((f.IN_PORT, 1, None),))

    outcome = run(one, other)

    assert [set(pair) for pair in outcome.ambiguous] == [{one, other}]
    assert run(one, flow(Output(3), match=((f.IN_PORT, 2, None),))).ambiguous == ()


def test_a_select_group_sends_one_connection_always_the_same_way() -> None:
    group = GroupEntry(1, "select", tuple(Bucket((Output(port),)) for port in (2, 3)))
    flows = FlowTables(BridgeProgram((flow(Group(1)),), (group,)))

    ports = {simulate(flows, UDP.but(udp_src=source)).ports for source in range(1024, 1064)}

    assert ports == {(2,), (3,)}
    assert simulate(flows, UDP).ports == simulate(flows, UDP).ports


def test_a_bucket_whose_watched_port_is_down_is_not_picked() -> None:
    group = GroupEntry(1, "select", (Bucket((Output(2),), watch_port=9), Bucket((Output(3),), watch_port=3)))
    flows = FlowTables(BridgeProgram((flow(Group(1)),), (group,)), ports=(1, 2, 3))

    assert {simulate(flows, UDP.but(udp_src=source)).ports for source in range(1024, 1044)} == {(3,)}


def test_a_meter_lets_everything_pass() -> None:
    program = BridgeProgram((flow(Meter(4), Output(2)),), (), (MeterEntry(4, MeterUnit.PPS, 1, 1),))

    assert simulate(FlowTables(program), UDP).ports == (2,)


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (flow(match=((f.UDP_DST, 53, None),)), "prerequisites"),
        (flow(match=(IP4, (f.IP_PROTO, 16, 0xF0))), "whole or not at all"),
        (flow(match=((R0, 2, 1),)), "bits outside"),
        (flow(match=((R0, 1, None), (R0_LOW, 1, None))), "matched twice"),
        (flow(match=((Field("x", "no_such", 0, 8, 8), 1, None),)), "no such field"),
        (flow(Ct(5)), "ct needs eth_type"),
        (flow(Ct(5, None, True), match=(IP4, (f.CT_STATE, 0x30, 0x30))), "invalid"),
        (flow(Ct(5, None, False, (SetField(LABEL_LOW, 1),)), match=(IP4,)), "only with commit"),
        (flow(SetField(LABEL_LOW, 1)), "nowhere else"),
        (flow(SetField(f.CT_ZONE, 1)), "cannot be written"),
        (flow(SetField(R0_LOW, 16)), "does not fit"),
        (flow(Move(R0, R1_HIGH)), "wider"),
        (flow(Resubmit(SECOND, ct=True), match=(IP4,)), "valid ct_state"),
        (flow(Goto(FIRST)), "leads back"),
        (flow(Goto(SECOND), Output(1)), "last action"),
        (flow(PopVlan()), "pop_vlan"),
        (flow(PushVlan(), SetField(f.VLAN_NUMBER, 5)), "bit 0x1000"),
        (flow(PushVlan(), PushVlan(), PushVlan()), "two VLAN tags"),
        (flow(Conjunction(1, 1, 2), Output(1)), "no other action"),
        (flow(Conjunction(1, 3, 2)), "1/2 to 64/64"),
        (flow(Meter(1)), "no meter"),
        (flow(Clone((Group(1),))), "no group"),
        (flow(priority=70000), "priority"),
    ],
)  # fmt: skip
def test_what_open_vswitch_refuses_is_refused(refused: Flow, why: str) -> None:
    with pytest.raises(EncodingError, match=why):
        FlowTables(BridgeProgram((refused,)))


def test_two_flows_of_one_key_are_refused_when_their_table_is_searched() -> None:
    with pytest.raises(EncodingError, match="same match"):
        run(flow(Output(2)), flow(Output(3)))


def test_a_packet_with_a_field_that_does_not_fit_is_refused() -> None:
    with pytest.raises(EncodingError, match="does not fit"):
        packet(ip_proto=256)


def test_frames_and_packets_turn_into_each_other() -> None:
    quoted = packet(
        eth_type=f.ETH_IPV4, nw_ttl=64, ip_proto=17, ipv4_src=V4[1], ipv4_dst=V4[0], udp_src=1, udp_dst=2
    )
    error = Packet(UDP.but(ip_proto=1, udp_src=3, udp_dst=1).values, quoted=quoted)

    for one in (UDP, error, packet(in_port=1, vlans=(5, 6), eth_type=f.ETH_ARP, arp_op=2, arp_spa=V4[0])):
        assert parse(build(one), 1) == one
