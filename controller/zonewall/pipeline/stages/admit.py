"""New connections by meters, on the bridge where they enter: a port's own, and a tenant's."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import BridgeIntent
from zonewall.pipeline.cookie import Category
from zonewall.pipeline.make import flow
from zonewall.pipeline.model import Action, Flow, Goto, Meter, MeterEntry, MeterUnit
from zonewall.pipeline.packet_fields import CT_NEW, IN_PORT
from zonewall.pipeline.stages.state import state_condition
from zonewall.pipeline.tables import ADMIT, COMMIT, FROM_ENDPOINT, FROM_UPLINK, ORIGIN, TENANT


def new_connection_meter(ofport: int) -> int:
    """Return the number of the port's meter for connections that it begins; the fourth of its four."""
    return ofport % 8191 * 4 + 4


def admit_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield a flow for each local endpoint, and one for what comes from a tenant's uplinks.

    Packets of connections that are not answered yet count, so that a flood cannot fill the tracking table.
    """
    limits = intent.new_connections
    shared = dict(limits.tenant_meters)
    new = state_condition(CT_NEW)
    for tenant in intent.tenants:
        tenants: tuple[Action, ...] = ()
        if tenant.number in shared:
            tenants = (Meter(shared[tenant.number]),)
            match = ((TENANT, tenant.number, None), (ORIGIN, FROM_UPLINK, None), new)
            yield flow(ADMIT, 100, match, *tenants, Goto(COMMIT), category=Category.TRACK)
        for endpoint in tenant.locals:
            own: tuple[Action, ...] = ()
            if limits.per_endpoint_per_s is not None:
                own = (Meter(new_connection_meter(endpoint.ofport)),)
            if endpoint.delivers and (own or tenants):
                match = ((IN_PORT, endpoint.ofport, None), (ORIGIN, FROM_ENDPOINT, None), new)
                yield flow(ADMIT, 100, match, *own, *tenants, Goto(COMMIT), category=Category.TRACK)


def admit_meters(intent: BridgeIntent) -> Iterator[MeterEntry]:
    """Yield the meters that these flows name; a burst of a second."""
    limits = intent.new_connections
    rate = limits.per_endpoint_per_s
    if rate is not None:
        for tenant in intent.tenants:
            for endpoint in tenant.locals:
                if endpoint.delivers:
                    yield MeterEntry(new_connection_meter(endpoint.ofport), MeterUnit.PPS, rate, rate)
    for _, meter in limits.tenant_meters:
        most = limits.per_tenant_per_s or 1
        yield MeterEntry(meter, MeterUnit.PPS, most, most)
