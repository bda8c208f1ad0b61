"""Every field's form on the wire: OXM or NXM header, order in a match, prerequisites (ovs-fields(7))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zonewall.errors import EncodingError
from zonewall.pipeline.model import Field

BASIC: Final = 0x8000
"""OFPXMC_OPENFLOW_BASIC (OpenFlow 1.5.1, 7.2.3.2)."""
NICIRA: Final = 0x0001
"""NXM_1, Open vSwitch's own fields (ovs-fields(7))."""
PACKET_REGISTERS: Final = 0x8001
"""OFPXMC_PACKET_REGS: two registers in each 64-bit one, the even one above (ovs-fields(7), "xreg0")."""

_V4: Final = (0x0800,)
_V6: Final = (0x86DD,)
_IP: Final = (0x0800, 0x86DD)
_ARP: Final = (0x0806, 0x8035)


@dataclass(frozen=True, slots=True)
class Form:
    """How one base field is written.

    Attributes:
        base: name as in ``Field.base``.
        text: name as ``ovs-ofctl`` reads it.
        rank: position in a match, as Open vSwitch itself orders the fields it reports.
        header: OXM header without mask bit: class, field, bytes of the value.
        size_bytes: bytes of the value.
        bits: number of bits that mean something; a mask of them all is an exact match.
        maskable: a match on some bits only is possible.
        needs: what the match must hold as well: (base, values that will do), in this order.
    """

    base: str
    text: str
    rank: int
    header: int
    size_bytes: int
    bits: int
    maskable: bool
    needs: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def nxm_header(self) -> int:
        """Return the header that Open vSwitch's own actions name the field by: NXM's where it has one."""
        oxm_class, number = _NXM.get(self.base, (self.header >> 16, self.header >> 9 & 0x7F))
        return _header(oxm_class, number, self.size_bytes)

    @property
    def ones(self) -> int:
        """Return the mask of all bits that mean something."""
        return (1 << self.bits) - 1


def _header(oxm_class: int, number: int, size_bytes: int) -> int:
    return oxm_class << 16 | number << 9 | size_bytes


_NXM: Final = {
    "eth_dst": (0, 1), "eth_src": (0, 2), "eth_type": (0, 3), "ip_proto": (0, 6), "ipv4_src": (0, 7),
    "ipv4_dst": (0, 8), "tcp_src": (0, 9), "tcp_dst": (0, 10), "udp_src": (0, 11), "udp_dst": (0, 12),
    "icmpv4_type": (0, 13), "icmpv4_code": (0, 14), "arp_op": (0, 15), "arp_spa": (0, 16), "arp_tpa": (0, 17),
    "tun_id": (1, 16), "arp_sha": (1, 17), "arp_tha": (1, 18), "ipv6_src": (1, 19), "ipv6_dst": (1, 20),
    "icmpv6_type": (1, 21), "icmpv6_code": (1, 22), "nd_target": (1, 23), "nd_sll": (1, 24),
    "nd_tll": (1, 25), "tcp_flags": (1, 34),
}  # fmt: skip
"""NXM class and number of fields that OXM has too (ovs-fields(7))."""


_Needs = tuple[tuple[str, tuple[int, ...]], ...]


def _needs(eth_types: tuple[int, ...] = (), protocol: int | None = None) -> _Needs:
    needs: list[tuple[str, tuple[int, ...]]] = []
    if eth_types:
        needs.append(("eth_type", eth_types))
    if protocol is not None:
        needs.append(("ip_proto", (protocol,)))
    return tuple(needs)


_ICMPV6: Final = _needs(_V6, 58)


def _neighbour(*types: int) -> _Needs:
    return (*_ICMPV6, ("icmpv6_type", types), ("icmpv6_code", (0,)))


