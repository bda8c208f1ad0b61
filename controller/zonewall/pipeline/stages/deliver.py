"""Out of a port: local, over the fabric with two tags, through a tunnel, to the uplinks, to everybody."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache

from zonewall.intent.model import BridgeIntent, Destination, LocalEndpoint, TenantIntent
from zonewall.pipeline.cookie import Category
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import tagged
from zonewall.pipeline.model import (
    Action,
    Clone,
    Condition,
    Flow,
    Goto,
    Meter,
    Move,
    Output,
    OutputField,
    PushVlan,
    Resubmit,
    SetField,
)
from zonewall.pipeline.packet_fields import (
    ETH_TYPE,
    IN_PORT,
    TUN_DST,
    TUN_ID,
    TUN_TENANT,
    VLAN_NUMBER,
    VLAN_VID,
)
from zonewall.pipeline.registers import (
    FROM_ENDPOINT,
    FROM_FABRIC,
    FROM_UPLINK,
    ORIGIN,
    OUT_PORT,
    SECTION,
    SRC_QUARANTINED,
    TENANT,
    VIA,
    VIA_LOCAL,
    VIA_UPLINK,
)
from zonewall.pipeline.stages.classify import broadcast_meter
from zonewall.pipeline.stages.guard import nd_type
from zonewall.pipeline.tables import BROADCAST, DELIVER, FABRIC_IN, FLOOD, FLOOD_LOCAL, TO_UPLINK

PORTS_IN_A_FLOOD_FLOW = 256
"""By number, so that a port that comes or goes changes one flow; all numbers need 255 sections."""


def deliver_flows() -> Iterator[Flow]:
    """Yield the flows of deliver that are the same on every bridge."""
    yield flow(DELIVER, 200, ((VIA, VIA_LOCAL, None), (OUT_PORT, 0, None)), category=Category.REFUSED)
    yield flow(DELIVER, 100, ((VIA, VIA_LOCAL, None),), OutputField(OUT_PORT), category=Category.DELIVERY)
    yield flow(DELIVER, 100, ((VIA, VIA_UPLINK, None),), Goto(TO_UPLINK), category=Category.DELIVERY)


def path_flows(destination: Destination) -> Iterator[Flow]:
    """Yield the flows of deliver and fabric_in for a destination elsewhere."""
    match = ((VIA, destination.number, None),)
    if destination.tunnel_to is not None:
        yield flow(DELIVER, 100, match, *_through_tunnel(destination), category=Category.DELIVERY)
        return
    yield flow(DELIVER, 100, match, *_over_fabric(destination), category=Category.DELIVERY)
    yield flow(
        FABRIC_IN, 200, (tagged(destination.number),), Output(destination.ofport), category=Category.DELIVERY
    )


def to_uplink_flows(tenant: TenantIntent) -> Iterator[Flow]:
    """Yield the flow of to_uplink for a tenant that has one here."""
    if tenant.uplinks:
        view = ((TENANT, tenant.number, None),)
        yield flow(TO_UPLINK, 100, view, *_to_uplinks(tenant), category=Category.DELIVERY)


def _over_fabric(destination: Destination) -> tuple[Action, ...]:
    """Return the inner tag, the tenant, and the outer one, the destination (IEEE 802.1Q, twice)."""
    return (
        PushVlan(), Move(TENANT, VLAN_NUMBER),
        PushVlan(), SetField(VLAN_VID, 0x1000 | destination.number),
        Output(destination.ofport),
    )  # fmt: skip


def _through_tunnel(destination: Destination) -> tuple[Action, ...]:
    """Return the tunnel's number, destination above tenant (24 bits: RFC 8926, 3.4), and the far end."""
    return (
        SetField(TUN_ID, destination.number << 12), Move(TENANT, TUN_TENANT),
        SetField(TUN_DST, int(destination.tunnel_to or 0)), Output(destination.ofport),
    )  # fmt: skip


