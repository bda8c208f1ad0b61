"""Through service functions: which way a connection takes, into appliances' legs, and what may come back.

A connection takes one of its rule's ways and remembers it, in its label, for as long as the way is usable: an
appliance that comes or goes touches nobody else's connections. The bridge where its first direction enters
chooses; the one at its other end takes over which way its packets have come, so that answers go back by it.
"""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.chain_model import Chain, ChainPath, Leg
from zonewall.intent.model import BridgeIntent
from zonewall.pipeline.cookie import Category, Reason
from zonewall.pipeline.make import flow
from zonewall.pipeline.matches import IPV4, IPV6, UNTAGGED, tagged
from zonewall.pipeline.model import (
    Action,
    Condition,
    Ct,
    Field,
    Flow,
    Goto,
    MeterEntry,
    MeterUnit,
    Move,
    Output,
    OutputField,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    Spread,
    ToController,
)
from zonewall.pipeline.packet_fields import (
    CT_INV,
    CT_NEW,
    CT_RPL,
    CT_STATE,
    CT_TRK,
    ETH_DST,
    ETH_SRC,
    ETH_TYPE,
    IN_PORT,
    TUN_ID,
    VLAN_VID,
)
from zonewall.pipeline.registers import (
    ANSWER,
    ARRIVED,
    BANK,
    CHAIN,
    FROM_ENDPOINT,
    FROM_FABRIC,
    FROM_SERVICE,
    FROM_UPLINK,
    GATHERED,
    LABEL_CHAIN,
    LABEL_FIRST_MAC,
    LABEL_OTHER_MAC,
    LABEL_TURNED,
    LEG_VLAN,
    ORIGIN,
    OUT_PORT,
    OUTSIDE_BIT,
    PATH,
    PICK,
    SRC_IDENTITY,
    SRC_LOCAL,
    TAKE_UP,
    TENANT,
    TRACK_ZONE,
    UNTRACKED,
    VIA,
    VIA_LOCAL,
    VIA_UPLINK,
)
from zonewall.pipeline.stages.asking import remembered, state_condition
from zonewall.pipeline.stages.classify import broadcast_meter
from zonewall.pipeline.tables import (
    CHAIN_PICK,
    CHAIN_TABLE,
    CLASSIFY,
    DELIVER,
    FABRIC_IN,
    FABRIC_TENANT,
    OVERLAY_IN,
    SERVICE_IN,
    SERVICE_KNOWN,
    SERVICE_RETURN,
    SOURCE,
    STEER,
    STEER_BACK,
    TO_UPLINK,
    TRACK,
)

PROBES_PER_S = 20
PROBE_BYTES = 128
_NOWHERE = SetField(IN_PORT, 0)
"""So that a frame may leave by the port that it came in by (ovs-actions(7), "output")."""


def chain_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of chain: the bridge where a packet enters sends it into the way's first leg."""
    if not intent.judges or not intent.chains:
        return
    yield from _arrived()
    if any(chain.at_client for chain in intent.chains):
        yield from _elsewhere()
    in_vain = ((GATHERED, 1, None), (CT_STATE, 0, CT_TRK))
    yield flow(CHAIN_TABLE, 500, in_vain, category=Category.REFUSED)
    for chain in intent.chains:
        yield from _entering(chain)
        yield from _choosing(chain)


def _arrived() -> Iterator[Flow]:
    """Yield what is done with what comes over links and out of appliances: it is on its way already."""
    remember = remembered((Move(ARRIVED, LABEL_CHAIN),))
    for origin in (FROM_FABRIC, FROM_SERVICE):
        here: Condition = (ORIGIN, origin, None)
        yield flow(CHAIN_TABLE, 330, (here, (ARRIVED, 0, None)), Goto(DELIVER), category=Category.SERVICE)
        yield flow(CHAIN_TABLE, 320, (here, (ANSWER, 1, None)), Goto(DELIVER), category=Category.SERVICE)
        for family in (IPV4, IPV6):
            yield flow(CHAIN_TABLE, 310, (here, family), remember, Goto(DELIVER), category=Category.SERVICE)


def _elsewhere() -> Iterator[Flow]:
    """Yield what passes by because the bridge of the connection's client, another one, sends it through."""
    endpoint: Condition = (SRC_IDENTITY, 0, OUTSIDE_BIT)
    from_client = (endpoint, (ORIGIN, FROM_UPLINK, None), (ANSWER, 0, None))
    to_client = (endpoint, (ORIGIN, FROM_ENDPOINT, None), (ANSWER, 1, None), (VIA, VIA_UPLINK, None))
    for match in (from_client, to_client):
        yield flow(CHAIN_TABLE, 410, match, Goto(DELIVER), category=Category.SERVICE)