# In the order in which Open vSwitch reports a match: base, ovs-ofctl's name, class, number, bytes, bits,
# maskable, prerequisites.
_ROWS: Final[tuple[tuple[str, str, int, int, int, int, bool, _Needs], ...]] = (
    ("conj_id", "conj_id", NICIRA, 37, 4, 32, False, ()),
    ("in_port", "in_port", BASIC, 0, 4, 32, False, ()),
    ("eth_src", "eth_src", BASIC, 4, 6, 48, True, ()),
    ("eth_dst", "eth_dst", BASIC, 3, 6, 48, True, ()),
    ("eth_type", "eth_type", BASIC, 5, 2, 16, False, ()),
    ("vlan_vid", "vlan_vid", BASIC, 6, 2, 13, True, ()),
    ("ipv4_src", "nw_src", BASIC, 11, 4, 32, True, _needs(_V4)),
    ("ipv4_dst", "nw_dst", BASIC, 12, 4, 32, True, _needs(_V4)),
    ("ipv6_src", "ipv6_src", BASIC, 26, 16, 128, True, _needs(_V6)),
    ("ipv6_dst", "ipv6_dst", BASIC, 27, 16, 128, True, _needs(_V6)),
    ("ip_frag", "ip_frag", NICIRA, 26, 1, 2, True, _needs(_IP)),
    ("ip_proto", "nw_proto", BASIC, 10, 1, 8, False, _needs(_IP)),
    ("tcp_src", "tcp_src", BASIC, 13, 2, 16, True, _needs(_IP, 6)),
    ("tcp_dst", "tcp_dst", BASIC, 14, 2, 16, True, _needs(_IP, 6)),
    ("tcp_flags", "tcp_flags", BASIC, 42, 2, 12, True, _needs(_IP, 6)),
    ("udp_src", "udp_src", BASIC, 15, 2, 16, True, _needs(_IP, 17)),
    ("udp_dst", "udp_dst", BASIC, 16, 2, 16, True, _needs(_IP, 17)),
    ("sctp_src", "sctp_src", BASIC, 17, 2, 16, True, _needs(_IP, 132)),
    ("sctp_dst", "sctp_dst", BASIC, 18, 2, 16, True, _needs(_IP, 132)),
    ("icmpv4_type", "icmp_type", BASIC, 19, 1, 8, False, _needs(_V4, 1)),
    ("icmpv4_code", "icmp_code", BASIC, 20, 1, 8, False, _needs(_V4, 1)),
    ("icmpv6_type", "icmpv6_type", BASIC, 29, 1, 8, False, _ICMPV6),
    ("icmpv6_code", "icmpv6_code", BASIC, 30, 1, 8, False, _ICMPV6),
    ("nd_target", "nd_target", BASIC, 31, 16, 128, True, _neighbour(135, 136)),
    ("nd_sll", "nd_sll", BASIC, 32, 6, 48, True, _neighbour(135)),
    ("nd_tll", "nd_tll", BASIC, 33, 6, 48, True, _neighbour(136)),
    # Open vSwitch keeps 8 bits of an ARP operation.
    ("arp_op", "arp_op", BASIC, 21, 2, 8, False, _needs(_ARP)),
    ("arp_spa", "arp_spa", BASIC, 22, 4, 32, True, _needs(_ARP)),
    ("arp_tpa", "arp_tpa", BASIC, 23, 4, 32, True, _needs(_ARP)),
    ("arp_sha", "arp_sha", BASIC, 24, 6, 48, True, _needs(_ARP)),
    ("arp_tha", "arp_tha", BASIC, 25, 6, 48, True, _needs(_ARP)),
    ("tun_id", "tun_id", BASIC, 38, 8, 64, True, ()),
    ("tun_src", "tun_src", NICIRA, 31, 4, 32, True, ()),
    ("tun_dst", "tun_dst", NICIRA, 32, 4, 32, True, ()),
    *((f"reg{n}", f"reg{n}", NICIRA, n, 4, 32, True, ()) for n in range(16)),
    ("ct_state", "ct_state", NICIRA, 105, 4, 32, True, ()),
    ("ct_zone", "ct_zone", NICIRA, 106, 2, 16, False, ()),
    ("ct_mark", "ct_mark", NICIRA, 107, 4, 32, True, ()),
    ("ct_label", "ct_label", NICIRA, 108, 16, 128, True, ()),
)

FORMS: Final[dict[str, Form]] = {
    base: Form(base, text, rank, _header(oxm_class, number, size), size, bits, maskable, needs)
    for rank, (base, text, oxm_class, number, size, bits, maskable, needs) in enumerate(_ROWS)
}
"""Every base field that a flow may name."""

_FIRST_REGISTER: Final = FORMS["reg0"].rank
REGISTER_RANKS: Final = range(_FIRST_REGISTER, _FIRST_REGISTER + 16)
"""Ranks of the 32-bit registers; a match holds them in pairs."""

FORM_BY_RANK: Final = tuple(FORMS.values())


def register_pair_header(pair: int) -> int:
    """Return the header of the 64-bit register that holds reg(2 pair) above reg(2 pair + 1)."""
    return _header(PACKET_REGISTERS, pair, 8)


def form_of(field: Field) -> Form:
    """Return the wire form of a field's base.

    Raises:
        EncodingError: no such base field, or bits outside it.
    """
    form = FORMS.get(field.base)
    if form is None:
        raise EncodingError(f"{field!r}: no base field {field.base!r} is known")
    if field.width <= 0 or field.low < 0 or field.low + field.width > form.size_bytes * 8:
        raise EncodingError(f"{field!r}: those bits are not in {field.base}")
    return form


def canonical_port(number: int) -> int:
    """Return a port number in OpenFlow 1.1's 32 bits; OVSDB writes reserved ports (LOCAL is 65534) in 16.

    Raises:
        EncodingError: neither a real nor a reserved port.
    """
    if 0xFF00 <= number <= 0xFFFF:
        number |= 0xFFFF0000
    if not (0 <= number < 0xFF00 or 0xFFFFFFF8 <= number < 0xFFFFFFFF):
        raise EncodingError(f"port {number} is no OpenFlow port of Open vSwitch (0 to 65279, or reserved)")
    return number


def _rank_by_header() -> dict[int, int]:
    ranks = {form.header >> 9: form.rank for form in FORM_BY_RANK}
    for pair in range(8):
        ranks[register_pair_header(pair) >> 9] = REGISTER_RANKS[pair * 2]
    return ranks


RANK_BY_HEADER: Final = _rank_by_header()
"""Header without mask bit and length (header >> 9) to position in a match."""
