"""Quarantine, track, judge, take up, commit: what connection state adds to the verdict.

A packet is judged by the policy of the moment, whatever its connection's age: turned to the connection's
original direction and looked up like a first packet (``resubmit(,verdict,ct)``). So a rule that goes takes
its connections along at once, and a rule that stays never loses one; nothing has to be hunted down.
"""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import BankFrame, BridgeIntent
from zonewall.pipeline.cookie import Category
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import ARP_FRAME, FAMILIES, IPV4, IPV6
from zonewall.pipeline.model import (
    Action,
    Condition,
    Ct,
    Flow,
    Goto,
    Move,
    Resubmit,
    SetField,
)
from zonewall.pipeline.packet_fields import (
    CT_INV,
    CT_NEW,
    CT_REL,
    CT_RPL,
    ETH_TYPE,
    ICMP_TYPE,
    ICMPV6_TYPE,
    IP_FRAG,
    IP_PROTO,
    SCTP_DST,
    SCTP_SRC,
    TCP_FLAGS,
    TCP_SYN,
)
from zonewall.pipeline.stages.asking import TURN, ask_all, ask_turned, select_mirrors, state_condition
from zonewall.pipeline.stages.guard import DHCP_REPLY, DHCP_REQUEST, nd_type
from zonewall.pipeline.stages.take_up import other_direction_flows, turned_flows
from zonewall.pipeline.tables import (
    ACT,
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
    ORIGIN,
    QUARANTINE,
    RULE,
    SRC_IDENTITY,
    SRC_QUARANTINED,
    TAKE_UP,
    TAKE_UP_TABLE,
    TRACK,
    TRACK_ZONE,
    UNTRACKED,
    VIA,
    VIA_LOCAL,
    VIA_UPLINK,
)

_ND_TYPES = (133, 134, 135, 136)
_WITH_SERVICES = (
    *((protocol, IPV4) for protocol in (1, 6, 17, 132)),
    *((protocol, IPV6) for protocol in (6, 17, 58, 132)),
)
"""IP protocols that services tell apart by ports or types."""

_FRAGMENTS: tuple[Condition, ...] = ((IP_FRAG, 1, None), (IP_FRAG, 2, 2))
"""The first, and later ones; `any` is said in other bytes than Open vSwitch says it back."""

_BEGINNINGS = {1: (8, 13, 15, 17), 58: (128,)}
"""ICMP and ICMPv6 types that tracking takes as a beginning: if they are invalid, they are malformed."""


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
    plain = (*ask_all(intent, False), Goto(ACT))
    original = (*ask_all(intent, True), Goto(ACT))
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
            turned_sctp = (SetField(BANK, reverse), *TURN, *ask_turned(intent, SCTP_SRC, SCTP_DST))
            yield flow(JUDGE, 815, sctp, *turned_sctp, Goto(TAKE_UP_TABLE), category=Category.TRACK)
        yield flow(
            JUDGE, 800, (state_condition(CT_RPL, CT_INV), family), *TURN, *original,
            category=Category.TRACK,
        )  # fmt: skip
        # User space tracks SCTP by addresses alone and presents no ports: an answer's own are changed over.
        answers = (state_condition(CT_RPL, CT_INV), family, (IP_PROTO, 132, None))
        turned_ports = (*TURN, *ask_turned(intent, SCTP_SRC, SCTP_DST), Goto(TAKE_UP_TABLE))
        yield flow(JUDGE, 805, answers, *turned_ports, category=Category.TRACK)
        known = (state_condition(0, CT_NEW | CT_INV), family, (IP_PROTO, 132, None))
        yield flow(JUDGE, 510, known, *ask_all(intent, False), Goto(TAKE_UP_TABLE), category=Category.TRACK)
        yield flow(
            JUDGE, 650,
            (state_condition(CT_NEW), family, (IP_PROTO, 6, None), (TCP_FLAGS, 0, TCP_SYN)),
            category=Category.REFUSED,
        )  # fmt: skip
    for protocol, family in _WITH_SERVICES:
        # User space shows the tables no ports of fragments: none may begin what a rule by ports would refuse.
        for fragment in _FRAGMENTS:
            begins = (state_condition(CT_NEW), family, (IP_PROTO, protocol, None), fragment)
            yield flow(JUDGE, 960, begins, category=Category.REFUSED)
    yield flow(JUDGE, 500, (state_condition(),), *plain, category=Category.TRACK)
    yield from other_direction_flows(intent)
    yield from turned_flows(intent)


def _copy_of_invalid(intent: BridgeIntent) -> tuple[Action, ...]:
    select = select_mirrors(intent, False)
    return (*select, Move(MIRROR_DROPPED, MIRROR_DUE), Resubmit(MIRROR_EMIT)) if select else ()


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
