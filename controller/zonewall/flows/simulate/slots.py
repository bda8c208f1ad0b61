"""Where each field lives: one place per fact of a packet, which several fields may be views of.

``tcp_dst`` and ``udp_dst`` are the same place, told apart by their prerequisites, as in ovs-fields(7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from zonewall.errors import EncodingError
from zonewall.pipeline.model import Field

HEADERS: Final = (
    "eth_src", "eth_dst", "eth_type", "vlan_tci", "inner_tci", "nw_src", "nw_dst", "ipv6_src", "ipv6_dst",
    "nw_proto", "nw_tos", "nw_ttl", "ip_frag", "tp_src", "tp_dst", "tcp_flags", "arp_sha", "arp_tha",
    "nd_target", "tun_id", "tun_src", "tun_dst", "tun_ipv6_src", "tun_ipv6_dst", "tun_flags",
    *(f"tun_metadata{number}" for number in range(8)), "in_port",
)  # fmt: skip
"""What a packet carries itself or brings with it."""

SCRATCH: Final = (
    "ct_state", "ct_zone", "ct_mark", "ct_label", "ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst",
    "ct_nw_proto", "ct_tp_src", "ct_tp_dst", "conj_id", "metadata", *(f"reg{number}" for number in range(16)),
)  # fmt: skip
"""What exists only while the tables work on a packet."""

SLOT: Final = {name: number for number, name in enumerate((*HEADERS, *SCRATCH))}
COUNT: Final = len(SLOT)
TRACKING: Final = slice(SLOT["ct_state"], SLOT["ct_tp_dst"] + 1)

ETH_TYPE: Final = SLOT["eth_type"]
NW_PROTO: Final = SLOT["nw_proto"]
TP_SRC: Final = SLOT["tp_src"]
TP_DST: Final = SLOT["tp_dst"]
IP_FRAG: Final = SLOT["ip_frag"]
VLAN: Final = SLOT["vlan_tci"]
INNER_VLAN: Final = SLOT["inner_tci"]
IN_PORT: Final = SLOT["in_port"]
CT_STATE: Final = SLOT["ct_state"]
CONJ_ID: Final = SLOT["conj_id"]

VLAN_PRESENT: Final = 0x1000
LATER_FRAGMENT: Final = 2

IPV4: Final = 0x0800
IPV6: Final = 0x86DD
ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
ICMPV6: Final = 58
SCTP: Final = 132

_PLACES: Final[dict[str, tuple[str, int, int]]] = {
    "in_port": ("in_port", 0, 32),
    "eth_src": ("eth_src", 0, 48),
    "eth_dst": ("eth_dst", 0, 48),
    "eth_type": ("eth_type", 0, 16),
    "vlan_tci": ("vlan_tci", 0, 16),
    "vlan_vid": ("vlan_tci", 0, 13),
    "vlan_pcp": ("vlan_tci", 13, 3),
    "ip_proto": ("nw_proto", 0, 8),
    "nw_tos": ("nw_tos", 0, 8),
    "ip_dscp": ("nw_tos", 2, 6),
    "ip_ecn": ("nw_tos", 0, 2),
    "nw_ttl": ("nw_ttl", 0, 8),
    "ip_frag": ("ip_frag", 0, 8),
    "ipv4_src": ("nw_src", 0, 32),
    "ipv4_dst": ("nw_dst", 0, 32),
    "ipv6_src": ("ipv6_src", 0, 128),
    "ipv6_dst": ("ipv6_dst", 0, 128),
    "tcp_src": ("tp_src", 0, 16),
    "tcp_dst": ("tp_dst", 0, 16),
    "tcp_flags": ("tcp_flags", 0, 16),
    "udp_src": ("tp_src", 0, 16),
    "udp_dst": ("tp_dst", 0, 16),
    "sctp_src": ("tp_src", 0, 16),
    "sctp_dst": ("tp_dst", 0, 16),
    "icmpv4_type": ("tp_src", 0, 8),
    "icmpv4_code": ("tp_dst", 0, 8),
    "icmpv6_type": ("tp_src", 0, 8),
    "icmpv6_code": ("tp_dst", 0, 8),
    "arp_op": ("nw_proto", 0, 16),
    "arp_spa": ("nw_src", 0, 32),
    "arp_tpa": ("nw_dst", 0, 32),
    "arp_sha": ("arp_sha", 0, 48),
    "arp_tha": ("arp_tha", 0, 48),
    "nd_target": ("nd_target", 0, 128),
    "nd_sll": ("arp_sha", 0, 48),
    "nd_tll": ("arp_tha", 0, 48),
    "tun_id": ("tun_id", 0, 64),
    "tun_src": ("tun_src", 0, 32),
    "tun_dst": ("tun_dst", 0, 32),
    "tun_ipv6_src": ("tun_ipv6_src", 0, 128),
    "tun_ipv6_dst": ("tun_ipv6_dst", 0, 128),
    "tun_flags": ("tun_flags", 0, 16),
    **{f"tun_metadata{number}": (f"tun_metadata{number}", 0, 992) for number in range(8)},
    "ct_state": ("ct_state", 0, 32),
    "ct_zone": ("ct_zone", 0, 16),
    "ct_mark": ("ct_mark", 0, 32),
    "ct_label": ("ct_label", 0, 128),
    "ct_nw_src": ("ct_nw_src", 0, 32),
    "ct_nw_dst": ("ct_nw_dst", 0, 32),
    "ct_ipv6_src": ("ct_ipv6_src", 0, 128),
    "ct_ipv6_dst": ("ct_ipv6_dst", 0, 128),
    "ct_nw_proto": ("ct_nw_proto", 0, 8),
    "ct_tp_src": ("ct_tp_src", 0, 16),
    "ct_tp_dst": ("ct_tp_dst", 0, 16),
    "conj_id": ("conj_id", 0, 32),
    "metadata": ("metadata", 0, 64),
    **{f"reg{number}": (f"reg{number}", 0, 32) for number in range(16)},
}
_OTHER_NAMES: Final = {
    "dl_src": "eth_src",
    "dl_dst": "eth_dst",
    "dl_type": "eth_type",
    "nw_proto": "ip_proto",
    "nw_frag": "ip_frag",
    "nw_src": "ipv4_src",
    "ip_src": "ipv4_src",
    "nw_dst": "ipv4_dst",
    "ip_dst": "ipv4_dst",
    "icmp_type": "icmpv4_type",
    "icmp_code": "icmpv4_code",
    "tunnel_id": "tun_id",
}
_NO_CHANGE: Final = frozenset((
    "ct_state", "ct_zone", "ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst", "ct_nw_proto",
    "ct_tp_src", "ct_tp_dst", "conj_id", "eth_type", "ip_frag", "ip_proto", "tcp_flags",
))  # fmt: skip
_NO_MASK: Final = frozenset((
    "in_port", "eth_type", "vlan_pcp", "ip_proto", "nw_tos", "ip_dscp", "ip_ecn", "nw_ttl", "icmpv4_type",
    "icmpv4_code", "icmpv6_type", "icmpv6_code", "arp_op", "ct_zone", "ct_nw_proto", "conj_id",
))  # fmt: skip
_ANY_IP: Final = (IPV4, IPV6)
_FAMILIES: Final = {
    **dict.fromkeys(
        ("ipv4_src", "ipv4_dst", "ct_nw_src", "ct_nw_dst", "icmpv4_type", "icmpv4_code"), (IPV4,)
    ),
    **dict.fromkeys(("ipv6_src", "ipv6_dst", "ct_ipv6_src", "ct_ipv6_dst"), (IPV6,)),
    **dict.fromkeys(("icmpv6_type", "icmpv6_code", "nd_target", "nd_sll", "nd_tll"), (IPV6,)),
    **dict.fromkeys(("ip_proto", "nw_tos", "ip_dscp", "ip_ecn", "nw_ttl", "ip_frag"), _ANY_IP),
    **dict.fromkeys(("ct_nw_proto", "ct_tp_src", "ct_tp_dst", "tcp_src", "tcp_dst", "tcp_flags"), _ANY_IP),
    **dict.fromkeys(("udp_src", "udp_dst", "sctp_src", "sctp_dst"), _ANY_IP),
    **dict.fromkeys(("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"), (0x0806, 0x8035)),
}
"""Ethernet types of the packets that have a field."""
_PROTOCOLS: Final = {
    "tcp": TCP,
    "udp": UDP,
    "sctp": SCTP,
    "icmpv4": ICMP,
    "icmpv6": ICMPV6,
    "nd": ICMPV6,
}
_ND_TYPES: Final = {"nd_target": (135, 136), "nd_sll": (135,), "nd_tll": (136,)}


def canonical(base: str) -> str:
    """Return the OXM name of a field that ovs-fields(7) knows by several names."""
    return _OTHER_NAMES.get(base, base)


def place_of_base(base: str) -> tuple[int, int, int]:
    """Return slot, lowest bit and width of a whole field.

    Raises:
        EncodingError: there is no such field.
    """
    try:
        name, shift, width = _PLACES[canonical(base)]
    except KeyError:
        raise EncodingError(f"{base}: no such field; ovs-fields(7) lists them") from None
    return SLOT[name], shift, width


@cache
def place(field: Field) -> tuple[int, int, int]:
    """Return slot, lowest bit within it and the mask of the field's bits (in place).

    Raises:
        EncodingError: there is no such field, or it is not that wide.
    """
    slot, shift, width = place_of_base(field.base)
    if field.low < 0 or field.width < 1 or field.low + field.width > width:
        raise EncodingError(f"{field!r}: {field.base} has {width} bits only")
    low = shift + field.low
    return slot, low, field.ones << low


def is_writable(field: Field) -> bool:
    """Say whether actions may change the field (ovs-fields(7), "Access: Read/write")."""
    return canonical(field.base) not in _NO_CHANGE


def is_maskable(field: Field) -> bool:
    """Say whether a match may ask for some bits of the field only (ovs-fields(7), "Maskable")."""
    return canonical(field.base) not in _NO_MASK


Exact = Callable[[int], int | None]
"""From a slot to its value, None where it is not known exactly."""


def has_prerequisites(base: str, exact: Exact) -> bool:
    """Say whether the packet, or the match, has the field: "Prerequisites" in ovs-fields(7).

    The connection's original tuple needs a valid ct_state as well; ``tables`` asks for that.
    """
    base = canonical(base)
    families = _FAMILIES.get(base)
    if families is not None and exact(ETH_TYPE) not in families:
        return False
    protocol = _PROTOCOLS.get(base.partition("_")[0])
    if protocol is not None and exact(NW_PROTO) != protocol:
        return False
    if base in _ND_TYPES:
        return exact(TP_SRC) in _ND_TYPES[base] and exact(TP_DST) in (0, None)
    if base == "vlan_pcp":
        return bool((exact(VLAN) or 0) & VLAN_PRESENT)
    return True


@cache
def always_there(base: str) -> bool:
    """Say whether every packet has the field."""
    return has_prerequisites(base, lambda slot: None)


def packet_has(base: str, values: Sequence[int]) -> bool:
    """Say whether this packet has the field: its kind, and no transport header in a later fragment."""
    if not has_prerequisites(base, values.__getitem__):
        return False
    slot = place_of_base(base)[0]
    return slot not in (TP_SRC, TP_DST) or not values[IP_FRAG] & LATER_FRAGMENT
