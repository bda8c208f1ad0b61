"""Flows that a version with another layout has left: exchanged beside each other, or closed in between."""

from __future__ import annotations

import pytest

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier, zone
from zonewall.flows.diff import Change, Delta, diff
from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.flows.staging import Plan, plan
from zonewall.flows.wire import encode_program
from zonewall.pipeline.cookie import Category, cookie, is_of_another_layout
from zonewall.pipeline.layout import FIRST_TABLE, TABLES

Table = dict[FlowKey, EncodedFlow]


def wanted() -> Table:
    """Return the flows of one bridge as this version makes them."""
    ends = [
        endpoint(f"acme/{n}{role}", f"10.0.0.{n}", labels={"role": role}) for n, role in ((1, "a"), (2, "b"))
    ]
    zones = [zone(name, labels={"role": name}) for name in ("a", "b")]
    rules = [rule(f"r{n}", "a", "b", services=f"tcp/{n}") for n in range(1, 9)]
    configuration = configure(*ends, tenant("acme", tier("t", *rules), zones=zones))
    return dict(encode_program(CompiledFleet(configuration).programs[FIRST]).flows)


def by_another(flows: Table, by: int) -> Table:
    """Return flows as a version left them whose tables, but for the first, are ``by`` further on."""
    made = [
        flow._replace(
            table=flow.table and flow.table + by,
            priority=flow.priority + (at == 0),
            cookie=flow.cookie ^ 0x80 << 32,
        )
        for at, flow in enumerate(flows.values())
    ]
    return {flow.key: flow for flow in made}


WANTED = wanted()
BESIDE = by_another(WANTED, TABLES)
IN_THE_WAY = by_another(WANTED, 0)


def split(flows: Table) -> tuple[Table, Table]:
    """Return the flows of the first table, and those behind it."""
    first = {key: flow for key, flow in flows.items() if key.table == FIRST_TABLE}
    return first, {key: flow for key, flow in flows.items() if key not in first}


def planned(held: Table) -> Plan:
    change = Change(diff(held, WANTED))
    assert any(map(is_of_another_layout, change.flows.cookies))
    return plan(change, held, WANTED)


def check(held: Table, others: Table) -> list[str]:
    """Carry a plan out; return what packets met, and assert that it was one version's flows, and all of them.

    "waits" stands for the time after which no packet is on its way through what packets met before.
    """
    met = [whose(held, others)]
    held = dict(held)
    for stage in planned(held).stages:
        if stage.waits:
            met.append("waits")
        steps = [Delta((flow,)) for flow in stage.delta.put] + [Delta((), (k,)) for k in stage.delta.delete]
        for step in [stage.delta] if stage.is_whole else steps:
            held.update((flow.key, flow) for flow in step.put)
            for key in step.delete:
                del held[key]
            now = whose(held, others)
            if met[-1] != now:
                met.append(now)
    assert held == WANTED
    return met


def whose(held: Table, others: Table) -> str:
    """Return whose flows packets meet."""
    first, behind = split(held)
    if not first:
        return "nothing"
    for name, version in (("ours", WANTED), ("theirs", others)):
        entries, rest = split(version)
        if first.items() <= entries.items():
            assert rest.items() <= behind.items()
            return name
    raise AssertionError("packets meet flows of both")


def test_flows_in_other_tables_are_exchanged_for_those_of_this_version_by_one_bundle() -> None:
    assert check(BESIDE, BESIDE) == ["theirs", "ours", "waits", "ours"]
    entering = planned(BESIDE).stages[1]
    assert {flow.table for flow in entering.delta.put} == {FIRST_TABLE}


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_an_exchange_that_was_broken_off_goes_on_where_it_was(parts: int) -> None:
    """Behind the first table some of ours are there; or ours are in force, and some of theirs left."""
    behind = split(WANTED)[1]
    some = dict(list(behind.items())[: len(behind) * parts // 3])
    assert check({**BESIDE, **some}, BESIDE) == ["theirs", "ours", "waits", "ours"]
    left = dict(list(split(BESIDE)[1].items())[: len(behind) * parts // 3])
    assert check({**WANTED, **left}, BESIDE) == ["ours", "waits", "ours"]


def test_flows_in_the_same_tables_are_removed_before_any_of_this_version_is_put() -> None:
    """No table is of two layouts at a time, and nothing passes meanwhile."""
    assert check(IN_THE_WAY, IN_THE_WAY) == ["theirs", "nothing", "waits", "nothing", "ours"]
    stages = planned(IN_THE_WAY).stages
    removed = next(at for at, stage in enumerate(stages) if any(key.table for key in stage.delta.delete))
    assert not any(stage.delta.put for stage in stages[: removed + 1])


def test_a_flow_put_by_hand_with_the_cookie_of_another_layout_goes_without_holding_packets_up() -> None:
    for table in (FIRST_TABLE, max(key.table for key in WANTED), 250):
        stray = EncodedFlow(table, 7, b"", b"", cookie(Category.STATIC) ^ 0x80 << 32)
        stages = planned({**WANTED, stray.key: stray}).stages
        changes = [stage.delta for stage in stages if stage.delta]
        assert changes[-1].delete == (stray.key,) or changes[0].delete == (stray.key,)
        assert not any(key.table == FIRST_TABLE and key != stray.key for d in changes for key in d.delete)


def test_flows_that_are_not_zonewalls_are_of_no_layout() -> None:
    stray = EncodedFlow(200, 7, b"", b"", 0x77)
    held = {**WANTED, stray.key: stray}
    (stage,) = plan(Change(diff(held, WANTED)), held, WANTED).stages
    assert stage.is_whole
    assert stage.delta.delete == (stray.key,)
