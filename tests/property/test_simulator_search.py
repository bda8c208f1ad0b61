"""The simulator's hashed search finds what reading every flow finds, and changes nothing it is given."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.random_flows import IP4, TABLES, V4, packets, programs
from zonewall.flows.simulate import ConnTrack, FlowTables, Packet, simulate
from zonewall.pipeline import packet_fields as f
from zonewall.pipeline.model import BridgeProgram, Condition, Flow, Output

PREFIXES = st.tuples(st.sampled_from(V4), st.sampled_from((8, 16, 24, 30, 31, 32)))


def condition(field: str, prefix: tuple[int, int]) -> Condition:
    mask = 0xFFFFFFFF << 32 - prefix[1] & 0xFFFFFFFF
    return (f.IPV4_SRC if field == "src" else f.IPV4_DST), prefix[0] & mask, mask


@st.composite
def filters(draw: st.DrawFn) -> tuple[Flow, ...]:
    """Return flows on prefixes of both addresses, all of different priorities; each sends to its own port."""
    pairs = draw(st.lists(st.tuples(PREFIXES, PREFIXES), min_size=1, max_size=12))
    priorities = draw(st.permutations(range(1, len(pairs) + 1)))
    return tuple(
        Flow(
            TABLES[0],
            priority,
            (IP4, condition("src", src), condition("dst", dst)),
            (Output(100 + priority),),
        )
        for priority, (src, dst) in zip(priorities, pairs, strict=True)
    )


def matched(flow: Flow, packet: Packet) -> bool:
    return all(
        packet[field.base] & (field.ones if mask is None else mask) == value
        for field, value, mask in flow.match
    )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(flows=filters(), one=packets())
def test_search_finds_the_flow_of_highest_priority_that_matches(flows: tuple[Flow, ...], one: Packet) -> None:
    best = max((flow for flow in flows if matched(flow, one)), key=lambda flow: flow.priority, default=None)

    assert simulate(FlowTables(BridgeProgram(flows)), one).trail == (() if best is None else (best,))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs(), frames=st.lists(packets(), min_size=2, max_size=5))
def test_the_same_packets_have_the_same_outcome_whenever_they_are_asked_for(
    program: BridgeProgram, frames: list[Packet]
) -> None:
    flows, again = FlowTables(program), FlowTables(program)
    states = [ConnTrack()]
    outcomes = []
    for one in frames:
        outcomes.append(simulate(flows, one, states[-1]))
        states.append(outcomes[-1].connections)

    assert [simulate(again, one, state) for one, state in zip(frames, states, strict=False)] == outcomes