def _to_uplinks(tenant: TenantIntent) -> tuple[Action, ...]:
    actions: list[Action] = []
    for uplink in tenant.uplinks:
        if uplink.vlan == 0:
            actions.append(Output(uplink.ofport))
        else:
            tag = SetField(VLAN_VID, 0x1000 | uplink.vlan)
            actions.append(Clone((PushVlan(), tag, Output(uplink.ofport))))
    return tuple(actions)


def flood_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of broadcast that are the same for every port.

    What is flooded goes once to each bridge that has some of the tenant, which floods to its own ports only:
    there is no loop, whatever the links. Between them and the outside one bridge floods, for two uplinks of
    different bridges may lead to the same network.
    """
    if intent.populated:
        isolated: Condition = (SRC_QUARANTINED, 1, None)
        for frame in (nd_type(134), *(((ETH_TYPE, number, None),) for number in sorted(intent.ethertypes))):
            yield flow(BROADCAST, 200, (isolated, *frame), category=Category.ISOLATION)
        for origin in range(2, 5):
            yield flow(BROADCAST, 50, ((ORIGIN, origin, None),), Goto(FLOOD), category=Category.DELIVERY)


def broadcast_port_flows(endpoint: LocalEndpoint) -> Iterator[Flow]:
    """Yield the flow of broadcast for an endpoint's port, by the port's meter."""
    if endpoint.delivers:
        meter = Meter(broadcast_meter(endpoint.ofport))
        match = ((IN_PORT, endpoint.ofport, None), (ORIGIN, FROM_ENDPOINT, None))
        yield flow(BROADCAST, 100, match, meter, Goto(FLOOD), category=Category.DELIVERY)


def flood_tenant_flows(tenant: TenantIntent) -> Iterator[Flow]:
    """Yield the flows of flood for a tenant: once to each of its bridges, and to and from the outside."""
    view = (TENANT, tenant.number, None)
    local = (SetField(SECTION, 0), Goto(FLOOD_LOCAL))
    abroad: list[Action] = [Clone((SetField(VIA, number), Resubmit(DELIVER))) for number in tenant.flood]
    uplinks: list[Action] = []
    if tenant.uplinks and tenant.floods_outside:
        uplinks = [Clone((Resubmit(TO_UPLINK),))]
    elif tenant.uplinks:
        yield flow(FLOOD, 300, (view, (ORIGIN, FROM_UPLINK, None)), category=Category.REFUSED)
    came_over = (view, (ORIGIN, FROM_FABRIC, None))
    yield flow(FLOOD, 200, came_over, *uplinks, *local, category=Category.DELIVERY)
    yield flow(FLOOD, 100, (view,), *abroad, *uplinks, *local, category=Category.DELIVERY)


def flood_local_flows(tenant: int, ports: tuple[int, ...]) -> Iterator[Flow]:
    """Yield the flows of flood_local for a tenant's ports here: one for each range of numbers."""
    ranges = flood_ranges(ports)
    for index, some in enumerate(ranges):
        yield flood_range_flow(tenant, index, some, index + 1 == len(ranges))


def flood_ranges(ports: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return sorted ports by ranges of numbers, those that are empty left out."""
    ranges, start = [], 0
    while start < len(ports):
        beyond = (ports[start] // PORTS_IN_A_FLOOD_FLOW + 1) * PORTS_IN_A_FLOOD_FLOW
        end = bisect_left(ports, beyond, start)
        ranges.append(ports[start:end])
        start = end
    return ranges


_output = lru_cache(maxsize=4096)(Output)
"""Makes each once, as there is one for every port of a tenant whenever one comes."""


def flood_range_flow(tenant: int, index: int, ports: tuple[int, ...], is_last: bool) -> Flow:
    """Return the flow that floods to some ports and goes on to the next range, if there is one."""
    out: list[Action] = [_output(port) for port in ports]
    if not is_last:
        out += [SetField(SECTION, index + 1), Resubmit(FLOOD_LOCAL)]
    match = ((TENANT, tenant, None), (SECTION, index, None))
    return flow(FLOOD_LOCAL, 100, match, *out, category=Category.DELIVERY)
