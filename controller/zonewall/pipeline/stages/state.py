"""Quarantine, track, judge, take up, commit: what connection state adds to the verdict.

A packet is judged by the policy of the moment, whatever its connection's age: turned to the connection's
original direction and looked up like a first packet (``resubmit(,verdict,ct)``). So a rule that goes takes
its connections along at once, and a rule that stays never loses one; nothing has to be hunted down.
"""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import BankFrame, BridgeIntent
from zonewall.pipeline.cookie import Category
from zonewall.pipeline.make import ask, flow, judge
from zonewall.pipeline.matches import ARP_FRAME, FAMILIES, IPV4, IPV6
from zonewall.pipeline.model import (
    Action,
    Condition,
    Ct,
    Field,
    Flow,
    Goto,
    Move,
    PopField,
    PushField,
    Resubmit,
    SetField,
)
from zonewall.pipeline.packet_fields import (
    CT_INV,
    CT_NEW,
    CT_REL,
    CT_RPL,
    CT_STATE,
    CT_TRK,
    ETH_TYPE,
    ICMP_TYPE,
    ICMPV6_TYPE,
    IN_PORT,
    IP_PROTO,
    SCTP_DST,
    SCTP_SRC,
    TCP_DST,
    TCP_FLAGS,
    TCP_SRC,
    TCP_SYN,
    UDP_DST,
    UDP_SRC,
)
from zonewall.pipeline.stages.guard import DHCP_REPLY, DHCP_REQUEST, nd_type
from zonewall.pipeline.tables import (
    ACT,
    ALLOW,
    ANSWER,
    BANK,
    CHAIN_TABLE,
    COMMIT,
    DELIVER,
    DST_IDENTITY,
    DST_QUARANTINED,
    FROM_SERVICE,
    JUDGE,
    LABEL_DST,
    LABEL_RULE,
    LABEL_SRC,
    MIRROR_ALLOWED,
    MIRROR_DROPPED,
    MIRROR_DUE,
    MIRROR_EMIT,
    MIRROR_SELECT,
    MIRROR_STEP,
    MONITORED,
    ORIGIN,
    OUT_PORT,
    QUARANTINE,
    RULE,
    SRC_IDENTITY,
    SRC_LOCAL,
    SRC_QUARANTINED,
    TAKE_UP,
    TAKE_UP_TABLE,
    TRACK,
    TRACK_ZONE,
    UNTRACKED,
    VERDICT,
    VIA,
    VIA_LOCAL,
    VIA_UPLINK,
)

_ND_TYPES = (133, 134, 135, 136)
_BEGINNINGS = {1: (8, 13, 15, 17), 58: (128,)}
"""ICMP and ICMPv6 types that tracking takes as a beginning: if they are invalid, they are malformed."""

SWAP_IDENTITIES: tuple[Action, ...] = (
    PushField(SRC_IDENTITY),
    PushField(DST_IDENTITY),
    PopField(SRC_IDENTITY),
    PopField(DST_IDENTITY),
)

TURN: tuple[Action, ...] = (*SWAP_IDENTITIES, SetField(ANSWER, 1))


def state_condition(plus: int = 0, minus: int = 0) -> Condition:
    """Return the condition on ct_state that bits are set and others are not."""
    plus |= CT_TRK
    return (CT_STATE, plus, plus | minus)


def quarantine_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of quarantine: an isolated end and the remediation zone may reach each other only."""
    for number in _ND_TYPES:
        yield flow(QUARANTINE, 300, nd_type(number), Goto(TRACK), category=Category.STATIC)
    to_isolated = ((SRC_QUARANTINED, 0, None), (DST_QUARANTINED, 1, None))
    yield flow(QUARANTINE, 250, (*to_isolated, *DHCP_REPLY), Goto(TRACK))
    for flag, other in ((SRC_QUARANTINED, DST_IDENTITY), (DST_QUARANTINED, SRC_IDENTITY)):
        for number in intent.remediation:
            match: tuple[Condition, ...] = ((flag, 1, None), (other, number, None))
            yield flow(QUARANTINE, 200, match, Goto(TRACK), category=Category.ISOLATION)
        for family in (IPV4, IPV6):
            yield flow(QUARANTINE, 100, ((flag, 1, None), family), category=Category.ISOLATION)
        for ethertype in sorted(intent.ethertypes):
            other_frame: Condition = (ETH_TYPE, ethertype, None)
            yield flow(QUARANTINE, 100, ((flag, 1, None), other_frame), category=Category.ISOLATION)


def track_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of track that are no bank's: what is not tracked goes on to delivery."""
    yield flow(TRACK, 300, (ARP_FRAME,), Goto(DELIVER))
    for ethertype in sorted(intent.ethertypes):
        yield flow(TRACK, 300, ((ETH_TYPE, ethertype, None),), Goto(DELIVER))
    for number in _ND_TYPES:
        yield flow(TRACK, 300, nd_type(number), Goto(DELIVER))
    for match in (DHCP_REQUEST, DHCP_REPLY):
        yield flow(TRACK, 300, match, Goto(DELIVER))
    if intent.has_legs:
        returned = (ORIGIN, FROM_SERVICE, None)
        yield flow(TRACK, 250, (returned, (SRC_LOCAL, 1, None)), Goto(DELIVER), category=Category.SERVICE)
        yield flow(TRACK, 230, (returned,), Goto(DELIVER), category=Category.SERVICE)


