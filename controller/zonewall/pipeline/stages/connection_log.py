"""Rows that count: one for each connection of a rule that logs, where the connection enters the fabric.

A row is made by ``learn`` with a connection's first packet, on the bridge that it enters by, and counts the
packets of both directions there. It decides nothing. It ends when no packet comes for a while, and the bridge
then tells what it has counted. Rows are no flows of the compiler's: nothing compares them with anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.model import BridgeIntent
from zonewall.pipeline.cookie import Category, cookie
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import IPV4, IPV6
from zonewall.pipeline.model import (
    Action,
    Condition,
    Ct,
    Field,
    Flow,
    Learn,
    Move,
    PopField,
    PushField,
    Resubmit,
    SamplePacket,
    SetField,
)
from zonewall.pipeline.packet_fields import (
    CT_REL,
    IP_FRAG,
    IP_PROTO,
    IPV4_DST,
    IPV4_SRC,
    IPV6_DST,
    IPV6_SRC,
    SCTP_DST,
    SCTP_SRC,
    TCP_DST,
    TCP_SRC,
    UDP_DST,
    UDP_SRC,
)
from zonewall.pipeline.registers import (
    ANSWER,
    CHAIN,
    DST_IDENTITY,
    FRESH,
    FROM_ENDPOINT,
    FROM_FABRIC,
    FROM_SERVICE,
    FROM_UPLINK,
    LABEL_BEGUN,
    LABEL_DST,
    LABEL_RULE,
    LABEL_SRC,
    LOG_DUE,
    LOG_KNOWN,
    LOGGED,
    MARK_DPORT,
    MARK_SPORT,
    ORIGIN,
    PATH,
    RULE,
    SRC_IDENTITY,
    TRACK_ZONE,
    VIA,
    VIA_LOCAL,
    VIA_UPLINK,
)
from zonewall.pipeline.stages.asking import remembered, state_condition
from zonewall.pipeline.tables import (
    CHAIN_TABLE,
    LOG,
    LOG_BEGIN,
    LOG_COMMIT,
    LOG_EXPORT,
    LOG_FIRST,
    LOG_ROWS,
    LOG_TURN,
)

COLLECTORS = 0x5A57
"""Number of the set of IPFIX collectors in a bridge's database."""

MOST_ROWS = 50_000
"""Connections that a bridge counts at a time; what begins beyond that is counted as not recorded."""

TCP_IDLE_S = 300
FIN_IDLE_S = 2
OTHER_IDLE_S = 15
"""A connection that is silent for so long has ended; a longer pause within one makes two records of it."""

BEGINS = 0
TAKEN_UP = 1
"""In the cookie's rule number: the row was made with a connection's first packet, or in its middle."""

LABEL = (
    Move(RULE, LABEL_RULE),
    Move(SRC_IDENTITY, LABEL_SRC),
    Move(DST_IDENTITY, LABEL_DST),
    SetField(LABEL_BEGUN, 1),
)
"""What a connection is remembered by when it is committed."""
LABEL_SCTP = (*LABEL, Move(SCTP_SRC, MARK_SPORT), Move(SCTP_DST, MARK_DPORT))
"""The same of SCTP."""

_ADDRESSES = ((IPV4, IPV4_SRC, IPV4_DST), (IPV6, IPV6_SRC, IPV6_DST))
_PORTS = {6: (TCP_SRC, TCP_DST), 17: (UDP_SRC, UDP_DST), 132: (SCTP_SRC, SCTP_DST)}


def counting(intent: BridgeIntent) -> tuple[Action, ...]:
    """Return what commit does beside, where a rule logs."""
    return (Resubmit(LOG),) if intent.logs else ()


