"""May this endpoint say that? Addresses stand here, and nowhere in the policy tables."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import BridgeIntent, LocalEndpoint
from zonewall.pipeline.cookie import Category, Reason
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import ARP_FRAME, GROUP, IPV4, IPV6, prefix_condition, source_in
from zonewall.pipeline.model import Condition, Flow, Goto, SetField, ToController
from zonewall.pipeline.packet_fields import (
    ARP_OP,
    ARP_SHA,
    ARP_SPA,
    ETH_RARP,
    ETH_TYPE,
    ICMPV6_TYPE,
    IN_PORT,
    IP_PROTO,
    IPV4_SRC,
    IPV6_DST,
    IPV6_SRC,
    ND_SLL,
    ND_TARGET,
    ND_TLL,
    UDP_DST,
    UDP_SRC,
)
from zonewall.pipeline.registers import SRC_IDENTITY
from zonewall.pipeline.stages.classify import ANNOUNCEMENT_BYTES, GRANT_BYTES, announcement_meter
from zonewall.pipeline.tables import (
    ARP,
    BIND,
    BROADCAST,
    DHCP,
    GUARD,
    GUARD_ND,
    GUARD_ND_ADDRESS,
    ND,
    RESOLVE,
    SOURCE,
)
from zonewall.values.addresses import host_prefix, link_local_address

_ICMPV6: Condition = (IP_PROTO, 58, None)
NS: Condition = (ICMPV6_TYPE, 135, None)
NA: Condition = (ICMPV6_TYPE, 136, None)
_DHCP_REQUEST_4: tuple[Condition, ...] = (
    IPV4,
    (IP_PROTO, 17, None),
    (UDP_SRC, 68, None),
    (UDP_DST, 67, None),
)
_DHCP_REPLY_4: tuple[Condition, ...] = (IPV4, (IP_PROTO, 17, None), (UDP_SRC, 67, None), (UDP_DST, 68, None))

_DHCP_REQUEST_6: tuple[Condition, ...] = (
    IPV6, (IP_PROTO, 17, None), (UDP_DST, 547, None), (IPV6_DST, 0xFF02 << 112 | 0x10002, None)
)  # fmt: skip
_DHCP_REPLY_6: tuple[Condition, ...] = (
    IPV6,
    (IP_PROTO, 17, None),
    (UDP_SRC, 547, None),
    (UDP_DST, 546, None),
)
DHCP_REQUESTS = (_DHCP_REQUEST_4, _DHCP_REQUEST_6)
DHCP_REPLIES = (_DHCP_REPLY_4, _DHCP_REPLY_6)
"""RFC 2131, section 4.1; RFC 8415, section 7: All_DHCP_Relay_Agents_and_Servers, whatever port asks."""


def nd_type(number: int) -> tuple[Condition, ...]:
    """Return the conditions for one ICMPv6 type of neighbour discovery (RFC 4861, section 4)."""
    return (IPV6, _ICMPV6, (ICMPV6_TYPE, number, None))


def guard_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of guard and of neighbour discovery's two stages that are the same for every port."""
    if intent.has_locals:
        yield from _for_everyone(intent)


def _for_everyone(intent: BridgeIntent) -> Iterator[Flow]:
    yield flow(GUARD, 300, (*_DHCP_REQUEST_4, (IPV4_SRC, 0, None)), Goto(DHCP), category=Category.GUARD)
    yield flow(GUARD, 100, ((ETH_TYPE, ETH_RARP, None),), Goto(BROADCAST), category=Category.GUARD)
    for number in (133, 135, 136):
        yield flow(GUARD, 300, nd_type(number), Goto(GUARD_ND), category=Category.GUARD)
    for number in (134, 137):
        yield flow(GUARD, 300, nd_type(number), category=Category.REFUSED)
    # Of a router solicitation Open vSwitch shows no link-layer address: only its sender's address is asked.
    yield flow(GUARD_ND, 100, nd_type(133), Goto(GUARD_ND_ADDRESS), category=Category.GUARD)
    for condition, option in ((NS, ND_SLL), (NA, ND_TLL)):
        yield flow(
            GUARD_ND, 90, (IPV6, _ICMPV6, condition, (option, 0, None)), Goto(GUARD_ND_ADDRESS),
            category=Category.GUARD,
        )  # fmt: skip
    for number in (133, 135):
        unspecified = (*nd_type(number), (IPV6_SRC, 0, None))
        yield flow(GUARD_ND_ADDRESS, 100, unspecified, Goto(ND), category=Category.GUARD)
    # An endpoint's own address says whom it may speak from; an advertisement speaks for its target alone.
    yield flow(GUARD_ND_ADDRESS, 95, nd_type(136), category=Category.REFUSED)
    for ethertype in sorted(intent.ethertypes):
        yield flow(GUARD, 100, ((ETH_TYPE, ethertype, None),), Goto(BIND), category=Category.GUARD)
        yield flow(GUARD, 110, ((ETH_TYPE, ethertype, None), GROUP), Goto(BROADCAST), category=Category.GUARD)


