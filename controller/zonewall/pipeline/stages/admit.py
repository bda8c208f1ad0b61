"""New connections by meters, on the bridge where they enter: a port's own, and a tenant's."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import LocalEndpoint, TenantIntent, View
from zonewall.pipeline.cookie import Category
from zonewall.pipeline.make import flow
from zonewall.pipeline.model import Action, Flow, Goto, Meter, MeterEntry, MeterUnit
from zonewall.pipeline.packet_fields import IN_PORT
from zonewall.pipeline.registers import FRESH, FROM_ENDPOINT, FROM_UPLINK, ORIGIN, TAKE_UP, TENANT, TURNED
from zonewall.pipeline.stages.classify import port_meter
from zonewall.pipeline.tables import ADMIT, COMMIT


def new_connection_meter(ofport: int) -> int:
    """Return the number of the port's meter for connections that it begins."""
    return port_meter(ofport, 4)


def endpoint_meter(ofport: int) -> int:
    """Return the number of the port's meter for all that it sends."""
    return port_meter(ofport, 5)


def admit_endpoint_flows(view: View, endpoint: LocalEndpoint) -> Iterator[Flow]:
    """Yield the flow for what an endpoint begins.

    Packets of connections that are not answered yet count, so that a flood cannot fill the tracking table.
    """
    limits = view.new_connections
    meters: list[Action] = []
    if limits.per_endpoint_per_s is not None:
        meters.append(Meter(new_connection_meter(endpoint.ofport)))
    if limits.tenant_meter is not None:
        meters.append(Meter(limits.tenant_meter))
    if endpoint.delivers and endpoint.limit is not None:
        meters.append(Meter(endpoint_meter(endpoint.ofport)))
        always = ((IN_PORT, endpoint.ofport, None), (ORIGIN, FROM_ENDPOINT, None))
        yield flow(ADMIT, 90, always, meters[-1], Goto(COMMIT), category=Category.MODIFIER)
        for taken_up in (TAKE_UP, TURNED):
            match = (*always, (taken_up, 1, None))
            yield flow(ADMIT, 120, match, meters[-1], Goto(COMMIT), category=Category.MODIFIER)
    if endpoint.delivers and meters:
        match = ((IN_PORT, endpoint.ofport, None), (ORIGIN, FROM_ENDPOINT, None), (FRESH, 1, None))
        yield flow(ADMIT, 100, match, *meters, Goto(COMMIT), category=Category.TRACK)


def admit_uplink_flows(tenant: TenantIntent) -> Iterator[Flow]:
    """Yield the flow for what comes from a tenant's uplinks."""
    meter = tenant.new_connections.tenant_meter
    if meter is not None:
        match = ((TENANT, tenant.number, None), (ORIGIN, FROM_UPLINK, None), (FRESH, 1, None))
        yield flow(ADMIT, 100, match, Meter(meter), Goto(COMMIT), category=Category.TRACK)


def admit_endpoint_meters(view: View, endpoint: LocalEndpoint) -> Iterator[MeterEntry]:
    """Yield the port's meter for connections that it begins; a burst of a second."""
    rate = view.new_connections.per_endpoint_per_s
    if rate is not None and endpoint.delivers:
        yield MeterEntry(new_connection_meter(endpoint.ofport), MeterUnit.PPS, rate, rate)
    limit = endpoint.limit
    if limit is not None and endpoint.delivers:
        unit = MeterUnit.PPS if limit.unit == "pps" else MeterUnit.KBPS
        yield MeterEntry(endpoint_meter(endpoint.ofport), unit, limit.rate, limit.rate)


def admit_tenant_meters(tenant: TenantIntent) -> Iterator[MeterEntry]:
    """Yield the tenant's meter for connections that begin here; a burst of a second."""
    limits = tenant.new_connections
    if limits.tenant_meter is not None:
        most = limits.per_tenant_per_s or 1
        yield MeterEntry(limits.tenant_meter, MeterUnit.PPS, most, most)
