"""Out of a port: local, over the fabric with two tags, through a tunnel, to the uplinks, to everybody."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import BridgeIntent, Destination, TenantIntent
from zonewall.pipeline.cookie import Category
from zonewall.pipeline.make import flow
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
from zonewall.pipeline.packet_fields import ETH_TYPE, IN_PORT, TUN_DST, TUN_ID, VLAN_NUMBER, VLAN_VID
from zonewall.pipeline.stages.classify import broadcast_meter
from zonewall.pipeline.stages.guard import nd_type
from zonewall.pipeline.tables import (
    BROADCAST,
    DELIVER,
    FLOOD,
    FLOOD_LOCAL,
    FROM_ENDPOINT,
    FROM_FABRIC,
    FROM_UPLINK,
    ORIGIN,
    OUT_PORT,
    SECTION,
    SRC_QUARANTINED,
    TENANT,
    TO_UPLINK,
    VIA,
    VIA_LOCAL,
    VIA_UPLINK,
)

PORTS_IN_A_FLOOD_FLOW = 128


def deliver_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of deliver and to_uplink."""
    yield flow(DELIVER, 200, ((VIA, VIA_LOCAL, None), (OUT_PORT, 0, None)), category=Category.REFUSED)
    yield flow(DELIVER, 100, ((VIA, VIA_LOCAL, None),), OutputField(OUT_PORT), category=Category.DELIVERY)
    yield flow(DELIVER, 100, ((VIA, VIA_UPLINK, None),), Goto(TO_UPLINK), category=Category.DELIVERY)
    for destination in intent.destinations:
        if destination.tunnel_to is None:
            yield flow(
                DELIVER, 100, ((VIA, destination.number, None),), *_over_fabric(destination),
                category=Category.DELIVERY,
            )  # fmt: skip
        else:
            yield from _through_tunnel(intent, destination)
    for tenant in intent.tenants:
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


def _through_tunnel(intent: BridgeIntent, destination: Destination) -> Iterator[Flow]:
    for tenant in intent.tenants:
        match = ((VIA, destination.number, None), (TENANT, tenant.number, None))
        tun_id = SetField(TUN_ID, destination.number << 12 | tenant.number)
        peer = SetField(TUN_DST, int(destination.tunnel_to or 0))
        out = (tun_id, peer, Output(destination.ofport))
        yield flow(DELIVER, 100, match, *out, category=Category.DELIVERY)


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
    """Yield the flows of broadcast, flood and flood_local.

    What is flooded goes once to each bridge that has some of the tenant, which floods to its own ports only:
    there is no loop, whatever the links. Between them and the outside one bridge floods, for two uplinks of
    different bridges may lead to the same network.
    """
    if intent.tenants:
        isolated: Condition = (SRC_QUARANTINED, 1, None)
        for frame in (nd_type(134), *(((ETH_TYPE, number, None),) for number in sorted(intent.ethertypes))):
            yield flow(BROADCAST, 200, (isolated, *frame), category=Category.ISOLATION)
        for origin in range(2, 5):
            yield flow(BROADCAST, 50, ((ORIGIN, origin, None),), Goto(FLOOD), category=Category.DELIVERY)
    for tenant in intent.tenants:
        ports = []
        for endpoint in tenant.locals:
            if endpoint.delivers:
                ports.append(endpoint.ofport)
                meter = Meter(broadcast_meter(endpoint.ofport))
                match = ((IN_PORT, endpoint.ofport, None), (ORIGIN, FROM_ENDPOINT, None))
                yield flow(BROADCAST, 100, match, meter, Goto(FLOOD), category=Category.DELIVERY)
        yield from _flood(tenant)
        yield from _flood_local(tenant.number, ports)


def _flood(tenant: TenantIntent) -> Iterator[Flow]:
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


def _flood_local(tenant: int, ports: list[int]) -> Iterator[Flow]:
    chunks = [ports[at : at + PORTS_IN_A_FLOOD_FLOW] for at in range(0, len(ports), PORTS_IN_A_FLOOD_FLOW)]
    for index, chunk in enumerate(chunks):
        match = ((TENANT, tenant, None), (SECTION, index, None))
        out: list[Action] = [Output(port) for port in chunk]
        if index + 1 < len(chunks):
            out += [SetField(SECTION, index + 1), Resubmit(FLOOD_LOCAL)]
        yield flow(FLOOD_LOCAL, 100, match, *out, category=Category.DELIVERY)
