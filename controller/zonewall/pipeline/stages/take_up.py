"""Connections in their middle: an endpoint has just come, and nobody here has seen its connections begin.

While its window is open, packets of what the rules allow pass, in the rule's direction and as answers of it.
With an end that was on this bridge all the time nothing is taken up: its connections are tracked here since
they began. What passes in the rule's direction is committed as any other; an answer of TCP is not, because
the other direction's acknowledgement follows. An answer over UDP may be all that ever comes: between
endpoints it is committed *turned*, and judged from then on by its connection's real first direction.
"""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import BridgeIntent
from zonewall.pipeline.cookie import Category
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import IPV4, IPV6
from zonewall.pipeline.model import Action, Condition, Flow, Goto, Move, Resubmit, SetField
from zonewall.pipeline.packet_fields import (
    CT_INV,
    CT_NEW,
    CT_RPL,
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
    ALLOW,
    ANSWER,
    BANK,
    DST_IDENTITY,
    DST_MOVED,
    FRESH,
    FROM_ENDPOINT,
    LABEL_TURNED,
    MIRROR_ALLOWED,
    MIRROR_DROPPED,
    MIRROR_DUE,
    MONITORED,
    ORIGIN,
    OUTSIDE_BIT,
    RULE,
    SRC_IDENTITY,
    SRC_MOVED,
    TAKE_UP,
    TURNED,
    VERDICT,
    VIA,
    VIA_LOCAL,
)
from zonewall.pipeline.stages.asking import (
    SWAP_IDENTITIES,
    TURN,
    ask_all,
    ask_turned,
    remembered,
    state_condition,
)
from zonewall.pipeline.stages.connection_log import LABEL, counting
from zonewall.pipeline.tables import ACT, ADMIT, CHAIN_TABLE, COMMIT, JUDGE, MIRROR_EMIT, TAKE_UP_TABLE

_AGAIN: tuple[Action, ...] = (
    *SWAP_IDENTITIES,
    *(SetField(field, 0) for field in (RULE, VERDICT, MONITORED, MIRROR_ALLOWED, MIRROR_DROPPED)),
)
"""Before the other direction is asked for: what the first has found is forgotten."""

_TCP: Condition = (IP_PROTO, 6, None)
_UDP: Condition = (IP_PROTO, 17, None)


def other_direction_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """For SCTP: two hosts that began associations both ways share one entry, so both directions are asked."""
    yield flow(TAKE_UP_TABLE, 100, ((VERDICT, ALLOW, None),), Goto(ACT), category=Category.TAKE_UP)
    ask_again = {0: ask_turned(intent, SCTP_SRC, SCTP_DST), 1: ask_all(intent, False)}
    for answer, again in ask_again.items():
        turned = (*_AGAIN, SetField(ANSWER, 1 - answer))
        for family in (IPV4, IPV6):
            match = (family, (IP_PROTO, 132, None), (ANSWER, answer, None))
            for bank, reverse in intent.turned:
                between = (*turned, SetField(BANK, reverse), *again, Goto(ACT))
                mine = (*match, (BANK, bank, None))
                yield flow(TAKE_UP_TABLE, 65, mine, *between, category=Category.TAKE_UP)
            yield flow(TAKE_UP_TABLE, 60, match, *turned, *again, Goto(ACT), category=Category.TAKE_UP)


def take_up_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of the window, for a bridge to which one endpoint has come, or a thousand."""
    enter = (*ask_all(intent, False), Goto(TAKE_UP_TABLE))
    plain = (*ask_all(intent, False), Goto(ACT))
    from_here, to_here = (ORIGIN, FROM_ENDPOINT, None), (VIA, VIA_LOCAL, None)
    src, dst = (SRC_MOVED, 1, None), (DST_MOVED, 1, None)
    for family in (IPV4, IPV6):
        tcp = (state_condition(CT_NEW), family, _TCP, (TCP_FLAGS, 0, TCP_SYN))
        udp = (state_condition(CT_NEW), family, _UDP)
        for match, stayed in ((tcp, ()), (udp, plain)):
            yield flow(JUDGE, 720, (*match, src, dst), *enter, category=Category.TAKE_UP)
            for ends in ((src, to_here), (dst, from_here)):
                yield flow(JUDGE, 710, (*match, *ends), *stayed, category=Category.TAKE_UP)
            for end in (src, dst):
                yield flow(JUDGE, 700, (*match, end), *enter, category=Category.TAKE_UP)
    yield from _answers(intent)
    yield from _turned_commits(intent)


def _answers(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of take_up for what is not allowed as it is: as the answer of what is allowed?"""
    views: list[tuple[int, tuple[Condition, ...], tuple[Action, ...]]] = [(0, (), ())]
    views += [(10, ((BANK, bank, None),), (SetField(BANK, reverse),)) for bank, reverse in intent.turned]
    outside = (OUTSIDE_BIT, OUTSIDE_BIT)
    for more, view, other_bank in views:
        for protocol, source, destination in ((_TCP, TCP_SRC, TCP_DST), (_UDP, UDP_SRC, UDP_DST)):
            again = (*other_bank, *_AGAIN, SetField(ANSWER, 1), *ask_turned(intent, source, destination))
            once = (*again, SetField(TAKE_UP, 1), Goto(ACT))
            kept = (*again, SetField(TURNED, 1), Goto(ACT))
            for family in (IPV4, IPV6):
                match = (*view, family, protocol)
                actions = once if protocol is _TCP else kept
                yield flow(TAKE_UP_TABLE, 50 + more, match, *actions, category=Category.TAKE_UP)
                for field in (SRC_IDENTITY, DST_IDENTITY) if protocol is _UDP else ():
                    far = (*match, (field, *outside))
                    yield flow(TAKE_UP_TABLE, 70 + more, far, *once, category=Category.TAKE_UP)


def _turned_commits(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of commit for answers that are remembered as such, and of admit: they begin nothing."""
    copies: tuple[Action, ...] = ()
    if intent.sinks:
        copies = (Move(MIRROR_ALLOWED, MIRROR_DUE), Resubmit(MIRROR_EMIT))
    copies = (*counting(intent), *copies)
    remember = remembered((*LABEL, SetField(LABEL_TURNED, 1)))
    for family in (IPV4, IPV6):
        match = ((FRESH, 1, None), (TURNED, 1, None), family)
        yield flow(COMMIT, 150, match, *copies, remember, Goto(CHAIN_TABLE), category=Category.TAKE_UP)
    for flag in (TAKE_UP, TURNED):
        yield flow(ADMIT, 110, ((flag, 1, None),), Goto(COMMIT), category=Category.TAKE_UP)


def turned_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of judge for connections that tracking knows from an answer on."""
    turned: tuple[Condition, ...] = (_UDP, (LABEL_TURNED, 1, None))
    as_it_is = (*ask_all(intent, False), Goto(ACT))
    as_answer = (*TURN, *ask_turned(intent, UDP_SRC, UDP_DST), Goto(ACT))
    for family in (IPV4, IPV6):
        first = (state_condition(0, CT_INV | CT_RPL), family, *turned)
        yield flow(JUDGE, 830, first, *as_answer, category=Category.TRACK)
        second = (state_condition(CT_RPL, CT_INV), family, *turned)
        yield flow(JUDGE, 830, second, *as_it_is, category=Category.TRACK)
        for bank, reverse in intent.turned:
            match = (*first, (BANK, bank, None))
            actions = (SetField(BANK, reverse), *as_answer)
            yield flow(JUDGE, 840, match, *actions, category=Category.TRACK)
