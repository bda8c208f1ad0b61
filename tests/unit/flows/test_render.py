"""Flows as text, in numbers and in names."""

from __future__ import annotations

from zonewall.flows.render import render_numeric, render_program
from zonewall.flows.render_logical import render_logical
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import (
    BridgeProgram,
    Bucket,
    Conjunction,
    Ct,
    Flow,
    Goto,
    GroupEntry,
    MeterEntry,
    MeterUnit,
    Move,
    Output,
    SetField,
    Table,
    register,
)

HERE = Table("here", 4, "", ())
THERE = Table("there", 5, "", ())
TENANT = register("tenant", 4, 0, 12)
RULE = register("rule", 2)
FLOW = Flow(
    HERE,
    900,
    ((pf.TCP_DST, 0x1530, 0xFFF0), (TENANT, 7, None), (pf.IPV4_SRC, 0x0A000000, 0xFF000000)),
    (
        SetField(RULE, 12),
        Ct(TENANT, None, True, (Move(RULE, pf.CT_MARK),)),
        Conjunction(12, 1, 2),
        Goto(THERE),
    ),
    cookie=0x5A,
)


def test_numbers_are_in_the_syntax_of_ovs_ofctl() -> None:
    flow = Flow(HERE, 900, FLOW.match, (SetField(RULE, 12), Goto(THERE)), 0x5A, 60)
    assert render_numeric(flow) == (
        "cookie=0x5a,table=4,priority=900,hard_timeout=60,send_flow_rem,eth_type=0x800,"
        "nw_src=10.0.0.0/255.0.0.0,nw_proto=6,tcp_dst=0x1530/0xfff0,reg4=0x7/0xfff "
        "actions=set_field:0xc->reg2,goto_table:5"
    )


def test_a_flow_without_actions_drops() -> None:
    assert render_numeric(Flow(HERE, 1, (), ())) == "table=4,priority=1 actions=drop"


def test_names_stand_for_tables_fields_and_numbers() -> None:
    names = {
        TENANT: lambda number: f"tenant{number}",
        RULE: lambda _: "web-to-db",
        pf.CONJ_ID: lambda _: "web-to-db",
    }
    assert render_logical(FLOW, names) == (
        "here               900  ipv4_src=10.0.0.0/255.0.0.0,tcp_dst=0x1530/0xfff0,tenant=tenant7  "
        "rule:=web-to-db,ct(commit,zone=tenant,exec(ct_mark:=rule)),conjunction(web-to-db,1/2),goto:there"
    )


def test_meters_and_groups_come_before_the_flows_that_need_them() -> None:
    program = BridgeProgram(
        (Flow(HERE, 1, (), ()),),
        (GroupEntry(3, "select", (Bucket((Output(1),), 50, 1), Bucket((Output(2),)))),),
        (MeterEntry(2, MeterUnit.PPS, 10, 20),),
    )
    assert list(render_program(program)) == [
        "#meter meter=2,pktps,burst,band=type=drop,rate=10,burst_size=20",
        "#group group_id=3,type=select,bucket=bucket_id:0,weight:50,watch_port:1,actions=output:1"
        ",bucket=bucket_id:1,weight:100,actions=output:2",
        "table=4,priority=1 actions=drop",
    ]
