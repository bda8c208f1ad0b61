"""Hypothesis strategies of small flow tables and of packets that are likely to meet them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from zonewall.flows.simulate import Packet, packet
from zonewall.pipeline import packet_fields as f
from zonewall.pipeline.model import (
    Action,
    BridgeProgram,
    Bucket,
    Clone,
    Condition,
    Conjunction,
    Ct,
    Field,
    Flow,
    Goto,
    Group,
    GroupEntry,
    Move,
    Output,
    OutputField,
    PopField,
    PopVlan,
    PushField,
    PushVlan,
    Resubmit,
    SetField,
    Table,
    ToInPort,
    register,
)

TABLES = tuple(Table(f"t{number}", number, "A table of a generated case.", ()) for number in range(4))
PORTS = (1, 2, 3, 4)

R0 = register("r0", 0)
R0_LOW = register("r0_low", 0, 0, 4)
R1_HIGH = register("r1_high", 1, 16, 16)
OUT = register("out", 2, 0, 16)
ZONE = register("zone", 3, 0, 16)
TENANT = register("tenant", 4)
LABEL_LOW = Field("label_low", "ct_label", 0, 32, 128)
LABEL_HIGH = Field("label_high", "ct_label", 64, 16, 128)
V4 = (0x0A000001, 0x0A000002, 0x0A000103)
V6 = (0xFD00 << 112 | 1, 0xFD00 << 112 | 2, 0xFD00 << 112 | 0x10003)
MACS = (0x020000000001, 0x020000000002)
L4 = (80, 81, 443)
IP4: Condition = (f.ETH_TYPE, f.ETH_IPV4, None)
IP6: Condition = (f.ETH_TYPE, f.ETH_IPV6, None)

KINDS: dict[str, tuple[Condition, ...]] = {
    "any": (),
    "ipv4": (IP4,),
    "ipv6": (IP6,),
    "tcp4": (IP4, (f.IP_PROTO, 6, None)),
    "udp4": (IP4, (f.IP_PROTO, 17, None)),
    "icmp4": (IP4, (f.IP_PROTO, 1, None)),
    "tcp6": (IP6, (f.IP_PROTO, 6, None)),
    "arp": ((f.ETH_TYPE, f.ETH_ARP, None),),
}
_TRANSPORT = {
    "tcp4": (f.TCP_SRC, f.TCP_DST),
    "tcp6": (f.TCP_SRC, f.TCP_DST),
    "udp4": (f.UDP_SRC, f.UDP_DST),
}
_ADDRESSES = {
    "4": (f.IPV4_SRC, f.IPV4_DST, V4, 32),
    "6": (f.IPV6_SRC, f.IPV6_DST, V6, 128),
    "p": (f.ARP_SPA, f.ARP_TPA, V4, 32),
}


def _masked(field: Field, value: int, mask: int) -> Condition:
    return field, value & mask, None if mask == field.ones else mask


@st.composite
def own_conditions(draw: st.DrawFn, kind: str) -> tuple[Condition, ...]:
    """Return conditions on headers that packets of the kind have."""
    match: list[Condition] = []
    if kind[-1] in _ADDRESSES and kind != "any":
        src, dst, addresses, bits = _ADDRESSES[kind[-1]]
        for field in draw(st.sets(st.sampled_from((src, dst)), max_size=1)):
            length = draw(st.sampled_from((bits, bits - 8, bits - 16)))
            mask = (1 << bits) - (1 << (bits - length))
            match.append(_masked(field, draw(st.sampled_from(addresses)), mask))
    if kind in _TRANSPORT and draw(st.booleans()):
        field = draw(st.sampled_from(_TRANSPORT[kind]))
        match.append(_masked(field, draw(st.sampled_from(L4)), draw(st.sampled_from((0xFFFF, 0xFFFE)))))
    if kind == "tcp4" and draw(st.integers(0, 3)) == 0:
        match.append((f.TCP_FLAGS, draw(st.sampled_from((0, 2))), 2))
    if kind == "icmp4" and draw(st.booleans()):
        match.append((f.ICMP_TYPE, draw(st.sampled_from((0, 3, 8))), None))
    return tuple(match)


@st.composite
def matches(draw: st.DrawFn, kind: str, tracked: bool) -> tuple[Condition, ...]:
    """Return a match whose prerequisites it holds itself."""
    match = [*KINDS[kind], *draw(own_conditions(kind))]
    names = st.sampled_from(("in_port", "reg", "high", "vlan", "mac", "meta"))
    extra = draw(st.sets(names, max_size=2 if tracked else 1))
    if "in_port" in extra:
        match.append((f.IN_PORT, draw(st.sampled_from(PORTS)), None))
    if "reg" in extra:
        match.append((R0, draw(st.sampled_from((0, 1))), draw(st.sampled_from((None, 1, 3)))))
    if "high" in extra:
        match.append((R1_HIGH, draw(st.sampled_from((0, 1, 2))), None))
    if "vlan" in extra:
        match.append(
            draw(
                st.sampled_from(
                    ((f.VLAN_VID, 0, None), (f.VLAN_VID, 0x1005, None), (f.VLAN_VID, 0x1000, 0x1000))
                )
            )
        )
    if "mac" in extra:
        match.append((f.ETH_DST, draw(st.sampled_from(MACS)), None))
    if "meta" in extra:
        match.append((TENANT, draw(st.sampled_from((0, 7))), None))
    if tracked and draw(st.booleans()):
        bits = draw(st.sampled_from((f.CT_NEW, f.CT_EST, f.CT_REL, f.CT_RPL, f.CT_INV)))
        match.append((f.CT_STATE, f.CT_TRK | draw(st.sampled_from((0, bits))), f.CT_TRK | bits))
        if draw(st.booleans()):
            match.append((LABEL_LOW, draw(st.sampled_from((0, 1, 7))), None))
    return tuple(match)


def _has_original(match: tuple[Condition, ...]) -> bool:
    """Say whether Open vSwitch takes ``resubmit(,T,ct)`` with such a match."""
    valid = f.CT_NEW | f.CT_EST | f.CT_REL | f.CT_RPL
    is_ip = IP4 in match or IP6 in match
    return is_ip and any(field is f.CT_STATE and value & valid for field, value, _ in match)


_ZONES: st.SearchStrategy[int | Field] = st.sampled_from((5, 5, 6, ZONE))
_LABEL_WRITE: tuple[SetField | Move, ...] = (
    SetField(LABEL_LOW, 7),
    Move(R0, LABEL_LOW),
    Move(R0_LOW, LABEL_HIGH),
    SetField(f.CT_MARK, 1, 3),
    SetField(f.CT_LABEL, 1 << 100, 1 << 100),
)
_LABEL_WRITES = st.lists(st.sampled_from(_LABEL_WRITE), max_size=2).map(lambda writes: tuple(writes))
_PLAIN: tuple[Action, ...] = (
    *(Output(port) for port in PORTS),
    *(Output(port) for port in PORTS),
    ToInPort(),
    OutputField(OUT),
    SetField(R0, 1),
    SetField(R0, 2, 2),
    SetField(R0_LOW, 5),
    SetField(R1_HIGH, 2),
    SetField(OUT, 3),
    SetField(OUT, 0xFFF8),
    SetField(ZONE, 6),
    SetField(TENANT, 7),
    SetField(f.ETH_SRC, MACS[1]),
    SetField(f.IN_PORT, 4),
    Move(R0_LOW, R1_HIGH),
    Move(R1_HIGH, R0),
    Move(f.ETH_SRC, f.ETH_DST),
    PushField(R0),
    PushField(R1_HIGH),
    PopField(R0),
    PopField(R0_LOW),
    Group(1),
    Group(2),
)


@st.composite
def actions(
    draw: st.DrawFn, table: int, kind: str, match: tuple[Condition, ...], depth: int = 0
) -> tuple[Action, ...]:
    """Return up to four actions that Open vSwitch takes with such a match."""
    done: list[Action] = []
    onward = TABLES[table + 1 :]
    has_tag = depth == 0 and any(field is f.VLAN_VID and value for field, value, _ in match)
    choices = ["plain"] * 4 + ["resubmit"] * 2 * bool(onward)
    choices += ["ct"] * 4 * (kind not in ("any", "arp")) + ["clone"] * (depth == 0)
    choices += ["push"] * (depth == 0 and not has_tag) + ["tag"] * has_tag
    choices += ["address"] * (kind == "ipv4") + ["port"] * (kind == "tcp4")
    for _ in range(draw(st.integers(1, 4))):
        match draw(st.sampled_from(choices)):
            case "plain":
                done.append(draw(st.sampled_from(_PLAIN)))
            case "resubmit":
                to = draw(st.sampled_from(onward))
                done.append(Resubmit(to, _has_original(match) and draw(st.booleans())))
            case "ct":
                is_invalid = any(field is f.CT_STATE and value & f.CT_INV for field, value, _ in match)
                commit = not is_invalid and draw(st.booleans())
                on = draw(st.sampled_from((*onward, None)))
                writes = draw(_LABEL_WRITES) if commit else ()
                done.append(Ct(draw(_ZONES), on, commit, writes))
            case "clone":
                done.append(Clone(draw(actions(table, kind, match, 1))))
            case "push" if sum(isinstance(action, PushVlan) for action in done) < 1:
                done += [PushVlan(), SetField(f.VLAN_VID, 0x1009)]
            case "tag" if not any(isinstance(action, PopVlan) for action in done):
                tags: tuple[Action, ...] = (PopVlan(), PopVlan(), SetField(f.VLAN_VID, 0x1006))
                done.append(draw(st.sampled_from(tags)))
            case "address":
                done.append(SetField(f.IPV4_DST, draw(st.sampled_from(V4))))
            case "port":
                done.append(SetField(f.TCP_DST, draw(st.sampled_from(L4))))
    if depth == 0 and table < len(TABLES) - 1 and draw(st.booleans()):
        done.append(Goto(draw(st.sampled_from(onward))))
    return tuple(done)


@st.composite
def conjunctions(draw: st.DrawFn, table: int, number: int) -> list[Flow]:
    """Return the flows of one conjunction of two or three clauses, with the flow of its number."""
    priority = draw(st.integers(1, 4)) * 2
    count = draw(st.integers(2, 3))
    clauses: list[list[tuple[Condition, ...]]] = [
        [
            (IP4, _masked(f.IPV4_SRC, address, 0xFFFFFF00 | low))
            for address, low in ((V4[0], 0xFF), (V4[2], 0))
        ],
        [(IP4, (f.IPV4_DST, address, None)) for address in V4[:2]],
        [
            (IP4, (f.IP_PROTO, 6, None), (f.TCP_DST, 80, 0xFFFE)),
            (IP4, (f.IP_PROTO, 17, None), (f.UDP_DST, 443, None)),
        ],
    ]
    flows = []
    for clause, alternatives in enumerate(clauses[:count], 1):
        wanted = draw(st.sets(st.integers(0, len(alternatives) - 1), min_size=1))
        for position in sorted(wanted):
            flows.append(
                Flow(TABLES[table], priority, alternatives[position], (Conjunction(number, clause, count),))
            )
    match = (IP4, (f.CONJ_ID, number, None))
    flows.append(Flow(TABLES[table], draw(st.integers(1, 9)), match, draw(actions(table, "ipv4", match))))
    return flows


GROUPS = (
    GroupEntry(1, "all", (Bucket((SetField(f.ETH_DST, MACS[0]), Output(3))), Bucket((Output(4),)))),
    GroupEntry(2, "all", (Bucket((Output(2), SetField(f.ETH_SRC, MACS[1]))),)),
)


@st.composite
def programs(draw: st.DrawFn) -> BridgeProgram:
    """Return four tables of some flows each, no two of one key."""
    flows: dict[object, Flow] = {}
    for table in range(len(TABLES)):
        found: list[Flow] = []
        for _ in range(draw(st.integers(2, 6))):
            kind = draw(st.sampled_from(tuple(KINDS)))
            match = draw(matches(kind, table > 0))
            found.append(
                Flow(TABLES[table], draw(st.integers(1, 9)), match, draw(actions(table, kind, match)))
            )
        for kind in ("ipv4", "ipv6"):
            found.append(Flow(TABLES[table], 0, KINDS[kind], draw(actions(table, kind, KINDS[kind]))))
        if draw(st.integers(0, 2)) == 0:
            found += draw(conjunctions(table, 10 + table))
        for flow in found:
            flows.setdefault((table, flow.priority, _key(flow.match)), flow)
    return BridgeProgram(tuple(flows.values()), GROUPS)


def _key(match: tuple[Condition, ...]) -> frozenset[tuple[str, int, int]]:
    return frozenset(
        (field.base + str(field.low), value, field.ones if mask is None else mask)
        for field, value, mask in match
        if mask != 0
    )


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    """Return a packet out of few addresses and ports, so that answers happen."""
    kind = draw(
        st.sampled_from(("tcp4", "tcp4", "udp4", "udp4", "icmp4", "error4", "tcp6", "icmp6", "sctp4", "arp"))
    )
    ends = draw(st.permutations((0, 1, 2)))
    common: dict[str, Any] = {
        "in_port": draw(st.sampled_from(PORTS)),
        "eth_src": draw(st.sampled_from(MACS)),
        "eth_dst": draw(st.sampled_from(MACS)),
    }
    vlans = draw(st.sampled_from(((), (), (), (5,), (5, 6))))
    if kind == "arp":
        names: dict[str, Any] = {
            "arp_spa": V4[ends[0]],
            "arp_tpa": V4[ends[1]],
            "arp_op": 1,
            "arp_sha": MACS[0],
        }
        return packet(vlans=vlans, eth_type=f.ETH_ARP, **names, **common)
    common |= _addresses(kind[-1], ends[0], ends[1])
    src, dst = draw(st.sampled_from(L4)), draw(st.sampled_from(L4))
    match kind[:-1]:
        case "tcp":
            flags = draw(st.sampled_from((2, 0x12, 0x10, 0x10, 0x11, 4, 0x14, 0x18, 0, 3)))
            return packet(vlans=vlans, ip_proto=6, tcp_src=src, tcp_dst=dst, tcp_flags=flags, **common)
        case "udp":
            return packet(vlans=vlans, ip_proto=17, udp_src=src, udp_dst=dst, **common)
        case "sctp":
            return packet(vlans=vlans, ip_proto=132, sctp_src=src, sctp_dst=dst, **common)
        case "error":
            about: dict[str, Any] = {"ip_proto": 17, "udp_src": src, "udp_dst": dst}
            about |= _addresses("4", ends[1], ends[0])
            quoted = packet(**about)
            kind_of_error = draw(st.sampled_from((3, 11, 5)))
            return packet(
                vlans=vlans, quoted=quoted, ip_proto=1, icmpv4_type=kind_of_error, icmpv4_code=1, **common
            )
        case _:
            types = (0, 8, 8, 13, 10, 9) if kind == "icmp4" else (128, 129, 133)
            number = draw(st.integers(1, 2))
            common |= {"icmpv4_type": draw(st.sampled_from(types)), "ip_proto": 1 if kind == "icmp4" else 58}
            query = common["icmpv4_type"] in (0, 8, 13, 128, 129)
            return packet(vlans=vlans, icmp_id=number if query else 0, **common)


def _addresses(family: str, src: int, dst: int) -> dict[str, int]:
    if family == "4":
        return {"eth_type": f.ETH_IPV4, "ipv4_src": V4[src], "ipv4_dst": V4[dst], "nw_ttl": 64}
    return {"eth_type": f.ETH_IPV6, "ipv6_src": V6[src], "ipv6_dst": V6[dst], "nw_ttl": 64}
