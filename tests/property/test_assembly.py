"""What is assembled from remembered pieces is what is compiled from nothing, whatever happened before."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.compiled import FIRST, SECOND, CompiledFleet, from_nothing
from support.configurations import configure, endpoint, rule, tenant, tier, zone
from support.generated import carried_worlds
from zonewall.flows import line_pieces, shared_pieces
from zonewall.flows.assembly import Assembler
from zonewall.flows.diff import diff, diff_state, with_meters
from zonewall.flows.encoded import BridgeState
from zonewall.intent.fleet import Fleet, index_fleet, prepare
from zonewall.intent.judgement import rule_records
from zonewall.intent.passing import Passing
from zonewall.intent.semantics import Probe
from zonewall.pipeline.stages.classify import OWN_METERS
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.learnt import AddressBook, laid_over
from zonewall.placement.model import Binding, BindingState, BridgeKey, Placement
from zonewall.policy.model import Configuration, Mode
from zonewall.values.limits import Limit
from zonewall.values.names import EndpointKey, OfPort

EVERY = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
BRIDGES = (FIRST, SECOND)
Bound = tuple[Binding, ...]
World = tuple[Configuration, list[Probe]]
Event = tuple[EndpointKey, Bound]


def assert_same(assembled: BridgeState, compiled: BridgeState) -> None:
    flows = list(assembled.flows.values())
    assert len(flows) == len(assembled.flows) == len(compiled.flows)
    assert {flow.key: flow for flow in flows} == compiled.flows
    assert assembled.meters == compiled.meters


@st.composite
def events(draw: st.DrawFn, keys: list[EndpointKey]) -> list[Event]:
    """Return what happens to endpoints: at most one place of each receives its traffic."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        number = draw(st.integers(0, len(keys) - 1))
        states = draw(st.permutations(list(BindingState)))
        places = draw(st.lists(st.sampled_from(BRIDGES), max_size=2, unique=True))
        bound: list[Binding] = []
        for place, state in zip(places, states, strict=False):
            if state in (BindingState.ACTIVE, BindingState.QUARANTINED) and bound:
                state = BindingState.LEAVING
            shared = [1000 + number * OWN_METERS] if number < 9 else []
            port = OfPort(draw(st.sampled_from([1000 + 2 * number, 1001 + 2 * number, *shared])))
            bound.append(Binding(keys[number], place, port, state, draw(st.booleans())))
        found.append((keys[number], tuple(bound)))
    return found


def after(placement: Placement, happened: Iterable[Event]) -> Placement:
    bindings = FrozenMap.of(dict(placement.bindings))
    for key, bound in happened:
        bindings = bindings.put(key, bound) if bound else bindings.drop(key)
    return Placement(bindings, placement.ports, placement.links)


def limited(configuration: Configuration, data: st.DataObject) -> Configuration:
    """Return the configuration with limits on what endpoints send, and some of them DHCP servers."""
    endpoints = {}
    for key, one in configuration.inventory.endpoints.items():
        limit = data.draw(st.sampled_from([None, Limit(100, "kbps"), Limit(50, "pps")]))
        roles = one.roles | data.draw(st.sampled_from([frozenset(), frozenset({"dhcp-server"})]))
        endpoints[key] = replace(one, limit=limit, roles=roles)
    inventory = replace(configuration.inventory, endpoints=endpoints)
    return laid_over(replace(configuration, inventory=inventory), AddressBook())


def walk(assembler: Assembler, fleet: Fleet, happened: list[list[Event]]) -> Fleet:
    """Take the steps one after the other; each difference leads from one state to the next."""
    held = {key: assembler.state(fleet, key) for key in BRIDGES}
    for step in happened:
        fleet = fleet.follow(after(fleet.placement, step))
        for key in BRIDGES:
            wanted = assembler.state(fleet, key)
            table = {flow.key: flow for flow in held[key].flows.values()}
            change = diff_state(held[key], wanted)
            table.update({flow.key: flow for flow in change.flows.put})
            for gone in change.flows.delete:
                del table[gone]
            assert table == from_nothing(fleet, key).flows
            assert wanted.meters == from_nothing(fleet, key).meters
            held[key] = wanted
    return fleet


@EVERY
@given(data=st.data(), world=carried_worlds())
def test_a_fleet_that_changed_step_by_step_is_assembled_as_from_nothing(
    data: st.DataObject, world: World
) -> None:
    compiled = CompiledFleet(limited(world[0], data))
    fleet = index_fleet(compiled.policy, after(compiled.placement, ()))
    keys = sorted(compiled.policy.endpoints)
    if not keys:
        return
    walk(Assembler(), fleet, [[event] for event in data.draw(events(keys))])


