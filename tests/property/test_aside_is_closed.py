"""Whatever flow a bridge refuses, what is left lets nothing through that the whole would not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.compiled import FIRST, CompiledFleet, Seen
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from support.generated import carried_worlds
from zonewall.flows.aside import Depth, closed
from zonewall.flows.encoded import FlowKey
from zonewall.flows.wire import encode_flow, encode_program
from zonewall.intent.numbering import Kind
from zonewall.intent.semantics import Probe
from zonewall.pipeline.cookie import rule_of
from zonewall.pipeline.model import BridgeProgram
from zonewall.placement.model import BindingState
from zonewall.policy.model import Configuration
from zonewall.values.names import EndpointKey


def _without(program: BridgeProgram, aside: dict[FlowKey, Depth]) -> BridgeProgram:
    """Return the program as flows by name of what is left of it in bytes."""
    state = encode_program(program)
    left = closed(state, aside).flows
    flows = []
    for flow in program.flows:
        key = encode_flow(flow).key
        if key in left:
            flows.append(flow if left[key] == state.flows[key] else replace(flow, actions=()))
    assert len(flows) == len(left)
    return replace(program, flows=tuple(flows))


def _is_no_more_open(seen: Seen, whole: Seen) -> bool:
    """Say whether nothing arrives that did not, nor past an appliance that was on its way."""
    places = {port for port, _ in whole.arrived}
    if not {port for port, _ in seen.arrived} <= places:
        return False
    return not seen.arrived or set(seen.through) >= set(whole.through)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=carried_worlds(most=6), data=st.data())
def test_what_is_set_aside_opens_nothing(
    world: tuple[Configuration, list[Probe]], data: st.DataObject
) -> None:
    configuration, probes = world
    fleet = CompiledFleet(configuration)
    program = fleet.programs[FIRST]
    whole = [fleet.judge(probe) for probe in probes]
    met = [flow for seen in whole for bridge, flow in seen.trail if bridge == FIRST] or program.flows
    for _ in range(4):
        refused = data.draw(st.lists(st.sampled_from(met), min_size=1, max_size=3))
        depths = data.draw(st.lists(st.sampled_from(Depth), min_size=3, max_size=3))
        aside = {encode_flow(flow).key: depth for flow, depth in zip(refused, depths, strict=False)}
        fleet.hold(FIRST, _without(program, aside))
        for asked, before in zip(probes, whole, strict=True):
            seen = fleet.judge(asked)
            assert _is_no_more_open(seen, before), (asked, refused, aside.values(), seen, before)


def _shop() -> tuple[CompiledFleet, list[Probe]]:
    """Return rules of which each closes what a later one would open, on one bridge."""
    zones = [zone(name, labels={"role": name}) for name in ("web", "db", "ops")]
    rules = tier(
        "t",
        rule("checked", "web ops", "db", services=["tcp/80,443,8080"], through=("waf",)),
        rule("never", "web ops", "db", "drop", services=["tcp/22,23,25", "udp/53"]),
        rule("told", "web", "ops", "reject", services="tcp/25"),
        rule("rest", "any", "any"),
    )
    ends = [
        endpoint(f"acme/{role}{n}", f"10.0.0.{n}", labels={"role": role})
        for n, role in enumerate(("web", "x", "db", "y", "ops", "z"), 1)
    ]
    fleet = CompiledFleet(
        configure(*ends, tenant("acme", rules, zones=zones)),
        states={EndpointKey("acme/x2"): BindingState.QUARANTINED},
    )
    asked = [
        probe("acme/web1", "acme/db3", "tcp/80"),
        probe("acme/web1", "acme/db3", "tcp/22"),
        probe("acme/web1", "acme/ops5", "tcp/25"),
        probe("acme/web1", "acme/ops5", "tcp/26"),
        probe("acme/ops5", "acme/x2", "udp/53"),
        probe("acme/ops5", "acme/db3", "udp/53"),
    ]
    return fleet, asked


@pytest.mark.parametrize("depth", Depth)
def test_each_flow_on_the_way_may_be_refused_and_nothing_opens(depth: Depth) -> None:
    fleet, probes = _shop()
    program = fleet.programs[FIRST]
    whole = [fleet.judge(probe) for probe in probes]
    assert [seen.verdict for seen in whole] == ["allow", "drop", "reject", "allow", "drop", "drop"]
    assert whole[0].through == ["waf"]
    met = {encode_flow(flow).key for seen in whole for bridge, flow in seen.trail if bridge == FIRST}
    assert len(met) > 20
    for key in met:
        fleet.hold(FIRST, _without(program, {key: depth}))
        for one, before in zip(probes, whole, strict=True):
            seen = fleet.judge(one)
            assert _is_no_more_open(seen, before), (one, key, seen, before)


def test_a_rule_set_aside_leaves_the_others_in_force() -> None:
    fleet, probes = _shop()
    program = fleet.programs[FIRST]
    number = fleet.policy.number(Kind.RULE, "acme/t/never")
    refused = next(flow for flow in program.flows if rule_of(flow.cookie) == number)
    fleet.hold(FIRST, _without(program, {encode_flow(refused).key: Depth.DROPPED}))
    assert [fleet.judge(one).verdict for one in probes] == [
        "allow",
        "drop",
        "reject",
        "allow",
        "drop",
        "drop",
    ]
    number = fleet.policy.number(Kind.RULE, "acme/t/rest")
    refused = next(flow for flow in program.flows if rule_of(flow.cookie) == number)
    fleet.hold(FIRST, _without(program, {encode_flow(refused).key: Depth.DROPPED}))
    assert [fleet.judge(one).verdict for one in probes] == ["allow", "drop", "reject", "drop", "drop", "drop"]
