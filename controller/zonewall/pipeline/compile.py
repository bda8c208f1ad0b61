"""Intent to the program of one bridge: a union over subjects, in one order, no key twice.

A subject (an endpoint, a tenant, a rule's line, a path …) is a few values; its flows are a pure function of
them. ``compile_bridge`` makes all from nothing; ``flows.assembly`` remembers subjects and makes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from zonewall.errors import CompileError
from zonewall.intent.fleet import Fleet
from zonewall.intent.model import (
    BankFrame,
    BridgeIntent,
    BridgeParts,
    LocalEndpoint,
    TenantIntent,
    View,
)
from zonewall.intent.resolve import resolve_bridge
from zonewall.pipeline.make import flow
from zonewall.pipeline.meters import of_subject, strictest
from zonewall.pipeline.model import BridgeProgram, Condition, Flow, Goto, MeterEntry, Miss
from zonewall.pipeline.stages import (
    act,
    admit,
    chains,
    classify,
    connection_log,
    cut,
    deliver,
    dhcp,
    guard,
    mirror,
    state,
    take_up,
    verdict,
    who,
)
from zonewall.pipeline.tables import PIPELINE
from zonewall.placement.model import BridgeKey
from zonewall.values.names import BridgeName, HostName

NO_BRIDGE = BridgeKey(HostName(""), BridgeName(""))


def compile_bridge(fleet: Fleet, key: BridgeKey) -> BridgeProgram:
    """Return all that a bridge should hold; a pure function of policy, placement and numbering."""
    return program_of(resolve_bridge(fleet, key))


def program_of(parts: BridgeParts) -> BridgeProgram:
    """Return the flows and meters that carry an intent out.

    Raises:
        CompileError: two flows of one key that do different things; a subject that gives a meter two values.
    """
    meters: dict[int, MeterEntry] = {}
    for subject in _meters(parts):
        for meter in of_subject(subject):
            meters[meter.number] = strictest((meters.get(meter.number, meter), meter))
    flows = sorted(distinct(_flows(parts)), key=_order)
    return BridgeProgram(tuple(flows), (), tuple(meters[number] for number in sorted(meters)))


def distinct(flows: Iterator[Flow]) -> list[Flow]:
    """Return each flow once.

    Raises:
        CompileError: two flows of one key that do different things.
    """
    found: dict[tuple[int, int, tuple[Condition, ...]], Flow] = {}
    for made in flows:
        key = (made.table.number, -made.priority, made.match)
        other = found.setdefault(key, made)
        if other is not made and other.actions != made.actions:
            raise CompileError(f"{made.table.name}: two flows for {made.match} at priority {made.priority}")
    return list(found.values())


def _flows(parts: BridgeParts) -> Iterator[Flow]:
    frame = parts.frame
    yield from frame_flows(frame)
    for destination in parts.destinations:
        yield from deliver.path_flows(destination)
    moved = False
    for tenant in parts.tenants:
        yield from tenant_flows(frame, tenant.intent)
        yield from deliver.flood_local_flows(tenant.intent.number, tenant.intent.ports)
        for local in tenant.locals:
            yield from local_flows(tenant.view, local)
            if local.midstream and local.delivers and frame.judges:
                moved = True
        for remote in tenant.remotes:
            yield from who.known_flows(tenant.view, remote)
        for foreign in tenant.foreign:
            yield from who.foreign_flows(tenant.view, foreign)
    if moved:
        yield from take_up.take_up_flows(frame)
    for bank in parts.banks:
        yield from bank_flows(bank.frame, frame.has_legs)
        for index, lines in enumerate(bank.sections):
            for line in lines:
                yield from verdict.line_flows(bank.frame, index, line)


def _meters(parts: BridgeParts) -> Iterator[Iterator[MeterEntry]]:
    """Yield the meters of each subject."""
    yield frame_meters(parts.frame)
    for tenant in parts.tenants:
        yield tenant_meters(tenant.intent)
        for local in tenant.locals:
            yield local_meters(tenant.view, local)


def frame_flows(frame: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows that belong to the bridge as a whole."""
    yield from own_flows(frame)
    yield from alike_flows(alike(frame))


