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
    Clone,
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
    CT_ZONE,
    ETH_TYPE,
    ICMP_TYPE,
    ICMPV6_TYPE,
    IP_FRAG,
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
from zonewall.pipeline.registers import (
    ANSWER,
    BANK,
    CHAIN,
    DST_IDENTITY,
    DST_QUARANTINED,
    FRESH,
    FROM_SERVICE,
    GATHER_ZONE,
    GATHERED,
    LABEL_DST,
    LABEL_SRC,
    LOGGED,
    MIRROR_ALLOWED,
    MIRROR_DROPPED,
    MIRROR_DUE,
    ORIGIN,
    SRC_IDENTITY,
    SRC_QUARANTINED,
    TAKE_UP,
    TRACK_ZONE,
    UNTRACKED,
    VIA,
    VIA_LOCAL,
    VIA_UPLINK,
)
from zonewall.pipeline.stages.asking import (
    TURN,
    ask_all,
    ask_turned,
    remembered,
    select_mirrors,
    state_condition,
)
from zonewall.pipeline.stages.connection_log import LABEL, LABEL_SCTP, counting
from zonewall.pipeline.stages.cut import marks_again
from zonewall.pipeline.stages.guard import DHCP_REPLIES, nd_type
from zonewall.pipeline.stages.take_up import other_direction_flows, turned_flows
from zonewall.pipeline.tables import (
    ACT,
    CHAIN_TABLE,
    COMMIT,
    DELIVER,
    ISOLATED,
    JUDGE,
    LOG_COMMIT,
    MIRROR_EMIT,
    QUARANTINE,
    TAKE_UP_TABLE,
    TRACK,
)

_ND_TYPES = (133, 134, 135, 136)
_PORTS = {6: (TCP_SRC, TCP_DST), 17: (UDP_SRC, UDP_DST), 132: (SCTP_SRC, SCTP_DST)}

_FIRST: Condition = (IP_FRAG, 1, None)
_LATER: Condition = (IP_FRAG, 2, 2)
_FRAGMENTS: tuple[Condition, ...] = (_FIRST, _LATER)
"""The first, and later ones; `any` is said in other bytes than Open vSwitch says it back."""

WAITING = 0x800
"""Makes of a conntrack zone's number that of the zone where its fragments wait; no connection is in it."""

_BEGINNINGS = {1: (8, 13, 15, 17), 58: (128,)}
"""ICMP and ICMPv6 types that tracking takes as a beginning: if they are invalid, they are malformed."""


def quarantine_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of quarantine: an isolated end and the remediation zone may reach each other only.

    All else of IP ends behind it, where it is looked up; but for an isolated end's fragments, which would
    take others' room where fragments wait.
    """
    for number in _ND_TYPES:
        yield flow(QUARANTINE, 300, nd_type(number), Goto(TRACK), category=Category.STATIC)
    to_isolated = ((SRC_QUARANTINED, 0, None), (DST_QUARANTINED, 1, None))
    for reply in DHCP_REPLIES:
        yield flow(QUARANTINE, 250, (*to_isolated, *reply), Goto(TRACK))
    for flag, other in ((SRC_QUARANTINED, DST_IDENTITY), (DST_QUARANTINED, SRC_IDENTITY)):
        for number in intent.remediation:
            match: tuple[Condition, ...] = ((flag, 1, None), (other, number, None))
            yield flow(QUARANTINE, 200, match, Goto(TRACK), category=Category.ISOLATION)
        for family in (IPV4, IPV6):
            isolated = ((flag, 1, None), family)
            yield flow(QUARANTINE, 100, isolated, Goto(ISOLATED), category=Category.ISOLATION)
            for part in _FRAGMENTS if flag is SRC_QUARANTINED else ():
                yield flow(QUARANTINE, 110, (*isolated, part), category=Category.ISOLATION)
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
    for reply in DHCP_REPLIES:
        yield flow(TRACK, 300, reply, Goto(DELIVER))


def track_bank_flows(bank: BankFrame, has_legs: bool) -> Iterator[Flow]:
    """Yield the flows of track for a bank's connections, of each family."""
    track = (SetField(TRACK_ZONE, bank.zone), Ct(zone=bank.zone, table=JUDGE))
    waiting = bank.zone | WAITING
    gather = (SetField(TRACK_ZONE, bank.zone), SetField(GATHER_ZONE, waiting), Ct(zone=waiting, table=JUDGE))
    for family in bank.families:
        where = ((BANK, bank.number, None), FAMILIES[family])
        places: list[tuple[int, tuple[Condition, ...]]] = [(100, where)]
        if has_legs:
            returned = (ORIGIN, FROM_SERVICE, None)
            places += [(240, (*where, returned, (VIA, via, None))) for via in (VIA_LOCAL, VIA_UPLINK)]
        for priority, match in places:
            yield flow(TRACK, priority, match, *track, category=Category.TRACK)
            for part in _FRAGMENTS:
                yield flow(TRACK, priority + 5, (*match, part), *gather, category=Category.TRACK)
        yield from _gathering(bank, where)


