"""A packet as the tables see it: the values of its fields, and what only connection tracking looks at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from zonewall.errors import EncodingError
from zonewall.flows.simulate.slots import HEADERS, INNER_VLAN, SLOT, VLAN, place_of_base

_NOTHING: Final = (0,) * len(HEADERS)


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet, without its payload.

    Attributes:
        values: one value per name of ``slots.HEADERS``; make packets with ``packet()``.
        icmp_id: identifier of an ICMP or ICMPv6 query, which tells its connection from others.
        quoted: the packet that an ICMP error is about.
    """

    values: tuple[int, ...] = _NOTHING
    icmp_id: int = 0
    quoted: Packet | None = None

    def __getitem__(self, base: str) -> int:
        """Return the value of a whole field by its ovs-fields(7) name; 0 if the packet has no such field."""
        slot, shift, width = place_of_base(base)
        return self.values[slot] >> shift & ((1 << width) - 1)

    def __repr__(self) -> str:
        """Return the fields that are not zero."""
        shown = ", ".join(
            f"{name}={value:#x}" for name, value in zip(HEADERS, self.values, strict=True) if value
        )
        return f"Packet({shown})"

    def but(self, **fields: int) -> Packet:
        """Return the same packet with other values in some whole fields.

        Raises:
            EncodingError: there is no such field of a packet, or the value is wider.
        """
        values = list(self.values)
        for base, value in fields.items():
            slot, shift, width = place_of_base(base)
            if slot >= len(values):
                raise EncodingError(f"{base} is no field of a packet that arrives")
            if not 0 <= value < 1 << width:
                raise EncodingError(f"{base}={value:#x} does not fit in {width} bits")
            values[slot] = values[slot] & ~(((1 << width) - 1) << shift) | value << shift
        return replace(self, values=tuple(values))

    @property
    def vlans(self) -> tuple[int, ...]:
        """Return the tags' VLAN numbers, outermost first."""
        return tuple(self.values[slot] & 0xFFF for slot in (VLAN, INNER_VLAN) if self.values[slot])


def packet(
    *,
    vlans: tuple[int, ...] = (),
    icmp_id: int = 0,
    quoted: Packet | None = None,
    **fields: int,
) -> Packet:
    """Return a packet with these whole fields, named as in ovs-fields(7), and all others zero.

    Args:
        vlans: VLAN numbers of its tags, at most two, outermost first.
        icmp_id: see ``Packet``.
        quoted: see ``Packet``.
        **fields: such as ``in_port=1, eth_type=0x800, ipv4_src=0x0a000001``.

    Raises:
        EncodingError: there is no such field, or a value is wider; more than two tags.
    """
    if len(vlans) > 2:
        raise EncodingError("a packet with more than two VLAN tags is not modelled")
    values = list(_NOTHING)
    for slot, vlan in zip((VLAN, INNER_VLAN), vlans, strict=False):
        values[slot] = 0x1000 | vlan
    return Packet(tuple(values), icmp_id, quoted).but(**fields)


def from_values(values: list[int], origin: Packet) -> Packet:
    """Return the packet as it leaves: the present values, and what tables cannot change from ``origin``."""
    sent = values[: len(HEADERS)]
    sent[SLOT["in_port"]] = 0
    return replace(origin, values=tuple(sent))
