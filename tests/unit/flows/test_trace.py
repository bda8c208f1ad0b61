"""Traces of real switches, read; and flows on a bridge that stand in a packet's way."""

from __future__ import annotations

from zonewall.flows.simulate.packet import packet
from zonewall.flows.suspects import may_match, suspects
from zonewall.flows.trace import compare, read_trace
from zonewall.flows.wire import encode_flow
from zonewall.pipeline import packet_fields as f
from zonewall.pipeline.make import flow
from zonewall.pipeline.model import Goto, Output
from zonewall.pipeline.tables import CLASSIFY, GUARD

TRACE = """\
Flow: tcp,in_port=5

bridge("br-int")
----------------
 0. in_port=5,dl_src=52:54:00:00:00:01, priority 100, cookie 0x5a57020000000000
    set_field:0x1/0xfff->reg4
    goto_table:6
 6. ip,in_port=5, priority 200
    resubmit(,22)
    22. No match.
            drop
    output:7

    bridge("br-b")
    --------------
         0. in_port=1, priority 9, cookie 0x9
            drop
12. priority 0
    drop

Final flow: unchanged
Megaflow: recirc_id=0
Datapath actions: ct(zone=1),recirc(0x1)

===============================================================================
recirc(0x1) - resume conntrack with default ct_state=trk|new
===============================================================================

bridge("br-int")
----------------
    thaw
        Resuming from table 19
19. ct_state=+trk, priority 500, cookie 0x5
    drop
"""
SYN = packet(in_port=5, eth_type=0x800, ip_proto=6, ipv4_src=1, ipv4_dst=2, tcp_dst=80)


def test_a_trace_is_read_flow_by_flow_on_the_bridge_asked_about() -> None:
    assert read_trace(TRACE, "br-int") == (
        (0, 100, 0x5A57020000000000),
        (6, 200, 0),
        (12, 0, 0),
        (19, 500, 0x5),
    )
    assert read_trace(TRACE, "br-b") == ((0, 9, 9),)
    assert read_trace("ofproto/trace: no such bridge", "br-int") == ()


def test_flows_that_only_one_side_uses_are_a_difference_whatever_their_order() -> None:
    first, second = flow(CLASSIFY, 100, (), Goto(GUARD)), flow(GUARD, 200, (), Output(1))
    used = [(one.table.number, one.priority, one.cookie) for one in (first, second)]
    assert not compare((first, second), (used[1], used[0]))
    differs = compare((first, second), (used[0], (0, 9, 9)))
    assert (differs.only_model, differs.only_switch) == ((used[1],), ((0, 9, 9),))


def test_a_missing_flow_concerns_a_packet_only_on_its_way() -> None:
    mine = flow(CLASSIFY, 100, ((f.IN_PORT, 5, None),), Goto(GUARD))
    others = flow(CLASSIFY, 100, ((f.IN_PORT, 6, None),), Goto(GUARD))
    held = {"missing": [(encode_flow(one).key, one.cookie) for one in (mine, others)]}
    [found] = suspects([mine], SYN, held)
    assert (found.what, found.flow) == ("missing", mine)


def test_a_foreign_flow_concerns_a_packet_that_it_could_take_in_a_table_that_is_searched() -> None:
    mine = flow(CLASSIFY, 100, ((f.IN_PORT, 5, None),), Goto(GUARD))

    def concerns(priority: int, *match: tuple[object, int, None], table: object = CLASSIFY) -> bool:
        other = flow(table, priority, match)  # type: ignore[arg-type]
        return bool(suspects([mine], SYN, {"foreign": [(encode_flow(other).key, 0)]}))

    assert concerns(101, (f.IN_PORT, 5, None))
    assert not concerns(99, (f.IN_PORT, 5, None))
    assert not concerns(101, (f.IN_PORT, 6, None))
    assert concerns(1, (f.ETH_TYPE, 0x800, None), table=GUARD)
    assert not concerns(1, (f.ETH_TYPE, 0x86DD, None), table=GUARD)


def test_a_match_with_a_mask_is_compared_under_its_mask() -> None:
    inside = flow(CLASSIFY, 1, ((f.ETH_TYPE, 0x800, None), (f.IPV4_DST, 0, 0xFFFFFF00)))
    outside = flow(CLASSIFY, 1, ((f.ETH_TYPE, 0x800, None), (f.IPV4_DST, 0x0A000000, 0xFFFFFF00)))
    assert may_match(encode_flow(inside).match, SYN)
    assert not may_match(encode_flow(outside).match, SYN)
