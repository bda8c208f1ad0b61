"""Which kind of port, which tenant; and what comes from other bridges, before its source is known."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import BridgeIntent, LocalEndpoint, TenantIntent, View
from zonewall.pipeline.cookie import Category, Reason
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import ARP_FRAME, IPV6, UNTAGGED, tagged
from zonewall.pipeline.model import (
    Action,
    Flow,
    Goto,
    MeterEntry,
    MeterUnit,
    Output,
    PopVlan,
    SetField,
    ToController,
)
from zonewall.pipeline.packet_fields import (
    ETH_LLDP,
    ETH_RARP,
    ETH_SRC,
    ETH_TYPE,
    ICMPV6_TYPE,
    IN_PORT,
    IP_PROTO,
    TUN_ID,
    TUN_SRC,
)
from zonewall.pipeline.registers import (
    BANK,
    FROM_ENDPOINT,
    FROM_FABRIC,
    FROM_UPLINK,
    ORIGIN,
    OUT_PORT,
    SRC_MOVED,
    SRC_QUARANTINED,
    TENANT,
)
from zonewall.pipeline.tables import (
    ANNOUNCE,
    CLASSIFY,
    FABRIC_IN,
    FABRIC_TENANT,
    GUARD,
    MIRROR_IN,
    OVERLAY_IN,
    SOURCE,
)
from zonewall.placement.model import BindingState

ANNOUNCEMENT_BYTES = 128
GRANT_BYTES = 1024
"""As much as is read of what a DHCP server says, or its client; what tells of the lease comes within it."""


OWN_METERS = 6552
"""Ports whose numbers differ by a multiple of it share their five meters, which are the lower half of all."""


def port_meter(ofport: int, which: int) -> int:
    """Return the number of one of the port's meters, the first to the fifth."""
    return ofport % OWN_METERS * 5 + which


def announcement_meter(ofport: int) -> int:
    """Return the number of the port's meter for what the controller is told of it."""
    return port_meter(ofport, 1)


def broadcast_meter(ofport: int) -> int:
    """Return the number of the port's meter for what is flooded."""
    return port_meter(ofport, 2)


def reject_meter(ofport: int) -> int:
    """Return the number of the port's meter for what the controller answers with a reject."""
    return port_meter(ofport, 3)


def port_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of classify for the bridge's own ports: links, tunnels, mirror targets, the host."""
    for ofport in intent.fabric_ports:
        yield flow(CLASSIFY, 200, ((IN_PORT, ofport, None),), Goto(FABRIC_IN), category=Category.PORT)
    for ofport, peer in intent.tunnel_peers:
        if peer.version == 4:
            match = ((IN_PORT, ofport, None), (TUN_SRC, int(peer), None))
            yield flow(CLASSIFY, 200, match, Goto(OVERLAY_IN), category=Category.PORT)
    yield from _host(intent)


def uplink_flows(tenant: TenantIntent) -> Iterator[Flow]:
    """Yield the flows of classify for a tenant's uplinks."""
    for uplink in tenant.uplinks:
        vlan = UNTAGGED if uplink.vlan == 0 else tagged(uplink.vlan)
        pop: tuple[Action, ...] = () if uplink.vlan == 0 else (PopVlan(),)
        yield flow(
            CLASSIFY, 200, ((IN_PORT, uplink.ofport, None), vlan),
            *pop, *_enter(tenant.number, tenant.bank, FROM_UPLINK), Goto(SOURCE),
            category=Category.PORT,
        )  # fmt: skip


def announce_flows(endpoint: LocalEndpoint) -> Iterator[Flow]:
    """Yield the flows that bring the announcements of a waiting or left port to the controller."""
    if endpoint.delivers:
        return
    copy = ToController(bytes([Reason.ANNOUNCEMENT]), announcement_meter(endpoint.ofport), ANNOUNCEMENT_BYTES)
    port = (IN_PORT, endpoint.ofport, None)
    for match in (
        (port, (ETH_TYPE, ETH_RARP, None)),
        (port, ARP_FRAME),
        (port, IPV6, (IP_PROTO, 58, None), (ICMPV6_TYPE, 136, None)),
    ):
        yield flow(ANNOUNCE, 100, match, copy, category=Category.GUARD)


