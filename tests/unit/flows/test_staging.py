"""A large change in parts: staged where no packet comes, put in force whole, removed after."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier, zone
from zonewall.flows.diff import Change, Delta, diff
from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.flows.generation import SIDE, bank_matched, banks_set, sides, turned_flow, turned_key
from zonewall.flows.staging import Plan, plan
from zonewall.flows.wire import encode_program

Table = dict[FlowKey, EncodedFlow]


def shop(ports: range, *extra: str) -> Table:
    """Return the flows of one bridge under a policy of many rules, two tenants beside each other."""
    many = [rule(f"r{n}", "web", "db", services=f"tcp/{n}") for n in ports]
    zones = [zone(name, labels={"role": name}) for name in ("web", "db")]
    ends = [
        endpoint(f"{owner}/{n}{role}", f"10.0.0.{n}", labels={"role": role})
        for owner in ("acme", "blue")
        for n, role in enumerate(("web", "x", "db"), 1)
    ]
    steady = tenant("blue", tier("t", rule("all", "any", "any")))
    configuration = configure(*ends, tenant("acme", tier("t", *many), zones=zones), steady)
    return dict(encode_program(CompiledFleet(configuration).programs[FIRST]).flows)


OLD = shop(range(1000, 1060))
NEW = shop(range(2000, 2060))
BANK_OF_ACME = bank_matched(next(flow for flow in OLD.values() if bank_matched(flow.match)).match) or 0


def carried_out(table: Table, planned: Plan) -> Iterator[Table]:
    """Yield what a bridge holds after each bundle: parts that need not be whole flow by flow."""
    held = dict(table)
    for stage in planned.stages:
        steps = [Delta((flow,)) for flow in stage.delta.put] + [
            Delta((), (key,)) for key in stage.delta.delete
        ]
        for step in [stage.delta] if stage.is_whole else steps:
            held.update((flow.key, flow) for flow in step.put)
            for key in step.delete:
                del held[key]
            yield dict(held)


def in_force(table: Table) -> set[tuple[FlowKey, EncodedFlow]]:
    """Return the flows that a packet can meet, sides turned back to the compiled ones."""
    side = sides(table.values())
    turned = [turned_flow(flow, side) for flow in table.values()]
    return {(flow.key, flow) for flow in turned if not (bank_matched(flow.match) or 0) & SIDE}


def test_between_two_policies_a_packet_meets_the_one_or_the_other_whole() -> None:
    change = Change(diff(OLD, NEW))
    planned = plan(change, OLD, NEW, large=40)
    whole = [stage for stage in planned.stages if stage.is_whole]
    assert len(whole) == 1
    assert len(whole[0].delta.put) + len(whole[0].delta.delete) < 20
    old, new = set(OLD.items()), set(NEW.items())
    seen = []
    for held in carried_out(OLD, planned):
        met = in_force(held)
        assert met in (old, new) or new < met
        seen.append(met == old)
    assert seen == sorted(seen, reverse=True)
    assert {turned_flow(flow, planned.turned).key for flow in held.values()} == NEW.keys()


def test_going_back_uses_the_first_side_again() -> None:
    there = plan(Change(diff(OLD, NEW)), OLD, NEW, large=40)
    *_, held = carried_out(OLD, there)
    assert sides(held.values()) == there.turned == {BANK_OF_ACME}
    read = {turned_key(key, there.turned): turned_flow(flow, there.turned) for key, flow in held.items()}
    assert read == NEW
    back = plan(Change(diff(read, OLD)), read, OLD, there.turned, large=40)
    *_, held = carried_out(held, back)
    assert held == OLD
    assert back.turned == frozenset()


def test_a_small_change_is_one_bundle_on_whatever_side() -> None:
    gone = next(key for key in NEW if bank_matched(key.match) == BANK_OF_ACME)
    fewer = {key: flow for key, flow in NEW.items() if key != gone}
    planned = plan(Change(diff(NEW, fewer)), NEW, fewer, frozenset({BANK_OF_ACME}), large=40)
    (stage,) = planned.stages
    assert stage.is_whole
    (key,) = stage.delta.delete
    assert bank_matched(key.match) == BANK_OF_ACME | SIDE


@pytest.mark.parametrize("cut_after", [0.1, 0.5, 0.9])
def test_a_cut_over_that_was_broken_off_is_finished_from_what_is_read(cut_after: float) -> None:
    planned = plan(Change(diff(OLD, NEW)), OLD, NEW, large=40)
    states = list(carried_out(OLD, planned))
    held = states[int(len(states) * cut_after)]
    side = sides(held.values())
    read = {turned_key(key, side): turned_flow(flow, side) for key, flow in held.items()}
    again = plan(Change(diff(read, NEW)), read, NEW, side, large=40)
    for table in carried_out(held, again):
        assert in_force(table) >= set(OLD.items()) or in_force(table) >= set(NEW.items())
    assert {turned_flow(flow, again.turned) for flow in table.values()} == set(NEW.values())


def test_an_empty_bridge_is_filled_from_behind() -> None:
    planned = plan(Change(diff({}, NEW)), {}, NEW, large=40)
    states = list(carried_out({}, planned))
    assert all(key.table > 0 for table in states[:-1] for key in table)
    assert states[-1] == NEW


def test_a_flow_turned_over_twice_is_the_flow() -> None:
    turned = frozenset({BANK_OF_ACME})
    other = [flow for flow in OLD.values() if turned_flow(flow, turned) != flow]
    assert any(banks_set(flow) for flow in other)
    assert any(bank_matched(flow.match) for flow in other)
    for flow in OLD.values():
        assert turned_flow(turned_flow(flow, turned), turned) == flow