def _entering(chain: Chain) -> Iterator[Flow]:
    """Yield where a packet goes whose connection has its way."""
    marked: Condition = (CHAIN, chain.number, None)
    untracked = (marked, (UNTRACKED, 1, None))
    if chain.usable or not chain.bypass:
        yield flow(CHAIN_TABLE, 400, untracked, category=Category.REFUSED)
    else:
        yield flow(CHAIN_TABLE, 400, untracked, Goto(DELIVER), category=Category.SERVICE)
    for path in chain.usable:
        for answer, leg in ((0, path.hops[0].enter), (1, path.hops[-1].leave)):
            match = (marked, (PATH, path.number, None), (ANSWER, answer, None))
            yield flow(CHAIN_TABLE, 200, match, *_to_leg(path, leg, answer), category=Category.SERVICE)
    if chain.bypass:
        # Who began without the appliances goes on without them: they would not know the connection.
        passes_by = (marked, (PATH, chain.number, None))
        yield flow(CHAIN_TABLE, 200, passes_by, Goto(DELIVER), category=Category.SERVICE)
        came = (marked, (ORIGIN, FROM_FABRIC, None), (ANSWER, 0, None), (ARRIVED, 0, None))
        for family in (IPV4, IPV6):
            yield flow(
                CHAIN_TABLE, 350, (*came, family), SetField(PATH, chain.number), *_remembered(),
                Goto(DELIVER), category=Category.SERVICE,
            )  # fmt: skip


def _choosing(chain: Chain) -> Iterator[Flow]:
    """Yield how a connection gets a way that has none, or one whose appliance is away."""
    marked: Condition = (CHAIN, chain.number, None)
    yield flow(CHAIN_TABLE, 40, (marked,), category=Category.REFUSED)
    usable = chain.usable
    if not usable and not chain.bypass:
        return
    choose: tuple[Action, ...] = (SetField(PATH, usable[0].number if usable else chain.number),)
    again = Resubmit(CHAIN_TABLE)
    if len(usable) > 1:
        # A later fragment shows no ports to pick by: a connection that begins with fragments has the first.
        for family in (IPV4, IPV6):
            cut = (marked, (GATHERED, 1, None), family)
            yield flow(CHAIN_TABLE, 55, cut, *choose, *_remembered(), again, category=Category.SERVICE)
        choose = (Spread(PICK, len(usable)), Resubmit(CHAIN_PICK))
        for at, path in enumerate(usable):
            match = (marked, (PICK, at, None))
            yield flow(CHAIN_PICK, 100, match, SetField(PATH, path.number), category=Category.SERVICE)
    yield flow(CHAIN_TABLE, 60, (marked, (TAKE_UP, 1, None)), *choose, again, category=Category.SERVICE)
    for family in (IPV4, IPV6):
        yield flow(
            CHAIN_TABLE, 50, (marked, family), *choose, *_remembered(), again, category=Category.SERVICE
        )


def _remembered() -> tuple[Action, ...]:
    return (remembered((Move(PATH, LABEL_CHAIN),)),)


def _to_leg(path: ChainPath, leg: Leg, answer: int) -> tuple[Action, ...]:
    """Return what brings a packet into a leg, here or elsewhere; the leg's bridge knows the direction."""
    if leg.ofport is None:
        return (SetField(VIA, leg.destination), Goto(DELIVER))
    return (*_into(path, leg, answer), Goto(STEER))


def _into(path: ChainPath, leg: Leg, answer: int) -> tuple[Action, ...]:
    vlan = (SetField(LEG_VLAN, leg.vlan),)
    marks = (SetField(CHAIN, path.number), SetField(OUT_PORT, leg.ofport or 0), SetField(ANSWER, answer))
    return (*marks, *vlan)


def leg_port_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of classify for appliances' legs on this bridge, and of what comes for them."""
    for chain in intent.chains:
        enter = (SetField(TENANT, chain.tenant), SetField(BANK, chain.bank), SetField(ORIGIN, FROM_SERVICE))
        for path in chain.paths:
            for leg in path.legs:
                match, untag = _at(leg)
                if leg.heard:
                    up = ToController(bytes([Reason.PROBE]), broadcast_meter(leg.ofport or 0), PROBE_BYTES)
                    probe = (*match, (ETH_TYPE, leg.heard, None))
                    yield flow(CLASSIFY, 220, probe, up, category=Category.SERVICE)
                yield flow(
                    CLASSIFY, 200, match, *untag, *enter, Goto(SERVICE_RETURN), category=Category.SERVICE
                )
            yield from _legs_here(intent, chain, path)


