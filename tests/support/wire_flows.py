"""Random flows that Open vSwitch takes: every field, every action, with the prerequisites they have."""

from __future__ import annotations

from hypothesis import strategies as st

from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline import registers, tables
from zonewall.pipeline.model import (
    Action,
    Clone,
    Condition,
    Conjunction,
    Ct,
    Field,
    Flow,
    Goto,
    Group,
    Meter,
    Move,
    Output,
    OutputField,
    PopField,
    PopVlan,
    PushField,
    PushVlan,
    Resubmit,
    SetField,
    ToController,
    ToInPort,
)

WITHIN_S = 120
"""No flow's time left, as a bridge tells it, is further from what was put; another number's bytes are."""
GROUP = 5
METER = 1
"""What the switch must hold before these flows are put."""

REGISTERS = tuple(field for field in registers.FIELDS if field.base.startswith("reg"))
LABELS = tuple(field for field in registers.FIELDS if field.base == "ct_label")
ANYWHERE = (
    *REGISTERS,
    *LABELS,
    pf.ETH_SRC,
    pf.ETH_DST,
    pf.CT_MARK,
    pf.CT_ZONE,
    pf.TUN_ID,
    pf.TUN_SRC,
    pf.TUN_DST,
)
V4 = (pf.ETH_TYPE, 0x0800, None)
V6 = (pf.ETH_TYPE, 0x86DD, None)
TRACKED = (pf.CT_STATE, pf.CT_TRK | pf.CT_EST, pf.CT_TRK | pf.CT_EST | pf.CT_INV)


def _with_ports(
    family: Condition, addresses: tuple[Field, ...]
) -> list[tuple[tuple[Condition, ...], tuple[Field, ...]]]:
    return [
        ((family, (pf.IP_PROTO, 6, None)), (*addresses, pf.TCP_SRC, pf.TCP_DST, pf.TCP_FLAGS)),
        ((family, (pf.IP_PROTO, 17, None)), (*addresses, pf.UDP_SRC, pf.UDP_DST)),
        ((family, (pf.IP_PROTO, 132, None)), (*addresses, pf.SCTP_SRC, pf.SCTP_DST)),
        ((family,), addresses),
    ]


KINDS: tuple[tuple[tuple[Condition, ...], tuple[Field, ...]], ...] = (
    ((), (pf.ETH_TYPE, pf.IN_PORT, pf.VLAN_VID, pf.CONJ_ID)),
    *_with_ports(V4, (pf.IPV4_SRC, pf.IPV4_DST)),
    *_with_ports(V6, (pf.IPV6_SRC, pf.IPV6_DST)),
    ((V4, TRACKED), (pf.IPV4_SRC, pf.IPV4_DST)),
    ((V4,), (pf.ICMP_TYPE, pf.ICMP_CODE)),
    ((V6,), (pf.ICMPV6_TYPE, pf.ICMPV6_CODE)),
    (((pf.ICMPV6_TYPE, 135, None),), (pf.ND_TARGET, pf.ND_SLL)),
    (((pf.ICMPV6_TYPE, 136, None),), (pf.ND_TARGET, pf.ND_TLL)),
    (((pf.ETH_TYPE, 0x0806, None),), (pf.ARP_OP, pf.ARP_SPA, pf.ARP_TPA, pf.ARP_SHA, pf.ARP_THA)),
    ((V4, (pf.IP_FRAG, 0, None)), ()),
    ((V6, (pf.IP_FRAG, 2, 2)), ()),
)
"""What must be matched, and what can be then."""

UNMASKED = frozenset(
    {
        "in_port",
        "eth_type",
        "conj_id",
        "ct_zone",
        "arp_op",
        "icmpv4_type",
        "icmpv4_code",
        "icmpv6_type",
        "icmpv6_code",
    }
)


@st.composite
def _condition(draw: st.DrawFn, field: Field) -> Condition:
    if field is pf.VLAN_VID:
        return draw(st.sampled_from([(field, 0, None), (field, 0x1005, None), (field, 0x1000, 0x1000)]))
    if field is pf.ETH_TYPE:
        return field, draw(st.sampled_from([0x0800, 0x0806, 0x86DD, 0x8035, 0x88CC])), None
    ones = {"tcp_flags": 0xFFF, "in_port": 0xFE, "arp_op": 0xFF}.get(field.base, field.ones)
    mask = None if field.base in UNMASKED else draw(st.none() | st.integers(1, ones))
    value = draw(st.integers(0, ones))
    return field, value if mask is None else value & mask, mask


def _set(fields: tuple[Field, ...]) -> st.SearchStrategy[SetField]:
    @st.composite
    def one(draw: st.DrawFn) -> SetField:
        field = draw(st.sampled_from(fields))
        mask = draw(st.none() | st.integers(1, field.ones))
        value = draw(st.integers(0, field.ones))
        return SetField(field, value if mask is None else value & mask, mask)

    return one()