def own_flows(frame: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of a bridge as a whole that name it."""
    yield from classify.fabric_flows(frame)
    yield from chains.arrival_flows(frame)
    yield from connection_log.export_flows(frame)


def alike(frame: BridgeIntent) -> BridgeIntent:
    """Return what a bridge is as a whole, without what no other bridge has."""
    return replace(frame, key=NO_BRIDGE, number=0)


def alike_flows(frame: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of a bridge as a whole that all bridges have that are alike."""
    yield from miss_flows()
    for stage in (
        classify.port_flows,
        chains.leg_port_flows,
        guard.guard_flows,
        who.who_flows,
        state.quarantine_flows,
        state.track_flows,
        state.judge_flows,
        verdict.decided_flows,
        act.act_flows,
        cut.report_flows,
        cut.association_flows,
        cut.parted_flows,
        act.modify_flows,
        act.reject_flows,
        state.commit_flows,
        connection_log.log_flows,
        chains.chain_flows,
        chains.returned_flows,
        chains.service_flows,
        mirror.mirror_emit_flows,
        mirror.mirror_in_flows,
        mirror.silent_flows,
        deliver.flood_flows,
    ):
        yield from stage(frame)
    yield from deliver.deliver_flows()


def frame_meters(frame: BridgeIntent) -> Iterator[MeterEntry]:
    """Yield the meters that belong to the bridge as a whole."""
    if frame.rejects:
        yield from act.reject_meters(frame.uplink_ports)
    yield from cut.cut_meters(frame)
    yield from act.limit_meters(frame)
    yield from mirror.silent_meters(frame)
    yield from chains.probe_meters(frame)


def tenant_flows(frame: BridgeIntent, tenant: TenantIntent) -> Iterator[Flow]:
    """Yield a tenant's flows, but for its endpoints and rules."""
    yield from classify.uplink_flows(tenant)
    yield from classify.fabric_tenant_flows(frame, tenant)
    yield from who.outside_flows(tenant)
    yield from dhcp.dhcp_flows(tenant)
    yield from admit.admit_uplink_flows(tenant)
    yield from deliver.to_uplink_flows(tenant)
    yield from deliver.flood_tenant_flows(tenant)


def tenant_meters(tenant: TenantIntent) -> Iterator[MeterEntry]:
    """Yield the meters of a tenant as a whole."""
    yield from admit.admit_tenant_meters(tenant)
    yield from dhcp.dhcp_meters(tenant)


def local_flows(view: View, endpoint: LocalEndpoint) -> Iterator[Flow]:
    """Yield the flows of an endpoint at a port of this bridge."""
    yield classify.endpoint_port_flow(view, endpoint)
    yield from classify.announce_flows(endpoint)
    yield from guard.guard_endpoint_flows(endpoint)
    yield from who.known_flows(view, endpoint)
    yield from act.reject_port_flows(view, endpoint)
    yield from admit.admit_endpoint_flows(view, endpoint)
    yield from deliver.broadcast_port_flows(endpoint)


def local_meters(view: View, endpoint: LocalEndpoint) -> Iterator[MeterEntry]:
    """Yield the meters of an endpoint at a port of this bridge."""
    yield from classify.announcement_meters(view, endpoint)
    if view.rejects and endpoint.delivers:
        yield from act.reject_meters((endpoint.ofport,))
    yield from admit.admit_endpoint_meters(view, endpoint)


def bank_flows(bank: BankFrame, has_legs: bool) -> Iterator[Flow]:
    """Yield a bank's flows, but for its lines."""
    yield from chain(
        state.track_bank_flows(bank, has_legs),
        cut.isolated_flows(bank),
        verdict.onward_flows(bank),
        verdict.mirror_select_flows(bank),
    )


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
