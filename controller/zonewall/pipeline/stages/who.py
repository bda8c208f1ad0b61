"""Who sent it, who is it for: addresses to identities, per tenant; and whom an ARP or ND is sent to."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import (
    EVERY_JOINED,
    Address,
    BridgeIntent,
    ForeignEndpoint,
    LocalEndpoint,
    RemoteEndpoint,
    TenantIntent,
    View,
)
from zonewall.pipeline.cookie import Category
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import (
    ARP_FRAME,
    GROUP,
    IPV4,
    IPV6,
    destination_in,
    prefix_condition,
    source_in,
)
from zonewall.pipeline.model import Action, Condition, Flow, Goto, SetField
from zonewall.pipeline.packet_fields import (
    ARP_SHA,
    ARP_SPA,
    ARP_TPA,
    ETH_DST,
    ETH_RARP,
    ETH_SRC,
    ETH_TYPE,
    IN_PORT,
    IP_PROTO,
    IPV4_DST,
    IPV6_DST,
    ND_TARGET,
    UDP_DST,
)
from zonewall.pipeline.registers import (
    ASKED_OTHERS,
    BANK,
    DST_ENDPOINT,
    DST_IDENTITY,
    DST_MOVED,
    DST_QUARANTINED,
    FROM_FABRIC,
    FROM_UPLINK,
    NO_ENDPOINT,
    ORIGIN,
    OUT_PORT,
    OUTSIDE_ENDPOINT,
    PICK,
    SRC_IDENTITY,
    SRC_LOCAL,
    SRC_QUARANTINED,
    TENANT,
    VIA,
    VIA_UPLINK,
)
from zonewall.pipeline.stages.guard import DHCP_REPLIES, DHCP_REQUESTS, NA, NS, nd_type
from zonewall.pipeline.tables import ARP, BIND, BROADCAST, DHCP, MULTICAST, ND, QUARANTINE, RESOLVE, SOURCE
from zonewall.placement.model import BindingState
from zonewall.values.addresses import MacAddress, link_local_address

_ICMPV6: Condition = (IP_PROTO, 58, None)

MULTICAST_GROUPS: dict[str, tuple[tuple[Condition, ...], ...]] = {
    "vrrp": (
        (IPV4, (IP_PROTO, 112, None), (IPV4_DST, 0xE0000012, None)),
        (IPV6, (IP_PROTO, 112, None), (IPV6_DST, 0xFF02 << 112 | 0x12, None)),
    ),
    "mdns": (
        (IPV4, (IP_PROTO, 17, None), (IPV4_DST, 0xE00000FB, None), (UDP_DST, 5353, None)),
        (IPV6, (IP_PROTO, 17, None), (IPV6_DST, 0xFF02 << 112 | 0xFB, None), (UDP_DST, 5353, None)),
    ),
}
"""What ``multicast:`` may name (RFC 9568 VRRP, RFC 6762 mDNS)."""

Known = LocalEndpoint | RemoteEndpoint


def who_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of source, arp, nd, resolve and multicast that are the same for every tenant."""
    if intent.populated:
        yield from _for_everyone(intent)


def known_flows(view: View, endpoint: Known) -> Iterator[Flow]:
    """Yield what leads to one of the tenant's endpoints, by address and by MAC, and who it is as a source."""
    if isinstance(endpoint, LocalEndpoint) and not endpoint.delivers:
        return
    tenant: Condition = (TENANT, view.tenant, None)
    yield from _destinations(tenant, endpoint, (), ())
    if isinstance(endpoint, LocalEndpoint):
        yield from _unseen(endpoint)
    yield from _sources(view, tenant, endpoint)
    yield from _bound(tenant, endpoint, view.by_mac)
    if "router" in endpoint.roles:
        match = (tenant, (ETH_DST, endpoint.mac, None))
        yield flow(BIND, 80, match, *_isolated(endpoint), *_way(endpoint), category=Category.DELIVERY)