def guard_endpoint_flows(endpoint: LocalEndpoint) -> Iterator[Flow]:
    """Yield what an endpoint may say at its port."""
    if not endpoint.delivers:
        return
    port: Condition = (IN_PORT, endpoint.ofport, None)
    families = {address.prefix.version for address in endpoint.addresses}
    for address in endpoint.addresses:
        yield flow(
            GUARD, 200 if not address.is_range else 190, (port, *source_in(address.prefix)),
            SetField(SRC_IDENTITY, address.identity), Goto(RESOLVE),
            category=Category.GUARD,
        )  # fmt: skip
        if address.prefix.version == 4:
            match = (
                port,
                ARP_FRAME,
                *prefix_condition(ARP_SPA, address.prefix),
                (ARP_SHA, endpoint.mac, None),
            )
            yield flow(GUARD, 200, match, Goto(ARP), category=Category.GUARD)
    if 4 in families:
        probe = (port, ARP_FRAME, (ARP_OP, 1, None), (ARP_SPA, 0, None), (ARP_SHA, endpoint.mac, None))
        yield flow(GUARD, 200, probe, Goto(ARP), category=Category.GUARD)
    if endpoint.has_link_local:
        yield from _neighbour_discovery(endpoint, port)
    yield from _learning(endpoint, port)
    if "router" in endpoint.roles:
        yield flow(GUARD, 350, (port, *nd_type(134)), Goto(BROADCAST), category=Category.GUARD)
        for family in (IPV4, IPV6):
            yield flow(GUARD, 50, (port, family), Goto(SOURCE), category=Category.GUARD)


def _learning(endpoint: LocalEndpoint, port: Condition) -> Iterator[Flow]:
    """Yield what is brought to the controller and goes no further: addresses that may become its own."""
    if not is_asked_for_addresses(endpoint):
        return
    copy = ToController(bytes([Reason.ADDRESS]), announcement_meter(endpoint.ofport), ANNOUNCEMENT_BYTES)
    arp: tuple[Condition, ...] = (port, ARP_FRAME, (ARP_SHA, endpoint.mac, None))
    for prefix in endpoint.claims:
        if prefix.version == 4:
            match = (*arp, *prefix_condition(ARP_SPA, prefix))
            yield flow(GUARD, 160, match, copy, category=Category.GUARD)
        else:
            match = (port, IPV6, _ICMPV6, NA, *prefix_condition(ND_TARGET, prefix))
            yield flow(GUARD_ND_ADDRESS, 98, match, copy, category=Category.GUARD)
    if endpoint.learns:
        yield flow(GUARD, 150, arp, copy, category=Category.GUARD)
        for number, priority in ((135, 50), (136, 97)):
            match = (port, *nd_type(number))
            yield flow(GUARD_ND_ADDRESS, priority, match, copy, category=Category.GUARD)
    if not endpoint.has_link_local:
        yield from _own_link_layer(endpoint, port)


def is_asked_for_addresses(endpoint: LocalEndpoint) -> bool:
    """Say whether an announcement at its port can change whose an address is."""
    return endpoint.delivers and (endpoint.learns or bool(endpoint.claims))


def _own_link_layer(endpoint: LocalEndpoint, port: Condition) -> Iterator[Flow]:
    for condition, option in ((NS, ND_SLL), (NA, ND_TLL)):
        yield flow(
            GUARD_ND, 100, (port, IPV6, _ICMPV6, condition, (option, endpoint.mac, None)),
            Goto(GUARD_ND_ADDRESS), category=Category.GUARD,
        )  # fmt: skip


def _neighbour_discovery(endpoint: LocalEndpoint, port: Condition) -> Iterator[Flow]:
    own = [address.prefix for address in endpoint.addresses if address.prefix.version == 6]
    link_local = host_prefix(link_local_address(endpoint.mac))
    yield flow(
        GUARD, 200, (port, *source_in(link_local)),
        SetField(SRC_IDENTITY, endpoint.link_local), Goto(RESOLVE),
        category=Category.GUARD,
    )  # fmt: skip
    if endpoint.unaddressed:
        copy = ToController(bytes([Reason.GIVEN_UP]), announcement_meter(endpoint.ofport), GRANT_BYTES)
        match = (port, *_DHCP_REQUEST_6, *source_in(link_local)[1:])
        yield flow(GUARD, 300, match, copy, Goto(DHCP), category=Category.GUARD)
    yield from _own_link_layer(endpoint, port)
    for prefix in (*own, link_local):
        speaks = (port, *source_in(prefix), _ICMPV6)
        yield flow(GUARD_ND_ADDRESS, 90, speaks, Goto(ND), category=Category.GUARD)
        yield flow(
            GUARD_ND_ADDRESS, 100, (port, IPV6, _ICMPV6, NA, *prefix_condition(ND_TARGET, prefix)), Goto(ND),
            category=Category.GUARD,
        )  # fmt: skip