def _moves(sources: tuple[Field, ...], targets: tuple[Field, ...]) -> st.SearchStrategy[Move]:
    pairs = [Move(a, b) for a in sources for b in targets if a.width <= b.width and a is not b]
    return st.sampled_from(pairs)


def _plain_actions() -> st.SearchStrategy[Action]:
    return st.one_of(
        st.builds(Output, st.integers(1, 200) | st.sampled_from([65534, 0xFFFFFFFA])),
        st.builds(OutputField, st.sampled_from((registers.OUT_PORT, registers.DST_ENDPOINT))),
        st.just(ToInPort()),
        _set((*REGISTERS, pf.ETH_SRC, pf.ETH_DST, pf.TUN_ID)),
        _moves((*REGISTERS, *LABELS), REGISTERS),
        st.builds(PushField, st.sampled_from((*REGISTERS, pf.ETH_SRC))),
        st.builds(Resubmit, st.sampled_from(tables.PIPELINE.tables)),
        st.builds(
            ToController,
            st.binary(min_size=1, max_size=20),
            st.none() | st.just(METER),
            st.integers(64, 0xFFFF),
        ),
        st.just(Group(GROUP)),
        st.just(PushVlan()),
    )


def _tracking() -> st.SearchStrategy[Action]:
    written = st.lists(
        _set((*LABELS, pf.CT_MARK)) | _moves(REGISTERS, (*LABELS, pf.CT_MARK)), max_size=3
    ).map(tuple)
    zones = st.integers(1, 0xFFFF) | st.just(registers.TRACK_ZONE)
    next_tables = st.none() | st.sampled_from(tables.PIPELINE.tables)
    return st.builds(Ct, zones, next_tables) | st.builds(Ct, zones, next_tables, st.just(True), written)


@st.composite
def _action_lists(draw: st.DrawFn, *, is_ip: bool, is_tracked: bool, table_number: int) -> tuple[Action, ...]:
    if draw(st.integers(0, 5)) == 0:
        count = draw(st.integers(2, 5))
        return (Conjunction(draw(st.integers(1, 0xFFFFFFFF)), draw(st.integers(1, count)), count),)
    actions: list[Action] = [Meter(METER)] if draw(st.booleans()) else []
    actions += draw(st.lists(_plain_actions(), max_size=5))
    if is_ip:
        actions = [*draw(st.lists(_tracking(), max_size=2)), *actions]
        if actions and isinstance(actions[-1], Meter):
            actions.pop()
        actions = [a for a in actions if isinstance(a, Meter)] + [
            a for a in actions if not isinstance(a, Meter)
        ]
    if is_tracked:
        actions.append(Resubmit(tables.ACT, ct=True))
    # A frame that has got a tag can lose it again, and what was pushed can be popped.
    for action in tuple(actions):
        if isinstance(action, PushField):
            actions.append(PopField(action.field))
    if any(isinstance(action, PushVlan) for action in actions):
        actions = [a for a in actions if not isinstance(a, PushVlan | Ct)]
        actions += [PushVlan(), SetField(pf.VLAN_VID, 0x1000 | draw(st.integers(0, 0xFFF))), PopVlan()]
    if draw(st.booleans()):
        inner = draw(
            st.lists(_plain_actions().filter(lambda a: not isinstance(a, PushVlan)), min_size=1, max_size=3)
        )
        actions.append(Clone(tuple(inner)))
    later = [table for table in tables.PIPELINE.tables if table.number > table_number]
    if bool(later) and draw(st.booleans()):
        actions.append(Goto(draw(st.sampled_from(later))))
    return tuple(actions)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """Draw one flow."""
    required, possible = draw(st.sampled_from(KINDS))
    names = draw(st.lists(st.sampled_from((*possible, *ANYWHERE)), unique=True, max_size=6))
    used = {field.base for field, _, _ in required}
    conditions = list(required)
    for field in names:
        if field.base not in used or field.base.startswith("reg"):
            conditions.append(draw(_condition(field)))
    taken = {field.base for field, _, _ in conditions if not field.base.startswith("reg")}
    labels = [c for c in conditions if c[0].base == "ct_label"]
    if len(labels) > 1 or len(taken) != len([c for c in conditions if not c[0].base.startswith("reg")]):
        conditions = [c for c in conditions if c[0].base != "ct_label"]
    table = draw(st.sampled_from(tables.PIPELINE.tables))
    is_ip = any(field is pf.ETH_TYPE and value in (0x0800, 0x86DD) for field, value, _ in required)
    is_ip = is_ip and not any(field.base == "vlan_vid" for field, _, _ in conditions)
    actions = draw(_action_lists(is_ip=is_ip, is_tracked=TRACKED in required, table_number=table.number))
    return Flow(
        table,
        draw(st.integers(1, 65535)),
        tuple(conditions),
        actions,
        draw(st.integers(0, 2**64 - 1)),
        draw(st.sampled_from([0, 0, 0, 3600])),
    )
