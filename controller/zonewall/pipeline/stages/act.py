"""Carrying the verdict out: modifiers, reject, copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zonewall.intent.model import BridgeIntent, LocalEndpoint, Modifier, View
from zonewall.pipeline.cookie import Category, Reason
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import GROUP, IPV4, IPV6
from zonewall.pipeline.model import (
    Action,
    Condition,
    Ct,
    Flow,
    Goto,
    Meter,
    MeterEntry,
    MeterUnit,
    Move,
    Resubmit,
    SetField,
    ToController,
)
from zonewall.pipeline.packet_fields import (
    CT_NEW_BIT,
    CT_STATE,
    CT_TRK,
    ICMP_TYPE,
    ICMPV6_TYPE,
    IN_PORT,
    IP_FRAG,
    IP_PROTO,
    TCP_FLAGS,
    TCP_RST,
)
from zonewall.pipeline.registers import (
    ALLOW,
    ANSWER,
    CHAIN,
    DROP,
    FRESH,
    FROM_ENDPOINT,
    FROM_FABRIC,
    FROM_SERVICE,
    FROM_UPLINK,
    GATHER_ZONE,
    GATHERED,
    LABEL_CHAIN,
    LOGGED,
    MIRROR_ALLOWED,
    MIRROR_DROPPED,
    MIRROR_DUE,
    ORIGIN,
    OUT_PORT,
    PATH,
    REJECT,
    RULE,
    VERDICT,
    VIA,
    VIA_LOCAL,
    VIA_UPLINK,
)
from zonewall.pipeline.stages.classify import reject_meter
from zonewall.pipeline.stages.cut import cut_flows, had_been
from zonewall.pipeline.tables import ACT, ADMIT, MIRROR_EMIT, MODIFY, REJECT_TABLE

REJECT_RATE_PPS = 10
REJECT_BYTES = 256
_ICMP_ERRORS = {1: (3, 4, 5, 11, 12), 58: (1, 2, 3, 4, 137)}
"""ICMP types that report an error: never answered by another one (RFC 1122, 3.2.2; RFC 4443, 2.4 e)."""


def act_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of act: undecided drops by missing."""
    if not intent.judges:
        return
    copies: tuple[Action, ...] = ()
    if intent.sinks:
        copies = (Move(MIRROR_DROPPED, MIRROR_DUE), Resubmit(MIRROR_EMIT))
    untracked: Condition = (CT_STATE, 0, CT_TRK)
    kept: tuple[Action, ...] = (Move(CT_NEW_BIT, FRESH),)
    if intent.chains:
        kept = (*kept, Move(LABEL_CHAIN, PATH))
    yield flow(ACT, 300, ((GATHERED, 1, None), untracked), category=Category.REFUSED)
    for family in (IPV4, IPV6):
        first = (family, (IP_FRAG, 1, None), (GATHERED, 0, None))
        gather = (SetField(GATHERED, 1), Ct(zone=GATHER_ZONE, table=ACT))
        yield flow(ACT, 200, first, *kept, *gather, category=Category.TRACK)
        for more, known, had in had_been():
            yield flow(ACT, 200 + more, (*first, *known), *kept, *had, *gather, category=Category.TRACK)
    # Before what is told of refused packets, so that allowed ones are not asked for it.
    yield flow(ACT, 180, ((VERDICT, ALLOW, None), (GATHERED, 1, None)), Goto(MODIFY))
    yield flow(ACT, 170, ((VERDICT, ALLOW, None),), *kept, Goto(MODIFY))
    yield from cut_flows(intent, copies)
    yield flow(ACT, 100, ((VERDICT, DROP, None),), *copies)
    yield flow(ACT, 100, ((VERDICT, REJECT, None),), *copies, Goto(REJECT_TABLE))


