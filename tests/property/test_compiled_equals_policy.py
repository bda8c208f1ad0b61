"""What compiled flows do with a packet is what the evaluator says, for generated configurations.

Left out, as bridges decide it apart from the rules: packets with port 0 (connection tracking takes them as
invalid), ICMP errors that a rule sends through a function (they are dropped), functions and mirrors of the
source's own rule of a connection between tenants (only the deciding rule's count on a bridge).
``make conformance`` runs thousands of configurations.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.compiled import FIRST, SECOND, CompiledFleet, Port, Seen, in_parts
from support.generated import carried_worlds, goes_through_across, is_icmp_error, timed_worlds
from zonewall.flows.simulate.packet import Packet
from zonewall.flows.wire import encode_flow
from zonewall.intent.passing import Passing, rule_ends
from zonewall.intent.schedule import inactive_rules
from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.intent.semantics.holders import can_reach
from zonewall.pipeline.model import BridgeProgram, Conjunction, Flow
from zonewall.pipeline.registers import BANK, SECTION
from zonewall.pipeline.tables import VERDICT_TABLE
from zonewall.policy.model import Configuration
from zonewall.values.names import EndpointKey, TenantName

COUNT = int(os.environ.get("ZONEWALL_CONFIGURATIONS", "0"))
"""How many configurations a long run makes (``make conformance``); 0: the short one of every test run."""

LONG = COUNT > 0
EVERY = settings(
    max_examples=COUNT or 150,
    deadline=None,
    derandomize=not LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SOME = settings(EVERY, max_examples=max(40, COUNT // 6))
World = tuple[Configuration, list[Probe]]


def tenants_of(probe: Probe) -> tuple[str, str] | None:
    """Return both ends' tenants where they are endpoints of two tenants."""
    if not isinstance(probe.source, str) or not isinstance(probe.destination, str):
        return None
    pair = probe.source.split("/")[0], probe.destination.split("/")[0]
    return None if pair[0] == pair[1] else pair


def are_joined(fleet: CompiledFleet, probe: Probe) -> bool:
    """Say whether the source's tenant can reach the destination: else its address is an outside one there."""
    pair = tenants_of(probe)
    if pair is None:
        return True
    endpoint = fleet.configuration.inventory.endpoints[EndpointKey(str(probe.destination))]
    is_seen = can_reach(fleet.configuration, fleet.configuration.tenants[TenantName(pair[0])], endpoint)
    assert not is_seen or f"{pair[0]}>{pair[1]}" in fleet.policy.banks
    return is_seen


def reaches_another_tenant(fleet: CompiledFleet, probe: Probe, arrived: list[Port]) -> bool:
    owners = {port: key.split("/")[0] for key, port in fleet.places.items()}
    own = str(probe.source).split("/")[0]
    return any(owners.get(port, own) != own for port in arrived)


def disagreement(fleet: CompiledFleet, probe: Probe, judged: Verdict) -> str | None:
    """Return in words where the bridges do otherwise than the evaluator says."""
    seen = fleet.judge(probe)
    pair = tenants_of(probe)
    if not are_joined(fleet, probe):
        # Nothing leads there: the other's address is an outside one, and never leads to the other.
        leaked = reaches_another_tenant(fleet, probe, [port for port, _ in seen.arrived])
        return f"{probe} reached {seen.arrived}" if leaked else None
    said = judged.verdict.value
    if said == "reject" and is_icmp_error(probe):
        said = "drop"
    mirror = tuple(seen.mirror)
    if pair is not None and set(mirror) <= set(judged.mirror):
        mirror = judged.mirror
    did = (seen.verdict, seen.rule, mirror, tuple(seen.through))
    wanted = (said, judged.rule, judged.mirror, judged.through)
    return None if did == wanted else f"{probe}: {did}, but should be {wanted}"


@EVERY
@given(world=carried_worlds())
def test_bridges_do_with_every_packet_what_the_evaluator_says(world: World) -> None:
    configuration, probes = world
    fleet = CompiledFleet(configuration)
    for probe in probes:
        judged = verdict(configuration, probe)
        assert isinstance(judged, Verdict), judged
        if goes_through_across(probe, judged) or (judged.through and is_icmp_error(probe)):
            continue
        assert disagreement(fleet, probe, judged) is None


@SOME
@given(world=timed_worlds())
def test_bridges_hold_to_hours_and_expiry(world: tuple[Configuration, list[Probe], datetime]) -> None:
    configuration, probes, moment = world
    passing = Passing(rule_ends(configuration, moment))
    fleet = CompiledFleet(configuration, inactive_rules(configuration, moment), passing=passing)
    assert all(end > moment.timestamp() for end in passing.ends.values())
    for probe in probes:
        judged = verdict(configuration, probe)
        assert isinstance(judged, Verdict), judged
        if not (goes_through_across(probe, judged) or (judged.through and is_icmp_error(probe))):
            assert disagreement(fleet, probe, judged) is None


def answer_to(probe: Probe, fleet: CompiledFleet) -> tuple[Port, Packet]:
    """Return the first answer to a probe's packet, and where it enters."""
    source, destination = fleet.addresses(probe)
    back = replace(
        probe,
        source=probe.destination,
        destination=probe.source,
        source_ip=probe.destination_ip,
        destination_ip=probe.source_ip,
        source_port=probe.destination_port,
        destination_port=40000 if probe.source_port is None else probe.source_port,
        icmp=None if probe.icmp is None else (0 if probe.icmp[0] == 8 else 129, 0),
    )
    port, frame = fleet.entering(back, destination, source)
    return port, frame.but(tcp_flags=0x12) if probe.protocol == 6 else frame


