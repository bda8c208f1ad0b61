"""Connections that a rule let in and that the policy of the moment refuses: each is told once.

A packet is refused by what is in force now, whatever its connection was. That the connection had been allowed
is remembered with it (``label_begun``); with the first packet that is refused a copy goes to the controller,
and the mark is taken away, so that a busy transfer that is cut makes one report, however much it sends.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from zonewall.intent.model import BankFrame, BridgeIntent
from zonewall.pipeline.cookie import Category, Reason
from zonewall.pipeline.make import flow, judge
from zonewall.pipeline.matches import FAMILIES, IPV4, IPV6
from zonewall.pipeline.model import (
    Action,
    Clone,
    Condition,
    Ct,
    Flow,
    Goto,
    Meter,
    MeterEntry,
    MeterUnit,
    Move,
    PopField,
    PushField,
    Resubmit,
    SetField,
    ToController,
)
from zonewall.pipeline.packet_fields import (
    CT_INV,
    CT_NEW,
    CT_REL,
    CT_RPL,
    CT_RPL_BIT,
    IP_FRAG,
    IP_PROTO,
    SCTP_DST,
    SCTP_SRC,
)
from zonewall.pipeline.registers import (
    ALLOW,
    ANSWER,
    BANK,
    CHAIN,
    DROP,
    FROM_ENDPOINT,
    FROM_UPLINK,
    GATHERED,
    HAD,
    HAD_BEGUN,
    HAD_ENDED,
    HAD_RULE,
    LABEL_BEGUN,
    LABEL_RULE,
    LABEL_TURNED,
    MARK_DPORT,
    MARK_SPORT,
    MONITORED,
    ORIGIN,
    REJECT,
    RULE,
    TRACK_ZONE,
    VERDICT,
)
from zonewall.pipeline.stages.asking import SWAP_IDENTITIES, remembered, state_condition
from zonewall.pipeline.tables import ACT, ASSOCIATION, CUT, ISOLATED, PARTED, REJECT_TABLE

UNDECIDED = 0

CUT_METER = 32765
"""Between the ports' meters and those of limits."""

CUT_RATE_PPS = 500
"""Reports a second of a bridge, and as many at once; beyond that a connection's next packet tells."""

CUT_BYTES = 128

PARTED_METER = 32764
"""As many reports again of what isolation ends: who is isolated cannot keep other reports away."""

_SCTP: Condition = (IP_PROTO, 132, None)
_REPLY = state_condition(CT_RPL, CT_INV | CT_REL)


def cut_flows(intent: BridgeIntent, copies: tuple[Action, ...]) -> Iterator[Flow]:
    """Yield the flows of act for what is refused of connections that had begun.

    Where a packet enters only, so that a refused packet is told by one bridge. Of SCTP, which user space
    tracks by addresses alone, another association may be refused: what was allowed is asked for first.
    """
    state = state_condition(0, CT_INV | CT_REL)
    for verdict in (UNDECIDED, DROP, REJECT):
        decided: Condition = (VERDICT, verdict, None)
        copy = () if verdict == UNDECIDED else copies
        for family in (IPV4, IPV6):
            answered: tuple[Action, ...] = (Resubmit(REJECT_TABLE),) if verdict == REJECT else ()
            for origin in (FROM_ENDPOINT, FROM_UPLINK):
                here = (decided, family, (ORIGIN, origin, None))
                whole = (*here, state, (LABEL_BEGUN, 1, None), (GATHERED, 0, None))
                for match in (whole, (*here, (HAD, HAD_BEGUN, None), (GATHERED, 1, None))):
                    yield flow(ACT, 150, match, *copy, *answered, Goto(CUT), category=Category.TRACK)
                asked = (*copy, *answered, Goto(ASSOCIATION))
                yield flow(ACT, 160, (*whole, _SCTP), *asked, category=Category.TRACK)