def modify_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of modify: one or a few for each rule that asks for more than allow."""
    if not intent.judges:
        return
    for modifier in intent.modifiers:
        rule: Condition = (RULE, modifier.rule, None)
        marks: list[Action] = []
        if modifier.mirror:
            marks.append(SetField(MIRROR_ALLOWED, modifier.mirror, modifier.mirror))
        if modifier.chain:
            marks.append(SetField(CHAIN, modifier.chain))
        if modifier.logged:
            marks.append(SetField(LOGGED, 1))
        for place, meter in _metered(modifier):
            yield flow(
                MODIFY, 200, (rule, *place), Meter(meter), *marks, Goto(ADMIT),
                category=Category.MODIFIER, rule=modifier.rule,
            )  # fmt: skip
        yield flow(MODIFY, 100, (rule,), *marks, Goto(ADMIT), category=Category.MODIFIER, rule=modifier.rule)


def _metered(modifier: Modifier) -> Iterator[tuple[tuple[Condition, ...], int]]:
    """Yield where a limit counts: at the bridge where the connection enters, both directions together."""
    first: Condition = (ANSWER, 0, None)
    answer: Condition = (ANSWER, 1, None)
    for limit in modifier.limits:
        if limit.in_port is not None:
            yield ((IN_PORT, limit.in_port, None), first), limit.meter
            yield ((OUT_PORT, limit.in_port, None), (VIA, VIA_LOCAL, None), answer), limit.meter
            continue
        for origin in (FROM_ENDPOINT, FROM_UPLINK):
            yield ((ORIGIN, origin, None), first), limit.meter
        for via in (VIA_LOCAL, VIA_UPLINK):
            yield ((VIA, via, None), answer), limit.meter


def limit_meters(intent: BridgeIntent) -> Iterator[MeterEntry]:
    """Yield the meters of the rules' limits; a burst of a second."""
    for modifier in intent.modifiers:
        for each in modifier.limits:
            unit = MeterUnit.PPS if each.limit.unit == "pps" else MeterUnit.KBPS
            yield MeterEntry(each.meter, unit, each.limit.rate, each.limit.rate)


def reject_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of reject but endpoints' ports': a copy to the controller, unless it is an answer."""
    if not intent.rejects:
        return
    refused: list[tuple[Condition, ...]] = [
        ((ORIGIN, FROM_FABRIC, None),),
        ((ORIGIN, FROM_SERVICE, None),),
        ((ANSWER, 1, None),),
        (GROUP,),
    ]
    for family in (IPV4, IPV6):
        refused.append((family, (IP_PROTO, 6, None), (TCP_FLAGS, TCP_RST, TCP_RST)))
        refused.append((family, (IP_FRAG, 2, 2)))
    for protocol, family, kind in ((1, IPV4, ICMP_TYPE), (58, IPV6, ICMPV6_TYPE)):
        for number in _ICMP_ERRORS[protocol]:
            refused.append((family, (IP_PROTO, protocol, None), (kind, number, None)))
    for match in refused:
        yield flow(REJECT_TABLE, 200, match, category=Category.REFUSED)
    for ofport in intent.uplink_ports:
        yield _rejecting(ofport)


def reject_port_flows(view: View, endpoint: LocalEndpoint) -> Iterator[Flow]:
    """Yield the flow of reject for an endpoint's port."""
    if view.rejects and endpoint.delivers:
        yield _rejecting(endpoint.ofport)


def _rejecting(ofport: int) -> Flow:
    copy = ToController(bytes([Reason.REJECT]), reject_meter(ofport), REJECT_BYTES)
    return flow(REJECT_TABLE, 100, ((IN_PORT, ofport, None),), copy, category=Category.RULE)


def reject_meters(ofports: Iterable[int]) -> Iterator[MeterEntry]:
    """Yield a meter for each port whose packets can be rejected."""
    for ofport in ofports:
        yield MeterEntry(reject_meter(ofport), MeterUnit.PPS, REJECT_RATE_PPS, REJECT_RATE_PPS)