def foreign_flows(view: View, foreign: ForeignEndpoint) -> Iterator[Flow]:
    """Yield what leads to another tenant's endpoint that this one can reach, and who it is as a source."""
    tenant: Condition = (TENANT, view.tenant, None)
    asked = SetField(PICK, ASKED_OTHERS | foreign.tenant)
    yield from _destinations(tenant, foreign.endpoint, (SetField(BANK, foreign.bank),), (asked,))
    for address in foreign.endpoint.addresses:
        yield _source(tenant, address, (), 2000)
    yield from _bound(tenant, foreign.endpoint, by_mac=False)


def _for_everyone(intent: BridgeIntent) -> Iterator[Flow]:
    yield flow(SOURCE, 100, ((ETH_TYPE, ETH_RARP, None),), Goto(BROADCAST), category=Category.WHO)
    yield flow(SOURCE, 100, (ARP_FRAME,), Goto(ARP), category=Category.WHO)
    yield flow(SOURCE, 4000, nd_type(136), Goto(ND), category=Category.WHO)
    yield flow(SOURCE, 4000, nd_type(134), Goto(BROADCAST), category=Category.WHO)
    # Questions come after the refusal of an endpoint's address from outside: who hears one learns from it
    # where its sender is (RFC 4861, sections 6.2.6 and 7.2.3). Those of who may have it come by resolve.
    for number in (133, 135):
        yield flow(SOURCE, 2900, nd_type(number), Goto(ND), category=Category.WHO)
        yield flow(RESOLVE, 60000, nd_type(number), Goto(ND), category=Category.WHO)
    yield flow(ND, 500, nd_type(133), Goto(BROADCAST), category=Category.WHO)
    for ethertype in sorted(intent.ethertypes):
        yield flow(SOURCE, 100, ((ETH_TYPE, ethertype, None),), Goto(BIND), category=Category.WHO)
        yield flow(SOURCE, 110, ((ETH_TYPE, ethertype, None), GROUP), Goto(BROADCAST), category=Category.WHO)
    for said in DHCP_REQUESTS + DHCP_REPLIES:
        yield flow(SOURCE, 5000, said, Goto(DHCP), category=Category.WHO)
        yield flow(RESOLVE, 60000, said, Goto(DHCP), category=Category.WHO)
    for group in (
        (IPV4, (IPV4_DST, 0xE0000000, 0xF0000000)),
        (IPV4, (IPV4_DST, 0xFFFFFFFF, None)),
        (IPV6, (IPV6_DST, 0xFF << 120, 0xFF << 120)),
    ):
        yield flow(RESOLVE, 50000, group, Goto(MULTICAST), category=Category.WHO)
    if intent.multicast:
        yield flow(MULTICAST, 200, ((SRC_QUARANTINED, 1, None),), category=Category.ISOLATION)
    for name in sorted(intent.multicast & MULTICAST_GROUPS.keys()):
        for match in MULTICAST_GROUPS[name]:
            yield flow(MULTICAST, 100, match, Goto(BROADCAST), category=Category.WHO)


def _unseen(endpoint: LocalEndpoint) -> Iterator[Flow]:
    """Refuse its questions and answers to joined tenants that do not see it: who hears one believes it."""
    port: Condition = (IN_PORT, endpoint.ofport, None)
    for tenant in endpoint.unseen_by:
        asked: Condition = (PICK, ASKED_OTHERS | tenant, None)
        if tenant == EVERY_JOINED:
            asked = (PICK, ASKED_OTHERS, ASKED_OTHERS)
        yield flow(BIND, 110, (port, asked), category=Category.REFUSED)