def probe_meters(intent: BridgeIntent) -> Iterator[MeterEntry]:
    """Yield the meters of what comes out of legs as probes."""
    ports = {leg.ofport or 0 for c in intent.chains for path in c.paths for leg in path.legs if leg.heard}
    for ofport in sorted(ports):
        yield MeterEntry(broadcast_meter(ofport), MeterUnit.PPS, PROBES_PER_S, PROBES_PER_S)


def _at(leg: Leg) -> tuple[tuple[Condition, ...], tuple[Action, ...]]:
    """Return what tells that a frame came out of a leg, and what makes it untagged."""
    if not leg.vlan:
        return ((IN_PORT, leg.ofport or 0, None), UNTAGGED), ()
    return ((IN_PORT, leg.ofport or 0, None), tagged(leg.vlan)), (PopVlan(), SetField(LEG_VLAN, leg.vlan))


def _legs_here(intent: BridgeIntent, chain: Chain, path: ChainPath) -> Iterator[Flow]:
    for hop in path.hops:
        for answer, leg in ((0, hop.enter), (1, hop.leave)):
            if leg.ofport is None:
                continue
            tenant = (SetField(TENANT, chain.tenant), SetField(BANK, chain.bank))
            to_leg = (*_into(path, leg, answer), *tenant, Goto(SERVICE_IN))
            number = tagged(leg.destination)
            yield flow(FABRIC_IN, 200, (number,), PopVlan(), *to_leg, category=Category.SERVICE)
            if intent.tunnel_peers:
                tun_id = (TUN_ID, leg.destination << 12 | chain.tenant, None)
                yield flow(OVERLAY_IN, 200, (tun_id,), *to_leg, category=Category.SERVICE)


def arrival_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield how what has come a way is told from what has not: the tenant goes by another number."""
    for chain in intent.chains:
        tenant = (SetField(TENANT, chain.tenant), SetField(BANK, chain.bank), SetField(ORIGIN, FROM_FABRIC))
        for path in chain.paths:
            enter = (*tenant, SetField(ARRIVED, path.number), Goto(SOURCE))
            match = (tagged(path.alias),)
            yield flow(FABRIC_TENANT, 100, match, PopVlan(), *enter, category=Category.SERVICE)
            if intent.tunnel_peers:
                tun_id = (TUN_ID, intent.number << 12 | path.alias, None)
                yield flow(OVERLAY_IN, 200, (tun_id,), *enter, category=Category.SERVICE)
            if path.hops[-1].leave.ofport is not None:
                out_of = ((ORIGIN, FROM_SERVICE, None), (ARRIVED, path.number, None))
                yield flow(
                    TRACK, 235, out_of, SetField(TENANT, path.alias), Goto(DELIVER), category=Category.SERVICE
                )


def returned_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows of track for what an appliance let through: judged at both its ends, not between."""
    if not intent.has_legs:
        return
    returned: Condition = (ORIGIN, FROM_SERVICE, None)
    for via in (VIA_LOCAL, VIA_UPLINK):
        judged = (returned, (ANSWER, 0, None), (VIA, via, None), (SRC_LOCAL, 1, None))
        yield flow(TRACK, 250, judged, Goto(DELIVER), category=Category.SERVICE)
    yield flow(TRACK, 230, (returned,), Goto(DELIVER), category=Category.SERVICE)
    if any(leg.vlan for chain in intent.chains for path in chain.paths for leg in path.legs):
        out_again = ((VIA, VIA_UPLINK, None), returned)
        yield flow(DELIVER, 150, out_again, _NOWHERE, Goto(TO_UPLINK), category=Category.SERVICE)


def service_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield the flows around appliances' legs on this bridge: in, out, and what may come back."""
    if not intent.has_legs:
        return
    yield from _back_flows(intent)
    for chain in intent.chains:
        for path in chain.paths:
            if not path.legs:
                continue
            match: tuple[Condition, ...] = ((CHAIN, path.number, None),)
            with_tag = (tagged(chain.tenant), *match)
            yield flow(SERVICE_IN, 100, with_tag, PopVlan(), Goto(STEER), category=Category.SERVICE)
            yield flow(SERVICE_IN, 50, match, Goto(STEER), category=Category.SERVICE)
            for leg in path.legs:
                yield from _around(chain, leg)
            yield from _known_flows(path)


