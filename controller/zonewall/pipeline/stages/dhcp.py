"""DHCP: requests reach DHCP servers only, answers come from them only (RFC 2131)."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import TenantIntent
from zonewall.pipeline.cookie import Category
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import GROUP
from zonewall.pipeline.model import Action, Clone, Condition, Flow, Goto, Output, Resubmit, SetField
from zonewall.pipeline.packet_fields import IN_PORT
from zonewall.pipeline.stages.guard import DHCP_REPLY, DHCP_REQUEST
from zonewall.pipeline.tables import (
    BIND,
    BROADCAST,
    DELIVER,
    DHCP,
    FROM_FABRIC,
    FROM_UPLINK,
    ORIGIN,
    TENANT,
    TO_UPLINK,
    VIA,
)


def dhcp_flows(tenant: TenantIntent) -> Iterator[Flow]:
    """Yield the flows of dhcp, for a tenant that has a server somewhere."""
    if tenant.snoops_by_mac:
        yield from _requests(tenant)
        yield from _answers(tenant)


def _requests(tenant: TenantIntent) -> Iterator[Flow]:
    view: Condition = (TENANT, tenant.number, None)
    here: list[Action] = [Output(ofport) for ofport, delivers in tenant.servers if delivers]
    elsewhere: list[Action] = [
        Clone((SetField(VIA, destination), Resubmit(DELIVER))) for destination in tenant.dhcp_servers
    ]
    if any(uplink.dhcp for uplink in tenant.uplinks):
        here.append(Clone((Resubmit(TO_UPLINK),)))
    if here:
        match = (view, (ORIGIN, FROM_FABRIC, None), *DHCP_REQUEST)
        yield flow(DHCP, 200, match, *here, category=Category.DELIVERY)
    else:
        match = (view, (ORIGIN, FROM_FABRIC, None), *DHCP_REQUEST)
        yield flow(DHCP, 200, match, category=Category.REFUSED)
    yield flow(DHCP, 200, (view, (ORIGIN, FROM_UPLINK, None), *DHCP_REQUEST), category=Category.REFUSED)
    yield flow(DHCP, 100, (view, *DHCP_REQUEST), *here, *elsewhere, category=Category.DELIVERY)


def _answers(tenant: TenantIntent) -> Iterator[Flow]:
    view: Condition = (TENANT, tenant.number, None)
    speakers: list[Condition] = [(ORIGIN, FROM_FABRIC, None)]
    speakers += [(IN_PORT, ofport, None) for ofport, _ in tenant.servers]
    speakers += [(IN_PORT, uplink.ofport, None) for uplink in tenant.uplinks if uplink.dhcp]
    for speaker in speakers:
        match = (view, speaker, *DHCP_REPLY)
        yield flow(DHCP, 110, (*match, GROUP), Goto(BROADCAST), category=Category.DELIVERY)
        yield flow(DHCP, 100, match, Goto(BIND), category=Category.DELIVERY)