@EVERY
@given(data=st.data(), world=carried_worlds())
def test_a_bridge_that_was_slow_gets_the_difference_to_any_earlier_state(
    data: st.DataObject, world: World
) -> None:
    compiled = CompiledFleet(world[0])
    fleet = index_fleet(compiled.policy, after(compiled.placement, ()))
    keys = sorted(compiled.policy.endpoints)
    if not keys:
        return
    assembler = Assembler()
    states = [assembler.state(fleet, FIRST)]
    for event in data.draw(events(keys)):
        fleet = fleet.follow(after(fleet.placement, [event]))
        states.append(assembler.state(fleet, FIRST))
    for held in states:
        plain = BridgeState(dict(held.flows.items()), {}, dict(held.meters))
        for wanted in (states[-1], states[len(states) // 2]):
            assert diff_state(held, wanted) == diff_state(plain, wanted)


@EVERY
@given(data=st.data(), world=carried_worlds())
def test_the_order_of_events_and_how_they_are_split_leave_no_trace(data: st.DataObject, world: World) -> None:
    compiled = CompiledFleet(world[0])
    fleet = index_fleet(compiled.policy, after(compiled.placement, ()))
    keys = sorted(compiled.policy.endpoints)
    if not keys:
        return
    happened = data.draw(events(keys))
    last = {event[0]: event for event in happened}
    orders: dict[str, list[Any]] = {
        "one by one": [[event] for event in happened],
        "merged": [happened],
        "reversed": [[event] for event in reversed(list(last.values()))],
        "twice": [[event, event] for event in happened],
        "taken down between": [step for event in happened for step in ([(event[0], ())], [event])],
    }
    expected: dict[BridgeKey, Any] = {}
    for name, steps in orders.items():
        assembler = Assembler()
        now = fleet
        for step in steps:
            now = now.follow(after(now.placement, step))
            for key in BRIDGES:
                assembler.state(now, key)
        for key in BRIDGES:
            state = assembler.state(now, key)
            assert expected.setdefault(key, dict(state.flows.items())) == dict(state.flows.items()), name
            assert_same(state, from_nothing(now, key))


@EVERY
@given(one=carried_worlds(), other=carried_worlds(), data=st.data())
def test_another_configuration_is_assembled_as_from_nothing(
    one: World, other: World, data: st.DataObject
) -> None:
    assembler = Assembler()
    before = CompiledFleet(limited(one[0], data))
    after_it = CompiledFleet(limited(other[0], data), numbering=before.policy.numbering)
    for compiled in (before, after_it, before):
        fleet = index_fleet(compiled.policy, compiled.placement)
        for key in BRIDGES:
            assert_same(assembler.state(fleet, key), from_nothing(fleet, key))


@EVERY
@given(world=carried_worlds(), data=st.data())
def test_an_edit_prepared_from_what_was_there_is_as_prepared_from_nothing(
    world: World, data: st.DataObject
) -> None:
    compiled = CompiledFleet(world[0])
    assembler, before = Assembler(), compiled.policy
    fleet = index_fleet(before, compiled.placement)
    for _ in range(3):
        edited = edit(before.configuration, data)
        names = [record.name for record in rule_records(edited).values() if record.rule is not None]
        ending = data.draw(st.one_of(st.none(), st.sampled_from(names))) if names else None
        passing = Passing({} if ending is None else {ending: 2_000_000_000})
        policy = prepare(edited, before.numbering, passing=passing, before=before)
        plain = prepare(edited, before.numbering, passing=passing)
        assert policy.numbering == plain.numbering
        assert list(policy.records.items()) == list(plain.records.items())
        assert (policy.modified, policy.banks, policy.placed) == (plain.modified, plain.banks, plain.placed)
        fleet = index_fleet(policy, fleet.placement, before=fleet)
        for key in BRIDGES:
            assert_same(assembler.state(fleet, key), from_nothing(index_fleet(plain, fleet.placement), key))
        before = policy


def edit(configuration: Configuration, data: st.DataObject) -> Configuration:
    """Return the configuration with a tier's rules drawn anew from what it has.

    Fewer in another order, or in their places with what another one asks for.
    """
    tenants = dict(configuration.tenants)
    name = data.draw(st.sampled_from(sorted(tenants)))
    tiers = list(tenants[name].tiers)
    if tiers:
        place = data.draw(st.integers(0, len(tiers) - 1))
        had = tiers[place].rules
        if data.draw(st.booleans()):
            rules = data.draw(st.permutations(had))[: data.draw(st.integers(0, 9))]
            mode = data.draw(st.sampled_from([tiers[place].mode, Mode.MONITOR]))
            tiers[place] = replace(tiers[place], rules=tuple(rules), mode=mode)
        else:
            drawn = [data.draw(st.sampled_from([one, one, *had])) for one in had]
            rules = [
                one if other is one else replace(other, name=one.name)
                for one, other in zip(had, drawn, strict=True)
            ]
            tiers[place] = replace(tiers[place], rules=tuple(rules))
    return replace(configuration, tenants={**tenants, name: replace(tenants[name], tiers=tuple(tiers))})


def shop(*roles: str) -> CompiledFleet:
    ends = [
        endpoint(f"acme/e{number}", f"10.0.0.{number + 1}", labels={"role": role})
        for number, role in enumerate(roles)
    ]
    zones = [zone(name, labels={"role": name}) for name in ("web", "db")]
    own = tenant("acme", tier("t", rule("r", "web", "db"), rule("s", "web", "web", "reject")), zones=zones)
    return CompiledFleet(configure(*ends, own))


def test_an_endpoint_that_moves_changes_only_its_own_flows() -> None:
    compiled = shop("web", "web", "db", "db", "web", "db")
    fleet = index_fleet(compiled.policy, after(compiled.placement, ()))
    assembler = Assembler()
    held = {key: assembler.state(fleet, key) for key in BRIDGES}
    key = EndpointKey("acme/e0")
    moved = fleet.follow(after(fleet.placement, [(key, (Binding(key, SECOND, OfPort(77)),))]))

    changes = {bridge: diff(held[bridge].flows, assembler.state(moved, bridge).flows) for bridge in BRIDGES}
    touched = {flow.table for change in changes.values() for flow in change.put}
    assert sum(len(change.put) + len(change.delete) for change in changes.values()) < 40
    assert 22 not in touched, "the verdict table is not touched"


@pytest.mark.parametrize("ports", [(1, 1 + OWN_METERS), (1 + OWN_METERS, 1)])
def test_two_ports_that_share_a_meter_keep_it_until_both_are_gone(ports: tuple[int, int]) -> None:
    compiled = shop("web", "web")
    assembler = Assembler()
    keys = (EndpointKey("acme/e0"), EndpointKey("acme/e1"))
    both = [(key, (Binding(key, FIRST, OfPort(port)),)) for key, port in zip(keys, ports, strict=True)]
    fleet = index_fleet(compiled.policy, after(compiled.placement, both))
    shared = assembler.state(fleet, FIRST).meters
    fleet = fleet.follow(after(fleet.placement, [(keys[0], ())]))

    assert assembler.state(fleet, FIRST).meters.keys() == shared.keys()
    assert_same(assembler.state(fleet, FIRST), from_nothing(fleet, FIRST))
    fleet = fleet.follow(after(fleet.placement, [(keys[1], ())]))
    assert assembler.state(fleet, FIRST).meters.keys() < shared.keys()


def test_meters_made_for_a_bundle_that_was_refused_go_when_nobody_wants_them() -> None:
    compiled = shop("web", "web", "db")
    fleet = index_fleet(compiled.policy, after(compiled.placement, ()))
    assembler = Assembler()
    held = assembler.state(fleet, FIRST)
    key = EndpointKey("acme/e0")
    moved = fleet.follow(after(fleet.placement, [(key, (Binding(key, FIRST, OfPort(77)),))]))
    change = diff_state(held, assembler.state(moved, FIRST))
    refused = with_meters(held, change)
    assert change.put_meters
    assert diff_state(refused, assembler.state(fleet, FIRST)).delete_meters == tuple(
        meter.number for meter in change.put_meters
    )


def test_endpoints_that_move_for_long_leave_no_more_behind_than_some(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((shared_pieces, "LEAST_KEPT"), (line_pieces, "_MOST_HERE")):
        monkeypatch.setattr(module, name, 8)
    names = [f"r{number}" for number in range(12)]
    ends = [endpoint(f"acme/{name}", f"10.0.0.{n}", labels={"role": name}) for n, name in enumerate(names, 1)]
    rules = [rule(f"to-{a}", a, b) for a, b in zip(names, (*names[1:], names[0]), strict=True)]
    zones = [zone(name, labels={"role": name}) for name in names]
    compiled = CompiledFleet(configure(*ends, tenant("acme", tier("t", *rules), zones=zones)))
    fleet = index_fleet(compiled.policy, after(compiled.placement, ()))
    assembler, draw = Assembler(), random.Random(7)
    keys, sizes = sorted(compiled.policy.endpoints), []
    for number in range(200):
        key = draw.choice(keys)
        to = draw.choice(BRIDGES)
        moved = (key, (Binding(key, to, OfPort(100 + keys.index(key))),))
        fleet = fleet.follow(after(fleet.placement, [moved]))
        for bridge in BRIDGES:
            assembler.state(fleet, bridge)
        if number % 50 == 49:
            sizes.append(kept_by(assembler))
    assert max(sizes[1:]) <= sizes[0] + 16
    for bridge in BRIDGES:
        assert_same(assembler.state(fleet, bridge), from_nothing(fleet, bridge))


def kept_by(assembler: Assembler) -> int:
    """Return how many entries the memories have that moves add to."""
    shared = assembler._shared
    lines = [line for _, _, lines in shared._sections._young.values() for line in lines]
    marks = shared._marks._young.values()
    own = [len(line._blocks) for line in lines] + [len(one._here) for one in marks]
    return sum(own) + len(shared._banks) + len(shared._ranges) + len(shared._alike)