def _destinations(
    view: Condition, endpoint: Known, extra: tuple[Action, ...], asked: tuple[Action, ...]
) -> Iterator[Flow]:
    """Yield what leads to an endpoint: its identity by address, and where ARP and ND for it go."""
    number = SetField(DST_ENDPOINT, endpoint.number)
    quarantined = _isolated(endpoint)
    told = (number, *asked, Goto(BIND))
    directed = (SetField(ETH_DST, endpoint.mac), *told)
    for address in endpoint.addresses:
        yield flow(
            RESOLVE, 1000 + address.prefix.prefixlen, (view, *destination_in(address.prefix)),
            SetField(DST_IDENTITY, address.identity), number, *quarantined, *extra, Goto(BIND),
            category=Category.WHO,
        )  # fmt: skip
        if address.is_range and address.prefix.prefixlen == address.prefix.max_prefixlen:
            yield _told_to_all(view, address)
        if address.prefix.version == 4:
            match = (view, ARP_FRAME, *prefix_condition(ARP_TPA, address.prefix))
            yield flow(ARP, 100 + address.prefix.prefixlen, match, *directed, category=Category.WHO)
        else:
            match = (view, IPV6, _ICMPV6, NS, *prefix_condition(ND_TARGET, address.prefix))
            yield flow(ND, 100 + address.prefix.prefixlen, match, *directed, category=Category.WHO)
            answer = (view, IPV6, _ICMPV6, NA, *prefix_condition(IPV6_DST, address.prefix))
            yield flow(ND, 100 + address.prefix.prefixlen, answer, *told, category=Category.WHO)
    if endpoint.has_link_local:
        yield from _link_local(view, endpoint, directed, told)


def _told_to_all(view: Condition, address: Address) -> Flow:
    """Return what floods the announcement of an address that may have been another endpoint's till now."""
    value = int(address.prefix.network_address)
    if address.prefix.version == 4:
        match: tuple[Condition, ...] = (view, ARP_FRAME, (ARP_SPA, value, None), (ARP_TPA, value, None))
        return flow(ARP, 200, match, Goto(BROADCAST), category=Category.WHO)
    everyone = (IPV6_DST, 0xFF02 << 112 | 1, None)
    match = (view, IPV6, _ICMPV6, NA, (ND_TARGET, value, None), everyone)
    return flow(ND, 400, match, Goto(BROADCAST), category=Category.WHO)


def _link_local(
    view: Condition, endpoint: Known, directed: tuple[Action, ...], told: tuple[Action, ...]
) -> Iterator[Flow]:
    """Yield where neighbour discovery for, and answers to, the link-local address go."""
    own = int(link_local_address(endpoint.mac))
    asked = (view, IPV6, _ICMPV6, NS, (ND_TARGET, own, None))
    yield flow(ND, 300, asked, *directed, category=Category.WHO)
    answered = (view, IPV6, _ICMPV6, NA, (IPV6_DST, own, None))
    yield flow(ND, 300, answered, *told, category=Category.WHO)


def _sources(view: View, tenant: Condition, endpoint: Known) -> Iterator[Flow]:
    """Yield whose the source address of what came over a link, an uplink or out of an appliance is."""
    from_uplink: Condition = (ORIGIN, FROM_UPLINK, None)
    for address in endpoint.addresses:
        if isinstance(endpoint, RemoteEndpoint):
            yield _source(tenant, address, (), 2000)
        elif view.local_sources:
            yield _source(tenant, address, (), 2000, SetField(SRC_LOCAL, 1))
        if view.routers is None:
            continue
        if isinstance(endpoint, RemoteEndpoint) and endpoint.via == VIA_UPLINK:
            yield _source(tenant, address, (from_uplink, (ETH_SRC, endpoint.mac, None)), 3100)
            if address.prefix.version == 4:
                spa = (*prefix_condition(ARP_SPA, address.prefix), (ARP_SHA, endpoint.mac, None))
                match = (tenant, from_uplink, ARP_FRAME, *spa)
                yield flow(SOURCE, 300, match, Goto(ARP), category=Category.WHO)
        yield from _refused_from_uplink((tenant, from_uplink), view.routers, address)


def _source(view: Condition, address: Address, more: tuple[Condition, ...], base: int, *also: Action) -> Flow:
    return flow(
        SOURCE, base + address.prefix.prefixlen, (view, *more, *source_in(address.prefix)),
        SetField(SRC_IDENTITY, address.identity), *also, Goto(RESOLVE),
        category=Category.WHO,
    )  # fmt: skip