def association_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows that ask for what an SCTP entry is remembered by, in the place of the packet's own.

    Registers are as the packet is, or turned (``answer``); the entry may know it by the other direction. The
    frame gets the ports that were asked for, so that a report is about them. Asked with 0 are none: entries
    older than this have no ports.
    """
    if not intent.judges:
        return
    nothing = ((MARK_SPORT, 0, None), (MARK_DPORT, 0, None))
    yield flow(ASSOCIATION, 200, nothing, category=Category.TRACK)
    named = (Move(MARK_SPORT, SCTP_SRC), Move(MARK_DPORT, SCTP_DST))
    back = (PushField(SCTP_SRC), PushField(SCTP_DST), PopField(SCTP_SRC), PopField(SCTP_DST))
    forgotten = tuple(SetField(field, 0) for field in (RULE, VERDICT, MONITORED))
    ask = (*forgotten, *named, *judge(False, intent.sections))
    for reply, answer, family in product((0, 1), (0, 1), (IPV4, IPV6)):
        state = state_condition(CT_RPL if reply else 0, 0 if reply else CT_RPL)
        match = (family, _SCTP, state, (ANSWER, answer, None))
        turn: tuple[Action, ...] = () if reply == answer else (*SWAP_IDENTITIES, SetField(ANSWER, reply))
        rest = (*turn, *ask, *(back if reply else ()), Resubmit(CUT))
        yield flow(ASSOCIATION, 100, match, *rest, category=Category.TRACK)
        for bank, other in intent.turned if turn else ():
            mine = (*match, (BANK, bank, None))
            yield flow(ASSOCIATION, 110, mine, SetField(BANK, other), *rest, category=Category.TRACK)


def had_been() -> Iterator[tuple[int, tuple[Condition, ...], tuple[Action, ...]]]:
    """Yield how a first fragment keeps what its connection is remembered by: more priority, match, actions.

    Only what has its fragments' connection in its label: no error about one, and no SCTP.
    """
    known = state_condition(0, CT_INV | CT_REL)
    yield 4, (known, (LABEL_BEGUN, 1, None)), (SetField(HAD, HAD_BEGUN), Move(LABEL_RULE, HAD_RULE))
    yield (
        2,
        (state_condition(0, CT_NEW | CT_INV | CT_REL), (LABEL_BEGUN, 0, None)),
        (SetField(HAD, HAD_ENDED),),
    )
    yield 6, ((IP_PROTO, 132, None),), ()


def report_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of cut: what its meter stops is a report, for copies and answers have left before.

    In a table of its own, as Open vSwitch takes a meter before all other actions of a flow only. A datagram's
    fragments take the mark away together, or leave it where the meter stops the first, which has the ports.
    """
    if intent.judges:
        unmark = remembered((SetField(LABEL_BEGUN, 0),))
        tell = ToController(bytes([Reason.CUT]), max_len=CUT_BYTES)
        for family in (IPV4, IPV6):
            sctp = (family, _SCTP, (LABEL_BEGUN, 0, None))
            mark = remembered((SetField(LABEL_BEGUN, 1),))
            yield flow(CUT, 140, (*sctp, (VERDICT, ALLOW, None)), mark, category=Category.TRACK)
            yield flow(CUT, 130, (family, _SCTP, (VERDICT, ALLOW, None)), category=Category.TRACK)
            yield flow(CUT, 120, sctp, category=Category.TRACK)
            yield flow(CUT, 110, (family, (IP_FRAG, 2, 2)), unmark, category=Category.TRACK)
            yield flow(CUT, 100, (family,), Meter(CUT_METER), unmark, tell, category=Category.TRACK)


def isolated_flows(bank: BankFrame) -> Iterator[Flow]:
    """Yield the flows that look up what an isolated end says or is told: nothing of it goes on."""
    for family in bank.families:
        look_up = (SetField(TRACK_ZONE, bank.zone), Ct(zone=bank.zone, table=PARTED))
        where = ((BANK, bank.number, None), FAMILIES[family])
        yield flow(ISOLATED, 100, where, *look_up, category=Category.ISOLATION)


def parted_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows that tell which connections isolation has ended; whatever matches none is dropped, too.

    On the isolated end's bridge alone, which refuses both directions. Fragments come together, as they were
    looked up: the first, which has the ports, tells, and all of them take the mark away.
    """
    if not intent.judges:
        return
    unmark = remembered((SetField(LABEL_BEGUN, 0),))
    tell = ToController(bytes([Reason.ISOLATED]), max_len=CUT_BYTES)
    for family in (IPV4, IPV6):
        begun = (family, state_condition(0, CT_INV | CT_REL), (LABEL_BEGUN, 1, None))
        later = (*begun, (IP_FRAG, 2, 2))
        yield flow(PARTED, 120, later, unmark, category=Category.ISOLATION)
        known: Condition = (LABEL_TURNED, 0, None)
        told = (Move(CT_RPL_BIT, ANSWER), unmark, tell)
        yield flow(PARTED, 100, (*begun, known), Meter(PARTED_METER), *told, category=Category.ISOLATION)
        for state, answer in ((state_condition(0, CT_INV | CT_REL | CT_RPL), 1), (_REPLY, 0)):
            known_turned = (family, state, (LABEL_BEGUN, 1, None), (LABEL_TURNED, 1, None))
            told_turned = (SetField(ANSWER, answer), unmark, tell)
            yield flow(
                PARTED, 100, known_turned, Meter(PARTED_METER), *told_turned, category=Category.ISOLATION
            )


def marks_again() -> Iterator[tuple[int, tuple[Condition, ...], tuple[Action, ...]]]:
    """Yield what commit does for a connection that is allowed again, or is older than the mark.

    More priority, match, actions. Of SCTP what is remembered is asked for: this may be another association.
    """
    mark: Action = remembered((SetField(LABEL_BEGUN, 1),))
    known = (state_condition(0, CT_NEW | CT_INV | CT_REL), (LABEL_BEGUN, 0, None), (GATHERED, 0, None))
    for family in (IPV4, IPV6):
        yield 0, (*known, family), (mark,)
        yield 5, (*known, family, _SCTP), (Clone((Resubmit(ASSOCIATION),)),)
        for origin in (FROM_ENDPOINT, FROM_UPLINK):
            # Fragments wait but once in one pass: those that a chain remembers are left out.
            together = ((HAD, HAD_ENDED, None), (GATHERED, 1, None), (CHAIN, 0, None), (ORIGIN, origin, None))
            yield 0, (*together, family), (mark,)


def cut_meters(intent: BridgeIntent) -> Iterator[MeterEntry]:
    """Yield the meters of a bridge's reports."""
    if intent.judges:
        for number in (PARTED_METER, CUT_METER):
            yield MeterEntry(number, MeterUnit.PPS, CUT_RATE_PPS, CUT_RATE_PPS)