def track_bank_flows(bank: BankFrame, has_legs: bool) -> Iterator[Flow]:
    """Yield the flows of track for a bank's connections, of each family."""
    for family in bank.families:
        where = ((BANK, bank.number, None), FAMILIES[family])
        yield flow(TRACK, 100, where, *_track(bank), category=Category.TRACK)
        if has_legs:
            for via in (VIA_LOCAL, VIA_UPLINK):
                match = (*where, (ORIGIN, FROM_SERVICE, None), (VIA, via, None))
                yield flow(TRACK, 240, match, *_track(bank), category=Category.TRACK)


def _track(bank: BankFrame) -> tuple[Action, ...]:
    return (SetField(TRACK_ZONE, bank.zone), Ct(zone=bank.zone, table=JUDGE))


def judge_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of judge, but for connections that are taken up in their middle."""
    if not intent.judges:
        return
    plain = (*_ask(intent, False), Goto(ACT))
    original = (*_ask(intent, True), Goto(ACT))
    invalid = state_condition(CT_INV)
    for protocol, family, kind in ((1, IPV4, ICMP_TYPE), (58, IPV6, ICMPV6_TYPE)):
        icmp: tuple[Condition, ...] = (invalid, family, (IP_PROTO, protocol, None))
        for number in _BEGINNINGS[protocol]:
            yield flow(JUDGE, 1000, (*icmp, (kind, number, None)), category=Category.REFUSED)
        yield flow(JUDGE, 990, icmp, SetField(UNTRACKED, 1), *plain, category=Category.TRACK)
    yield flow(JUDGE, 980, (invalid,), *_copy_of_invalid(intent), category=Category.REFUSED)
    labelled = (Move(LABEL_SRC, SRC_IDENTITY), Move(LABEL_DST, DST_IDENTITY))
    for family in (IPV4, IPV6):
        for priority, state, answer in (
            (910, state_condition(CT_REL | CT_RPL, CT_INV), (SetField(ANSWER, 1),)),
            (900, state_condition(CT_REL, CT_INV), ()),
        ):
            actions = (*answer, *labelled, *original)
            yield flow(JUDGE, priority, (state, family), *actions, category=Category.TRACK)
        for bank, reverse in intent.turned:
            match = (state_condition(CT_RPL, CT_INV), family, (BANK, bank, None))
            turned = (SetField(BANK, reverse), *TURN, *original)
            yield flow(JUDGE, 810, match, *turned, category=Category.TRACK)
            sctp = (*match, (IP_PROTO, 132, None))
            turned_sctp = (SetField(BANK, reverse), *TURN, *_turned_ports(intent, SCTP_SRC, SCTP_DST))
            yield flow(JUDGE, 815, sctp, *turned_sctp, Goto(TAKE_UP_TABLE), category=Category.TRACK)
        yield flow(
            JUDGE, 800, (state_condition(CT_RPL, CT_INV), family), *TURN, *original,
            category=Category.TRACK,
        )  # fmt: skip
        # User space tracks SCTP by addresses alone and presents no ports: an answer's own are changed over.
        answers = (state_condition(CT_RPL, CT_INV), family, (IP_PROTO, 132, None))
        turned_ports = (*TURN, *_turned_ports(intent, SCTP_SRC, SCTP_DST), Goto(TAKE_UP_TABLE))
        yield flow(JUDGE, 805, answers, *turned_ports, category=Category.TRACK)
        known = (state_condition(0, CT_NEW | CT_INV), family, (IP_PROTO, 132, None))
        yield flow(JUDGE, 510, known, *_ask(intent, False), Goto(TAKE_UP_TABLE), category=Category.TRACK)
        yield flow(
            JUDGE, 650,
            (state_condition(CT_NEW), family, (IP_PROTO, 6, None), (TCP_FLAGS, 0, TCP_SYN)),
            category=Category.REFUSED,
        )  # fmt: skip
    yield flow(JUDGE, 500, (state_condition(),), *plain, category=Category.TRACK)
    yield from _other_direction_flows(intent)


def _ask(intent: BridgeIntent, ct: bool) -> tuple[Action, ...]:
    return (*_select(intent, ct), *judge(ct, intent.sections))


def _select(intent: BridgeIntent, ct: bool) -> tuple[Action, ...]:
    """Return the calls of mirror_select, one for each mirror rule."""
    steps = intent.mirror_steps
    return ask(MIRROR_SELECT, SetField(MIRROR_STEP, 0), steps, ct) if steps else ()


def _copy_of_invalid(intent: BridgeIntent) -> tuple[Action, ...]:
    select = _select(intent, False)
    return (*select, Move(MIRROR_DROPPED, MIRROR_DUE), Resubmit(MIRROR_EMIT)) if select else ()


def _turned_ports(intent: BridgeIntent, source: Field, destination: Field) -> tuple[Action, ...]:
    """Return the calls of both subroutines with the packet's ports changed over, and back."""
    turn = (PushField(source), PushField(destination), PopField(source), PopField(destination))
    return (*turn, *_ask(intent, False), *turn)