@SOME
@given(world=carried_worlds())
def test_answers_to_what_is_allowed_come_back_whoever_allowed_it(world: World) -> None:
    configuration, probes = world
    fleet = CompiledFleet(configuration)
    for probe in probes:
        inside = isinstance(probe.source, str) and (probe.icmp is None or probe.icmp[0] in (8, 128))
        first = fleet.judge(probe) if inside and are_joined(fleet, probe) else Seen()
        if not first.arrived or first.through:
            continue
        back = fleet.send(*answer_to(probe, fleet))
        assert fleet.places[EndpointKey(str(probe.source))] in [port for port, _ in back.arrived], probe


@SOME
@given(world=carried_worlds(), order=st.permutations(range(3)))
def test_a_datagram_in_fragments_fares_as_a_whole_one_does(world: World, order: list[int]) -> None:
    configuration, probes = world
    fleet = CompiledFleet(configuration)
    for probe in probes:
        if is_icmp_error(probe):
            continue  # errors are shorter than any MTU, and refused in fragments
        whole = fleet.judge(probe)
        fleet.forget_connections()
        port, frame = fleet.entering(probe, *fleet.addresses(probe))
        parts = in_parts(frame, len(order))
        cut = fleet.send(port, *(parts[place] for place in order))
        assert sorted(port for port, _ in cut.arrived) == sorted(
            port for port, _ in whole.arrived for _ in parts
        ), probe
        assert (cut.verdict, cut.mirror, cut.through) == (whole.verdict, whole.mirror, whole.through), probe


@SOME
@given(world=carried_worlds(most=4))
def test_the_order_in_which_zones_and_endpoints_are_written_changes_no_verdict(world: World) -> None:
    configuration, probes = world
    inventory = configuration.inventory
    turned = replace(
        configuration,
        inventory=replace(inventory, endpoints=dict(reversed([*inventory.endpoints.items()]))),
        tenants={
            name: replace(tenant, zones=dict(reversed([*tenant.zones.items()])))
            for name, tenant in reversed([*configuration.tenants.items()])
        },
    )
    one, other = CompiledFleet(configuration), CompiledFleet(turned)
    for probe in probes:
        first, second = one.judge(probe), other.judge(probe)
        assert (first.verdict, first.rule, first.mirror) == (second.verdict, second.rule, second.mirror)


@SOME
@given(world=carried_worlds(most=1))
def test_compiling_twice_gives_the_same_program_and_no_key_twice(world: World) -> None:
    one, again = CompiledFleet(world[0]), CompiledFleet(world[0])
    assert one.programs == again.programs
    for program in one.programs.values():
        keys = [encode_flow(flow).key for flow in program.flows]
        assert len(set(keys)) == len(keys)


def owner(flow: Flow) -> tuple[int, ...]:
    """Return bank, section and priority of a flow of the verdict table."""
    values = {field: value for field, value, _ in flow.match}
    return values[BANK], values[SECTION], flow.priority


def conjunctions(program: BridgeProgram) -> dict[tuple[int, ...], set[int]]:
    """Return which conjunctions stand at each place of the verdict table."""
    found: dict[tuple[int, ...], set[int]] = {}
    for flow in program.flows:
        for action in flow.actions:
            if flow.table is VERDICT_TABLE and isinstance(action, Conjunction):
                found.setdefault(owner(flow), set()).add(action.number)
    return found


def meet(one: Flow, other: Flow) -> bool:
    """Say whether a packet could match both flows."""
    theirs = {field: (value, mask) for field, value, mask in other.match}
    for field, value, mask in one.match:
        if field in theirs:
            _, other_mask = theirs[field]
            both = (field.ones if mask is None else mask) & (field.ones if other_mask is None else other_mask)
            if (value ^ theirs[field][0]) & both:
                return False
    return True


@SOME
@given(world=carried_worlds(most=1))
def test_each_priority_belongs_to_one_line_and_alternatives_of_a_clause_never_overlap(world: World) -> None:
    for program in CompiledFleet(world[0]).programs.values():
        assert all(len(numbers) == 1 for numbers in conjunctions(program).values())
        clauses: dict[Conjunction, list[Flow]] = {}
        for flow in program.flows:
            for action in flow.actions:
                if isinstance(action, Conjunction):
                    clauses.setdefault(action, []).append(flow)
        for flows in clauses.values():
            assert not any(meet(a, b) for i, a in enumerate(flows) for b in flows[i + 1 :])


@SOME
@given(world=carried_worlds(most=1))
def test_a_rule_that_goes_leaves_the_flows_of_all_others_as_they_are(world: World) -> None:
    configuration, _ = world
    tenant = configuration.tenants[min(configuration.tenants)]
    if not tenant.tiers or any(r.action.value == "pass" for r in tenant.tiers[0].rules):
        return  # a tier's pass cuts sections; without it the next tier stands elsewhere
    first = tenant.tiers[0]
    shorter = replace(tenant, tiers=(replace(first, rules=first.rules[1:]), *tenant.tiers[1:]))
    edited = replace(configuration, tenants={**configuration.tenants, tenant.name: shorter})
    before = CompiledFleet(configuration)
    after = CompiledFleet(edited, numbering=before.policy.numbering)
    gone = before.policy.numbering.numbers["rule"][f"{tenant.name}/{first.name}/{first.rules[0].name}"]
    for key in (FIRST, SECOND):
        old, new = (
            {encode_flow(f) for f in fleet.programs[key].flows if f.table is VERDICT_TABLE}
            for fleet in (before, after)
        )
        assert new <= old
        assert all(flow.cookie & 0xFFFFFFFF == gone for flow in old - new)
