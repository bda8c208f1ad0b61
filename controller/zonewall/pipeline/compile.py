"""Intent to the program of one bridge: every stage's flows, in one order, no key twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from zonewall.errors import CompileError
from zonewall.intent.fleet import Fleet
from zonewall.intent.model import BridgeIntent
from zonewall.intent.resolve import resolve_bridge
from zonewall.pipeline.make import flow
from zonewall.pipeline.model import BridgeProgram, Condition, Flow, Goto, MeterEntry, Miss
from zonewall.pipeline.stages import act, admit, classify, deliver, dhcp, guard, state, verdict, who
from zonewall.pipeline.tables import PIPELINE
from zonewall.placement.model import BridgeKey

_STAGES = (
    classify.classify_flows,
    classify.service_return_flows,
    classify.announce_flows,
    classify.fabric_flows,
    guard.guard_flows,
    who.who_flows,
    dhcp.dhcp_flows,
    who.bind_flows,
    state.quarantine_flows,
    state.track_flows,
    state.judge_flows,
    verdict.mirror_select_flows,
    verdict.verdict_flows,
    act.act_flows,
    act.modify_flows,
    act.reject_flows,
    admit.admit_flows,
    state.commit_flows,
    act.chain_flows,
    act.service_flows,
    act.mirror_emit_flows,
    deliver.deliver_flows,
    deliver.flood_flows,
)


def compile_bridge(fleet: Fleet, key: BridgeKey) -> BridgeProgram:
    """Return all that a bridge should hold; a pure function of policy, placement and numbering."""
    return program_of(resolve_bridge(fleet, key))


def program_of(intent: BridgeIntent) -> BridgeProgram:
    """Return the flows and meters that carry an intent out.

    Raises:
        CompileError: two flows of one key that do different things.
    """
    found: dict[tuple[int, int, tuple[Condition, ...]], Flow] = {}
    for made in chain(miss_flows(), chain.from_iterable(stage(intent) for stage in _STAGES)):
        key = (made.table.number, -made.priority, made.match)
        other = found.setdefault(key, made)
        if other.actions != made.actions:
            raise CompileError(f"{made.table.name}: two flows for {made.match} at priority {made.priority}")
    flows = sorted(found.values(), key=_order)
    return BridgeProgram(tuple(flows), (), _meters(intent))


def miss_flows() -> Iterator[Flow]:
    """Yield the flow of each table whose declared miss goes on; all others drop by having none."""
    by_name = {table.name: table for table in PIPELINE.tables}
    for table in PIPELINE.tables:
        if table.miss is Miss.NEXT:
            yield flow(table, 0, (), Goto(by_name[table.goto[0]]))


def _order(made: Flow) -> tuple[int, int, tuple[tuple[str, int, int], ...]]:
    return (
        made.table.number,
        -made.priority,
        tuple((field.name, value, -1 if mask is None else mask) for field, value, mask in made.match),
    )


def _meters(intent: BridgeIntent) -> tuple[MeterEntry, ...]:
    found: dict[int, MeterEntry] = {}
    for meter in chain(
        classify.announcement_meters(intent),
        act.reject_meters(intent),
        act.limit_meters(intent),
        admit.admit_meters(intent),
    ):
        found.setdefault(meter.number, meter)
    return tuple(found[number] for number in sorted(found))
