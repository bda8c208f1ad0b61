"""A bridge of many flows is read in pieces, and what nobody expects on it is found all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from support.dummy import DummySwitch, running_dummy_switch
from support.openflow_bridge import ListenerUnderTest, connected
from zonewall.flows.diff import Change, Delta
from zonewall.flows.encoded import BridgeState
from zonewall.flows.wire import encode_program
from zonewall.openflow import gentle
from zonewall.openflow.bundle import apply
from zonewall.openflow.messages import flow_desc_body
from zonewall.openflow.session import Session
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.cookie import Category, cookie
from zonewall.pipeline.model import BridgeProgram, Flow, SetField
from zonewall.pipeline.registers import RULE
from zonewall.pipeline.tables import ACT, VERDICT_TABLE
from zonewall.reconciler.link import SessionLink

RULES, PORTS = 60, 50


def state() -> BridgeState:
    """Return 3,000 flows of 60 rules, and 600 of no rule in each of two tables."""
    rules = [
        Flow(
            VERDICT_TABLE,
            60_000 - number // PORTS,
            ((pf.ETH_TYPE, 0x0800, None), (pf.TCP_DST, 1024 + number, None)),
            (SetField(RULE, number // PORTS + 1),),
            cookie(Category.RULE, number // PORTS + 1),
        )
        for number in range(RULES * PORTS)
    ]
    others = [
        Flow(table, 7, ((pf.ETH_TYPE, 0x0800, None), (pf.UDP_DST, port, None)), (), cookie(Category.WHO))
        for table in (VERDICT_TABLE, ACT)
        for port in range(1, 601)
    ]
    return encode_program(BridgeProgram((*rules, *others)))


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DummySwitch]:
    with running_dummy_switch(tmp_path_factory.mktemp("switch") / "run") as running:
        yield running


@pytest.fixture
def bridge(switch: DummySwitch) -> Iterator[ListenerUnderTest]:
    with connected(switch) as bridge:
        switch.ofctl("del-flows", "br-int")
        bridge.run(apply(bridge.session, Change(Delta(tuple(state().flows.values())))))
        yield bridge


def whole_answers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which each table is added that is asked for whole."""
    tables: list[int] = []
    read = Session.read_flows_of

    async def noted(session: Session, asked: Sequence[bytes], *rest: Any, **more: Any) -> object:
        tables.extend(body[0] for body in asked if body == flow_desc_body(0, 0, body[0]))
        return await read(session, asked, *rest, **more)

    monkeypatch.setattr(Session, "read_flows_of", noted)
    return tables


def test_what_is_expected_is_read_in_pieces_and_is_all_there_is(
    bridge: ListenerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = whole_answers(monkeypatch)
    assert bridge.run(SessionLink(bridge.session).read_state((state(),))) == state()
    assert asked == []


def test_a_flow_that_nobody_expects_and_one_that_is_missing_are_found(
    bridge: ListenerUnderTest, switch: DummySwitch, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = whole_answers(monkeypatch)
    link = SessionLink(bridge.session)
    switch.ofctl("--strict", "del-flows", "br-int", f"table={ACT.number},priority=7,udp,tp_dst=5")
    assert len(bridge.run(link.read_state((state(),))).flows) == len(state().flows) - 1
    assert asked == []
    switch.ofctl("add-flow", "br-int", "table=200,cookie=0x5a57060000000099,priority=1,actions=drop")
    found = bridge.run(link.read_state((state(),)))
    assert sorted(key.table for key in found.flows.keys() - state().flows.keys()) == [200]
    assert asked == [200]
    switch.ofctl("add-flow", "br-int", f"table={ACT.number},cookie=0x77,priority=1,actions=drop")
    assert len(bridge.run(link.read_state((found,))).flows) == len(found.flows) + 1
    assert asked == [200, ACT.number], "the table of most flows holds nothing unknown"


def test_counters_read_in_pieces_are_those_read_at_once(bridge: ListenerUnderTest) -> None:
    link = SessionLink(bridge.session)
    at_once = {count.key for count in bridge.run(link.read_counts())}
    link.confirmed = state
    in_pieces = [count.key for count in bridge.run(link.read_counts())]
    assert set(in_pieces) == at_once
    assert len(in_pieces) == RULES * PORTS
    first = frozenset({cookie(Category.RULE, 1)})
    assert {count.cookie for count in bridge.run(link.read_counts(first))} == first


def test_cookies_of_many_flows_are_asked_for_by_table() -> None:
    sizes = gentle.sizes_of([state()])
    batches = list(gentle.pieces(sizes))
    who = [table for batch in batches for one, table in batch if one == cookie(Category.WHO)]
    assert who == [VERDICT_TABLE.number, ACT.number]
    assert max(sum(PORTS for one, _ in batch if one != cookie(Category.WHO)) for batch in batches) <= 500
    assert sum(len(batch) for batch in batches) == RULES + 2