def log_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows by which connections of logged rules are counted."""
    if not intent.logs:
        return
    yield from _where(intent)
    for family, source, destination in _ADDRESSES:
        for protocol, ports in _PORTS.items():
            kind = (family, (IP_PROTO, protocol, None))
            yield _turned(100, kind, ((source, destination), ports))
            yield from _beginnings(100, kind, (source, destination, *ports), protocol)
        yield _turned(50, (family,), ((source, destination),))
        yield from _beginnings(50, (family,), (source, destination, IP_PROTO), 0)
    yield from _commits()


def export_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows that tell IPFIX of packets: the action takes numbers only, no field.

    They name the bridge, and so are its own where all others are alike.
    """
    if not (intent.logs and intent.export):
        return
    probability = max(1, 0xFFFF // intent.export)
    for rule in [modifier.rule for modifier in intent.modifiers if modifier.logged]:
        told = SamplePacket(probability, COLLECTORS, intent.number, rule)
        yield flow(LOG_EXPORT, 100, ((RULE, rule, None),), told, category=Category.MODIFIER, rule=rule)


def _where(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield where packets count: first directions where they enter, answers where they leave for good."""
    logged: Condition = (LOGGED, 1, None)
    category = Category.CONNECTION_LOG
    export: tuple[Action, ...] = (Resubmit(LOG_EXPORT),) if intent.export else ()
    turn = (*export, Resubmit(LOG_TURN))
    yield flow(LOG, 200, (logged, state_condition(CT_REL)), category=category)
    for family in (IPV4, IPV6):
        for fragment in ((IP_FRAG, 1, None), (IP_FRAG, 2, 2)):
            # Fragments show the tables no ports: they would be a connection of their own.
            yield flow(LOG, 210, (logged, family, fragment), category=category)
    for origin in (FROM_ENDPOINT, FROM_UPLINK):
        first = (logged, (ANSWER, 0, None), (ORIGIN, origin, None))
        yield flow(LOG, 100, first, *export, Resubmit(LOG_ROWS), Resubmit(LOG_BEGIN), category=category)
    for via in (VIA_LOCAL, VIA_UPLINK):
        answer = (logged, (ANSWER, 1, None), (VIA, via, None))
        for origin in (FROM_FABRIC, FROM_SERVICE):
            yield flow(LOG, 100, (*answer, (ORIGIN, origin, None)), *turn, category=category)
        for origin in (FROM_ENDPOINT, FROM_UPLINK):
            from_here = (*answer, (ORIGIN, origin, None))
            yield flow(LOG, 100, (*from_here, (CHAIN, 0, None)), *turn, category=category)
            for number, way in _once_only(intent, origin):
                on_its_way = (*from_here, (CHAIN, number, None), (PATH, way, None))
                yield flow(LOG, 100, on_its_way, *turn, category=category)


def _once_only(intent: BridgeIntent, origin: int) -> Iterator[tuple[int, int]]:
    """Yield chains and ways whose answers from here are not judged here once more when they leave for good.

    Those that pass by the appliances; and an endpoint's that come out of the last appliance on this bridge.
    """
    for chain in intent.chains:
        if chain.bypass:
            yield chain.number, chain.number
        for path in chain.paths if origin == FROM_ENDPOINT else ():
            if path.hops[0].enter.ofport is not None:
                yield chain.number, path.number


def _turned(priority: int, match: tuple[Condition, ...], pairs: tuple[tuple[Field, Field], ...]) -> Flow:
    """Return the flow that looks an answer up with its ends changed over, and changes them back."""
    turn: list[Action] = []
    for one, other in pairs:
        turn += [PushField(one), PushField(other), PopField(one), PopField(other)]
    actions = (*turn, Resubmit(LOG_ROWS), *turn)
    return flow(LOG_TURN, priority, match, *actions, category=Category.CONNECTION_LOG)


def _beginnings(
    priority: int, match: tuple[Condition, ...], same: tuple[Field, ...], protocol: int
) -> Iterator[Flow]:
    """Yield the flows that make a row."""
    unknown: Condition = (LOG_KNOWN, 0, None)
    for is_new in (True, False):
        learn = Learn(
            LOG_ROWS,
            same=(*same, RULE, SRC_IDENTITY, DST_IDENTITY),
            fixed=match,
            actions=(SetField(LOG_KNOWN, 1),),
            cookie=cookie(Category.CONNECTION, BEGINS if is_new else TAKEN_UP),
            idle_s=TCP_IDLE_S if protocol == 6 else OTHER_IDLE_S,
            fin_idle_s=FIN_IDLE_S if protocol == 6 else 0,
            limit=MOST_ROWS,
        )
        state: Condition = (FRESH, int(is_new), None)
        due = (SetField(LOG_DUE, 1),) if is_new else ()
        yield flow(
            LOG_BEGIN, priority, (unknown, state, *match), learn, *due,
            category=Category.CONNECTION_LOG, rule=BEGINS if is_new else TAKEN_UP,
        )  # fmt: skip


def _commits() -> Iterator[Flow]:
    """Yield the flows that remember a recorded connection; the search after tracking sees its new row."""
    sctp: Condition = (IP_PROTO, 132, None)
    for family in (IPV4, IPV6):
        for more, kind, label in ((0, (family,), LABEL), (5, (family, sctp), LABEL_SCTP)):
            once_more = Ct(zone=TRACK_ZONE, commit=True, table=LOG_FIRST, fields=label)
            due, known = ((LOG_DUE, 1, None), *kind), ((LOG_DUE, 0, None), *kind)
            yield flow(LOG_COMMIT, 100 + more, due, once_more, category=Category.TRACK)
            rest = (remembered(label), Resubmit(CHAIN_TABLE))
            yield flow(LOG_COMMIT, 50 + more, known, *rest, category=Category.TRACK)
    # What comes back untracked are fragments of others that waited in vain.
    first = (Resubmit(LOG_ROWS), Resubmit(CHAIN_TABLE))
    yield flow(LOG_FIRST, 100, (state_condition(),), *first, category=Category.CONNECTION_LOG)