def _gathering(bank: BankFrame, where: tuple[Condition, ...]) -> Iterator[Flow]:
    """Yield the flows of judge that let the fragments of a datagram wait for its first one's verdict.

    User space shows the tables no ports of later fragments, but lets no fragment out of tracking before the
    others of its datagram are there, and all of them with the registers of the last that came. So a copy of
    each later one is put into a second wait, where ``act`` sends the first one, once it is judged.
    """
    waiting = bank.zone | WAITING
    came_back = (*where, state_condition(), (CT_ZONE, waiting, None))
    track = Ct(zone=bank.zone, table=JUDGE)
    for_first = Clone((Ct(zone=waiting, table=ACT),))
    yield flow(JUDGE, 1300, (*came_back, _LATER), for_first, track, category=Category.TRACK)
    yield flow(JUDGE, 1290, came_back, track, category=Category.TRACK)


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
    yield from _related_flows(intent, original)
    for family in (IPV4, IPV6):
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
    yield from _refused_fragments()
    yield flow(JUDGE, 500, (state_condition(),), *plain, category=Category.TRACK)
    yield from other_direction_flows(intent)
    yield from turned_flows(intent)


def _related_flows(intent: BridgeIntent, original: tuple[Action, ...]) -> Iterator[Flow]:
    """Yield the flows of judge for ICMP errors: they are judged as the first packet of their connection."""
    labelled = (Move(LABEL_SRC, SRC_IDENTITY), Move(LABEL_DST, DST_IDENTITY))
    back = (SetField(ANSWER, 1), *labelled, *original)
    of_answers = state_condition(CT_REL | CT_RPL, CT_INV)
    for family in (IPV4, IPV6):
        for bank, reverse in intent.turned:
            match = (of_answers, family, (BANK, bank, None))
            yield flow(JUDGE, 915, match, SetField(BANK, reverse), *back, category=Category.TRACK)
        yield flow(JUDGE, 910, (of_answers, family), *back, category=Category.TRACK)
        first = (state_condition(CT_REL, CT_INV), family)
        yield flow(JUDGE, 900, first, *labelled, *original, category=Category.TRACK)


def _refused_fragments() -> Iterator[Flow]:
    """Yield the flows of judge for fragments that are not judged themselves, or cannot be.

    A first one without ports is one on a bridge that was told to show none: no rule by ports can be asked.
    """
    for family in (IPV4, IPV6):
        yield flow(JUDGE, 1200, (family, _LATER), category=Category.REFUSED)
        yield flow(JUDGE, 1190, (family, _FIRST, state_condition(CT_INV)), category=Category.REFUSED)
        for protocol, ports in _PORTS.items():
            unseen = (family, _FIRST, (IP_PROTO, protocol, None), *((port, 0, None) for port in ports))
            yield flow(JUDGE, 1180, unseen, category=Category.REFUSED)


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
    counted = counting(intent)
    for flag in (TAKE_UP, UNTRACKED):
        match: tuple[Condition, ...] = ((flag, 1, None),)
        yield flow(COMMIT, 200, match, *counted, *copies, Goto(CHAIN_TABLE), category=Category.TRACK)
    if intent.logs:
        logged = ((FRESH, 1, None), (LOGGED, 1, None), (GATHERED, 0, None))
        yield flow(COMMIT, 130, logged, *counted, *copies, Goto(LOG_COMMIT), category=Category.TRACK)
    for family in (IPV4, IPV6):
        fresh = ((FRESH, 1, None), family)
        remember = (*copies, remembered(LABEL), Goto(CHAIN_TABLE))
        yield flow(COMMIT, 100, fresh, *remember, category=Category.TRACK)
        sctp = (*fresh, (IP_PROTO, 132, None), (GATHERED, 0, None))
        with_ports = (*copies, remembered(LABEL_SCTP), Goto(CHAIN_TABLE))
        yield flow(COMMIT, 105, sctp, *with_ports, category=Category.TRACK)
        if intent.chains:
            # Fragments wait but once in one pass: those that a chain remembers again come back before it.
            together = (*fresh, (GATHERED, 1, None))
            back = Ct(zone=TRACK_ZONE, table=CHAIN_TABLE, commit=True, fields=LABEL)
            yield flow(COMMIT, 120, (*together, (CHAIN, 0, None)), *remember, category=Category.TRACK)
            yield flow(COMMIT, 110, together, *copies, back, category=Category.TRACK)
    rest = (*counted, *copies, Goto(CHAIN_TABLE))
    for more, known, mark in marks_again():
        yield flow(COMMIT, 60 + more, ((FRESH, 0, None), *known), *mark, *rest, category=Category.TRACK)
    yield flow(COMMIT, 50, ((FRESH, 0, None),), *rest, category=Category.TRACK)