def _around(chain: Chain, leg: Leg) -> Iterator[Flow]:
    """Yield what goes into a leg, remembered in the function's own conntrack zone, and what comes out."""
    fields = (Move(CHAIN, LABEL_CHAIN), *_macs(leg, ETH_SRC, ETH_DST))
    remember = remembered(fields, leg.zone)
    vlan: tuple[Condition, ...] = ((LEG_VLAN, leg.vlan, None),) if leg.vlan else ()
    for family in (IPV4, IPV6):
        into = ((OUT_PORT, leg.ofport or 0, None), *vlan, family)
        yield flow(STEER, 100, (*into, (ANSWER, 0, None)), remember, *_out(leg), category=Category.SERVICE)
        look = (SetField(TRACK_ZONE, leg.zone), Ct(zone=leg.zone, table=STEER_BACK))
        yield flow(STEER, 100, (*into, (ANSWER, 1, None)), *look, category=Category.SERVICE)
        out_of = ((IN_PORT, leg.ofport or 0, None), *vlan, (TENANT, chain.tenant, None), family)
        known = Ct(zone=leg.zone, table=SERVICE_KNOWN)
        yield flow(SERVICE_RETURN, 100, out_of, known, category=Category.SERVICE)


def _macs(leg: Leg, first: Field, other: Field) -> tuple[Move, ...]:
    """Return what keeps the ends' MACs while a frame has others: switches behind an uplink learn MACs."""
    return (Move(first, LABEL_FIRST_MAC), Move(other, LABEL_OTHER_MAC)) if leg.vlan else ()


def _out(leg: Leg) -> tuple[Action, ...]:
    if not leg.vlan:
        return (OutputField(OUT_PORT),)
    cards = (SetField(ETH_SRC, leg.cards[0]), SetField(ETH_DST, leg.cards[1]))
    return (*cards, PushVlan(), SetField(VLAN_VID, 0x1000 | leg.vlan), _NOWHERE, Output(leg.ofport or 0))


def _back_flows(intent: BridgeIntent) -> Iterator[Flow]:
    """Yield what goes into an appliance as an answer: one that it sees first is remembered as such."""
    number = Move(CHAIN, LABEL_CHAIN)
    for leg in (leg for chain in intent.chains for path in chain.paths for leg in path.legs):
        here: tuple[Condition, ...] = ((LEG_VLAN, leg.vlan, None),)
        if leg.vlan:
            here = (*here, (OUT_PORT, leg.ofport or 0, None))
        first: tuple[SetField | Move, ...] = (
            number, SetField(LABEL_TURNED, 1), *_macs(leg, ETH_DST, ETH_SRC),
        )  # fmt: skip
        later: tuple[SetField | Move, ...] = (number,)
        for family in (IPV4, IPV6):
            for state, fields in ((state_condition(CT_NEW), first), (state_condition(0, CT_NEW), later)):
                remember = remembered(fields)
                match = (*here, state, family)
                yield flow(STEER_BACK, 100, match, remember, *_out(leg), category=Category.SERVICE)


def _known_flows(path: ChainPath) -> Iterator[Flow]:
    """Yield what may come out of a way's legs, and where it goes on: each direction by its own leg only."""
    for place, hop in enumerate(path.hops):
        onward = path.hops[place + 1].enter if place + 1 < len(path.hops) else None
        back = path.hops[place - 1].leave if place else None
        for leg, answer, after in ((hop.leave, 0, onward), (hop.enter, 1, back)):
            if leg.ofport is None:
                continue
            # A proxy answers for an end that may be here and has not said it: that is judged anew.
            alone = (SetField(ANSWER, 1),) if answer and hop.has_one_leg else ()
            actions = (*_undisguised(leg, answer), *alone, *_onward(path, after, answer))
            for turned in (0, 1):
                against = answer != turned
                state = state_condition(CT_RPL, CT_INV) if against else state_condition(0, CT_INV | CT_RPL)
                match: tuple[Condition, ...] = (
                    (IN_PORT, leg.ofport, None), *(((LEG_VLAN, leg.vlan, None),) if leg.vlan else ()),
                    state, (LABEL_CHAIN, path.number, None), (LABEL_TURNED, turned, None),
                )  # fmt: skip
                yield flow(SERVICE_KNOWN, 100, match, *actions, category=Category.SERVICE)


def _undisguised(leg: Leg, answer: int) -> tuple[Action, ...]:
    if not leg.vlan:
        return ()
    source, destination = (ETH_DST, ETH_SRC) if answer else (ETH_SRC, ETH_DST)
    return (Move(LABEL_FIRST_MAC, source), Move(LABEL_OTHER_MAC, destination))


def _onward(path: ChainPath, after: Leg | None, answer: int) -> tuple[Action, ...]:
    if after is None:
        arrived = () if answer else (SetField(ARRIVED, path.number),)
        return (*arrived, Resubmit(SOURCE))
    if after.ofport is None:
        return (SetField(VIA, after.destination), Resubmit(DELIVER))
    return (*_into(path, after, answer), Goto(STEER))