def announcement_meters(view: View, endpoint: LocalEndpoint) -> Iterator[MeterEntry]:
    """Yield the meters of a port that can announce or flood."""
    rate = view.announcements_per_s
    number = (broadcast_meter if endpoint.delivers else announcement_meter)(endpoint.ofport)
    yield MeterEntry(number, MeterUnit.PPS, rate, rate)
    tells = endpoint.learns or endpoint.claims or endpoint.unaddressed
    if endpoint.delivers and "dhcp-server" not in endpoint.roles and tells:
        yield MeterEntry(announcement_meter(endpoint.ofport), MeterUnit.PPS, rate, rate)


def fabric_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows for what comes over links and tunnels: mine, or a copy."""
    if intent.fabric_ports:
        lldp = ToController(bytes([Reason.DISCOVERY]), None, 512)
        yield flow(FABRIC_IN, 300, (UNTAGGED, (ETH_TYPE, ETH_LLDP, None)), lldp, category=Category.PORT)
    yield flow(
        FABRIC_IN, 200, (tagged(intent.number),), PopVlan(), Goto(FABRIC_TENANT), category=Category.DELIVERY
    )
    for sink in intent.sinks_here:
        number = sink.destination or 0
        to_sink = (PopVlan(), SetField(OUT_PORT, sink.ofport or 0), Goto(MIRROR_IN))
        yield flow(FABRIC_IN, 200, (tagged(number),), *to_sink, category=Category.MIRROR)


def fabric_tenant_flows(intent: BridgeIntent, tenant: TenantIntent) -> Iterator[Flow]:
    """Yield the flows for a tenant's frames that come over links and tunnels."""
    enter = (*_enter(tenant.number, tenant.bank, FROM_FABRIC), Goto(SOURCE))
    yield flow(FABRIC_TENANT, 100, (tagged(tenant.number),), PopVlan(), *enter, category=Category.PORT)
    if intent.tunnel_peers:
        tun_id = (TUN_ID, intent.number << 12 | tenant.number, None)
        yield flow(OVERLAY_IN, 200, (tun_id,), *enter, category=Category.PORT)


def endpoint_port_flow(view: View, endpoint: LocalEndpoint) -> Flow:
    """Return the flow of classify for an endpoint's port."""
    match = ((IN_PORT, endpoint.ofport, None), (ETH_SRC, endpoint.mac, None), UNTAGGED)
    if not endpoint.delivers:
        return flow(CLASSIFY, 100, match, Goto(ANNOUNCE), category=Category.PORT)
    marks: tuple[Action, ...] = ()
    if endpoint.state is BindingState.QUARANTINED:
        marks = (SetField(SRC_QUARANTINED, 1),)
    if endpoint.midstream:
        marks += (SetField(SRC_MOVED, 1),)
    enter = _enter(view.tenant, view.bank, FROM_ENDPOINT)
    return flow(CLASSIFY, 100, match, *enter, *marks, Goto(GUARD), category=Category.PORT)


def _enter(tenant: int, bank: int, origin: int) -> tuple[Action, ...]:
    return (SetField(TENANT, tenant), SetField(BANK, bank), SetField(ORIGIN, origin))


def _host(intent: BridgeIntent) -> Iterator[Flow]:
    """Keep the host's own connections open: its port and the uplinks' untagged frames, if no tenant's."""
    if intent.host_port is None or not intent.host_uplinks:
        return
    out = tuple(Output(ofport) for ofport in intent.host_uplinks)
    yield flow(CLASSIFY, 300, ((IN_PORT, intent.host_port, None), UNTAGGED), *out, category=Category.PORT)
    for ofport in intent.host_uplinks:
        yield flow(
            CLASSIFY, 300, ((IN_PORT, ofport, None), UNTAGGED), Output(intent.host_port),
            category=Category.PORT,
        )  # fmt: skip