def _refused_from_uplink(
    view: tuple[Condition, ...], routers: tuple[MacAddress, ...], address: Address
) -> Iterator[Flow]:
    """Yield the refusal of an endpoint's address that comes from outside, but by a listed router."""
    plen = address.prefix.prefixlen
    for router in routers:
        match = (*view, (ETH_SRC, router, None), *source_in(address.prefix))
        yield flow(
            SOURCE, 3200 + plen, match, SetField(SRC_IDENTITY, address.identity), Goto(RESOLVE),
            category=Category.WHO,
        )  # fmt: skip
    yield flow(SOURCE, 3000 + plen, (*view, *source_in(address.prefix)), category=Category.REFUSED)
    if address.prefix.version == 4:
        match = (*view, ARP_FRAME, *prefix_condition(ARP_SPA, address.prefix))
        yield flow(SOURCE, 200, match, category=Category.REFUSED)
    else:
        match = (*view, IPV6, _ICMPV6, NA, *prefix_condition(ND_TARGET, address.prefix))
        yield flow(SOURCE, 4100, match, category=Category.REFUSED)


def outside_flows(tenant: TenantIntent) -> Iterator[Flow]:
    """Yield the tenant's outside prefixes, both ways, and where what is for the outside goes."""
    view: Condition = (TENANT, tenant.number, None)
    if tenant.uplinks:
        # Between tenants both ends are endpoints: nobody outside asks another tenant's, or is believed there.
        asked = ((ORIGIN, FROM_UPLINK, None), (PICK, ASKED_OTHERS, ASKED_OTHERS))
        yield flow(BIND, 110, (view, *asked), category=Category.REFUSED)
    away = SetField(DST_ENDPOINT, OUTSIDE_ENDPOINT)
    for prefix, identity in tenant.outside:
        yield flow(
            RESOLVE, 100 + prefix.prefixlen, (view, *destination_in(prefix)),
            SetField(DST_IDENTITY, identity), away, Goto(BIND),
            category=Category.WHO,
        )  # fmt: skip
        yield flow(
            SOURCE, 1000 + prefix.prefixlen, (view, *source_in(prefix)),
            SetField(SRC_IDENTITY, identity), Goto(RESOLVE),
            category=Category.WHO,
        )  # fmt: skip
    if tenant.gateway is not None:
        yield flow(ARP, 50, (view, ARP_FRAME), away, Goto(BIND), category=Category.WHO)
        for number in (135, 136):
            yield flow(ND, 50, (view, *nd_type(number)), away, Goto(BIND), category=Category.WHO)
        yield from _to_gateway(tenant, view)


def _bound(view: Condition, endpoint: Known, by_mac: bool) -> Iterator[Flow]:
    mac: Condition = (ETH_DST, endpoint.mac, None)
    match = (view, mac, (DST_ENDPOINT, endpoint.number, None))
    yield flow(BIND, 100, match, *_way(endpoint), category=Category.DELIVERY)
    if by_mac:
        match = (view, mac, (DST_ENDPOINT, NO_ENDPOINT, None))
        yield flow(BIND, 100, match, *_isolated(endpoint), *_way(endpoint), category=Category.DELIVERY)


def _isolated(endpoint: Known) -> tuple[Action, ...]:
    """Return the mark that the destination is isolated, if it is so here."""
    if isinstance(endpoint, LocalEndpoint) and endpoint.state is BindingState.QUARANTINED:
        return (SetField(DST_QUARANTINED, 1),)
    return ()


def _way(endpoint: Known) -> tuple[Action, ...]:
    if isinstance(endpoint, LocalEndpoint):
        moved = (SetField(DST_MOVED, 1),) if endpoint.midstream else ()
        return (SetField(OUT_PORT, endpoint.ofport), *moved, Goto(QUARANTINE))
    return (SetField(VIA, endpoint.via), Goto(QUARANTINE))


def _to_gateway(tenant: TenantIntent, view: Condition) -> Iterator[Flow]:
    if tenant.gateway is None:
        return
    way = (SetField(VIA, tenant.gateway), Goto(QUARANTINE))
    for mac in tenant.routers:
        yield flow(BIND, 80, (view, (ETH_DST, mac, None)), *way, category=Category.DELIVERY)
    match: tuple[Condition, ...] = (view, (DST_ENDPOINT, OUTSIDE_ENDPOINT, None))
    if tenant.gateway != VIA_UPLINK:
        came_here = (*match, (ORIGIN, FROM_FABRIC, None))
        yield flow(BIND, 60, came_here, category=Category.REFUSED)
    yield flow(BIND, 50, match, *way, category=Category.DELIVERY)