def _other_direction_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """For SCTP: two hosts that began associations both ways share one entry, so both directions are asked."""
    yield flow(TAKE_UP_TABLE, 100, ((VERDICT, ALLOW, None),), Goto(ACT), category=Category.TAKE_UP)
    fields = (RULE, VERDICT, MONITORED, MIRROR_ALLOWED, MIRROR_DROPPED)
    forget = (*SWAP_IDENTITIES, *(SetField(field, 0) for field in fields))
    ask_again = {0: _turned_ports(intent, SCTP_SRC, SCTP_DST), 1: _ask(intent, False)}
    for answer, again in ask_again.items():
        turned = (*forget, SetField(ANSWER, 1 - answer))
        for family in (IPV4, IPV6):
            match = (family, (IP_PROTO, 132, None), (ANSWER, answer, None))
            for bank, reverse in intent.turned:
                between = (*turned, SetField(BANK, reverse), *again, Goto(ACT))
                mine = (*match, (BANK, bank, None))
                yield flow(TAKE_UP_TABLE, 65, mine, *between, category=Category.TAKE_UP)
            yield flow(TAKE_UP_TABLE, 60, match, *turned, *again, Goto(ACT), category=Category.TAKE_UP)


def take_up_port_flows(intent: BridgeIntent, ofport: int) -> Iterator[Flow]:
    """Yield the flows of judge for an endpoint that has just come, for connections in their middle."""
    enter = (*_ask(intent, False), Goto(TAKE_UP_TABLE))
    for end in ((IN_PORT, ofport, None), (OUT_PORT, ofport, None)):
        for family in (IPV4, IPV6):
            new = (state_condition(CT_NEW), family, end)
            tcp = (*new, (IP_PROTO, 6, None), (TCP_FLAGS, 0, TCP_SYN))
            yield flow(JUDGE, 700, tcp, *enter, category=Category.TAKE_UP)
            yield flow(JUDGE, 700, (*new, (IP_PROTO, 17, None)), *enter, category=Category.TAKE_UP)


def take_up_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of take_up: what the rules allow in its middle, and the answers to it."""
    for protocol, source, destination in ((6, TCP_SRC, TCP_DST), (17, UDP_SRC, UDP_DST)):
        turn = (PushField(source), PushField(destination), PopField(source), PopField(destination))
        again = (*turn, *judge(False, intent.sections), *turn)
        forget = (SetField(RULE, 0), SetField(VERDICT, 0))
        passing = (SetField(TAKE_UP, 1), SetField(ANSWER, 1), Goto(ACT))
        actions = (*SWAP_IDENTITIES, *forget, *again, *passing)
        for family in (IPV4, IPV6):
            match = (family, (IP_PROTO, protocol, None))
            yield flow(TAKE_UP_TABLE, 50, match, *actions, category=Category.TAKE_UP)


def commit_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of commit: a new connection is remembered with its rule and both identities."""
    if not intent.judges:
        return
    copies: tuple[Action, ...] = ()
    if intent.sinks:
        copies = (Move(MIRROR_ALLOWED, MIRROR_DUE), Resubmit(MIRROR_EMIT))
    for flag in (TAKE_UP, UNTRACKED):
        yield flow(COMMIT, 200, ((flag, 1, None),), *copies, Goto(CHAIN_TABLE), category=Category.TRACK)
    label = (Move(RULE, LABEL_RULE), Move(SRC_IDENTITY, LABEL_SRC), Move(DST_IDENTITY, LABEL_DST))
    for family in (IPV4, IPV6):
        yield flow(
            COMMIT, 100, (state_condition(CT_NEW), family),
            *copies, Ct(zone=TRACK_ZONE, commit=True, fields=label), Goto(CHAIN_TABLE),
            category=Category.TRACK,
        )  # fmt: skip
    yield flow(COMMIT, 50, (state_condition(0, CT_NEW),), *copies, Goto(CHAIN_TABLE), category=Category.TRACK)
