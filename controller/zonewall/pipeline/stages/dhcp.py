"""DHCP: requests reach DHCP servers only, answers come from them only (RFC 2131, RFC 8415)."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import TenantIntent
from zonewall.pipeline.cookie import Category, Reason
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import GROUP, IPV4
from zonewall.pipeline.model import (
    Action,
    Clone,
    Condition,
    Flow,
    Goto,
    MeterEntry,
    MeterUnit,
    Output,
    Resubmit,
    SetField,
    ToController,
)
from zonewall.pipeline.packet_fields import IN_PORT
from zonewall.pipeline.registers import FROM_FABRIC, FROM_UPLINK, ORIGIN, TENANT, VIA
from zonewall.pipeline.stages.classify import GRANT_BYTES, announcement_meter
from zonewall.pipeline.stages.guard import DHCP_REPLIES, DHCP_REQUESTS
from zonewall.pipeline.tables import BIND, BROADCAST, DELIVER, DHCP, TO_UPLINK

GRANTS_PER_S = 500


def dhcp_flows(tenant: TenantIntent) -> Iterator[Flow]:
    """Yield the flows of dhcp, for a tenant that has a server somewhere."""
    if tenant.snoops_by_mac:
        for request in DHCP_REQUESTS:
            yield from _requests(tenant, request)
        for reply in DHCP_REPLIES:
            yield from _answers(tenant, reply)


def _requests(tenant: TenantIntent, request: tuple[Condition, ...]) -> Iterator[Flow]:
    view: Condition = (TENANT, tenant.number, None)
    here: list[Action] = [Output(ofport) for ofport, delivers in tenant.servers if delivers]
    elsewhere: list[Action] = [
        Clone((SetField(VIA, destination), Resubmit(DELIVER))) for destination in tenant.dhcp_servers
    ]
    if any(uplink.dhcp for uplink in tenant.uplinks):
        here.append(Clone((Resubmit(TO_UPLINK),)))
    if here:
        match = (view, (ORIGIN, FROM_FABRIC, None), *request)
        yield flow(DHCP, 200, match, *here, category=Category.DELIVERY)
    else:
        match = (view, (ORIGIN, FROM_FABRIC, None), *request)
        yield flow(DHCP, 200, match, category=Category.REFUSED)
    yield flow(DHCP, 200, (view, (ORIGIN, FROM_UPLINK, None), *request), category=Category.REFUSED)
    yield flow(DHCP, 100, (view, *request), *here, *elsewhere, category=Category.DELIVERY)


def _answers(tenant: TenantIntent, reply: tuple[Condition, ...]) -> Iterator[Flow]:
    view: Condition = (TENANT, tenant.number, None)
    speakers: list[tuple[Condition, tuple[Action, ...]]] = [((ORIGIN, FROM_FABRIC, None), ())]
    speakers += [((IN_PORT, ofport, None), (_copy(ofport),)) for ofport in _granting_ports(tenant)]
    for speaker, copy in speakers:
        match = (view, speaker, *reply)
        if IPV4 in reply:  # a client of DHCPv6 has an address to be answered at (RFC 8415, section 18.3.10)
            yield flow(DHCP, 110, (*match, GROUP), *copy, Goto(BROADCAST), category=Category.DELIVERY)
        yield flow(DHCP, 100, match, *copy, Goto(BIND), category=Category.DELIVERY)


def dhcp_meters(tenant: TenantIntent) -> Iterator[MeterEntry]:
    """Yield the meters of what DHCP servers say, where it enters: what they grant is learnt from a copy."""
    for ofport in _granting_ports(tenant):
        yield MeterEntry(announcement_meter(ofport), MeterUnit.PPS, GRANTS_PER_S, GRANTS_PER_S)


def _granting_ports(tenant: TenantIntent) -> list[int]:
    return [ofport for ofport, _ in tenant.servers] + [up.ofport for up in tenant.uplinks if up.dhcp]


def _copy(ofport: int) -> ToController:
    return ToController(bytes([Reason.DHCP]), announcement_meter(ofport), GRANT_BYTES)
