"""Conditions -> bytes of a match, in the order and the widths that Open vSwitch reports them in.

The bytes of a match differ from those of another one of the same fields and masks only in the values. So each
such shape is laid out once, as one large number, and a match is that number with its values put in.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from zonewall.errors import EncodingError
from zonewall.flows.oxm import (
    FORMS,
    RANK_BY_HEADER,
    REGISTER_RANKS,
    Form,
    canonical_port,
    form_of,
    register_pair_header,
)
from zonewall.pipeline.model import Condition, Field

_CT_STATE_BITS = 0xFF
"""The bits of ct_state that exist; Open vSwitch reports even all of them as a mask."""

_ALL_64 = (1 << 64) - 1

Resolved = tuple[tuple[Form, int, int], ...]
"""(form, value, mask) by rank; value and mask counted from the base field's lowest bit."""

# Fragment bits: 1 is "any fragment", 2 "later fragment", which is never set without 1; so each question has
# several forms, of which Open vSwitch's text knows one (ovs-fields(7), "ip_frag").
_FRAGMENT_FORMS = {
    (0, 3): (0, 3), (0, 1): (0, 3), (1, 3): (1, 3), (1, 1): (1, 1),
    (3, 3): (3, 3), (2, 2): (3, 3), (0, 2): (0, 2),
}  # fmt: skip


def resolve_match(match: tuple[Condition, ...]) -> Resolved:
    """Return a match by whole base fields: several fields of one register in one, prerequisites added.

    Raises:
        EncodingError: bits outside a field or matched twice, a field that cannot be matched in part, or a
            prerequisite that is missing and could be one of several.
    """
    bases: dict[str, tuple[int, int]] = {}
    for field, value, mask in match:
        form = form_of(field)
        ones = field.ones if mask is None else mask
        if ones & ~field.ones or value & ~ones or value < 0:
            raise EncodingError(f"{field!r}: value {value:#x} or its mask has bits outside what is matched")
        known_value, known_bits = bases.get(form.base, (0, 0))
        if known_bits & ones << field.low:
            raise EncodingError(f"{field!r}: its bits are matched twice in one flow")
        if ones:
            bases[form.base] = (known_value | value << field.low, known_bits | ones << field.low)
    for base in tuple(bases):
        bases[base] = _normal(FORMS[base], *bases[base])
    _add_prerequisites(bases)
    ordered = sorted(bases, key=lambda base: FORMS[base].rank)
    return tuple((FORMS[base], *bases[base]) for base in ordered)


def _normal(form: Form, value: int, bits: int) -> tuple[int, int]:
    """Return value and mask of one base in the only form that is used."""
    bits &= _CT_STATE_BITS if form.base == "ct_state" else form.ones
    if value & ~bits:
        raise EncodingError(f"{form.base}: value {value:#x} has bits that mean nothing there")
    if bits != form.ones and not form.maskable:
        raise EncodingError(f"{form.base} can only be matched whole")
    if form.base == "ip_frag":
        normal = _FRAGMENT_FORMS.get((value, bits))
        if normal is None:
            raise EncodingError(f"ip_frag={value}/{bits} matches no packet")
        return normal
    if form.base == "in_port":
        return canonical_port(value), bits
    return value, bits


def _add_prerequisites(bases: dict[str, tuple[int, int]]) -> None:
    for base in tuple(bases):
        for needed, allowed in FORMS[base].needs:
            if len(allowed) == 1:
                bases.setdefault(needed, (allowed[0], FORMS[needed].ones))
    for base in bases:
        for needed, allowed in FORMS[base].needs:
            if needed not in bases:
                choice = " or ".join(f"{value:#x}" for value in allowed)
                raise EncodingError(f"{base} can be matched only beside {needed}={choice}: say which")
            if bases[needed][0] not in allowed:
                raise EncodingError(f"{base} cannot be matched with {needed}={bases[needed][0]:#x}")


class _Layout(NamedTuple):
    """The bytes of a match of one shape, without its values: each value has (allowed bits, shift)."""

    template: int
    size_bytes: int
    values: tuple[tuple[int, int], ...]


_Shape = tuple[tuple[Field, int | None, int | None], ...]

_STEERING = frozenset({"eth_type", "ip_proto", "icmpv6_type", "icmpv6_code", "ip_frag"})
"""Bases whose value decides what else the match holds, so that it belongs to the shape."""


def encode_match(match: tuple[Condition, ...]) -> bytes:
    """Return the canonical bytes of a match.

    Raises:
        EncodingError: as ``resolve_match``.
    """
    template, size_bytes, places = _layout(
        tuple([(field, value if field.base in _STEERING else None, mask) for field, value, mask in match])
    )
    for (_, value, _), (allowed, shift) in zip(match, places, strict=True):
        if value & ~allowed:
            return _pack(resolve_match(match))[0]
        template |= value << shift
    return template.to_bytes(size_bytes, "big")


@lru_cache(maxsize=1 << 14)
def _layout(shape: _Shape) -> _Layout:
    resolved = resolve_match(tuple((field, value or 0, mask) for field, value, mask in shape))
    packed, shifts = _pack(resolved)
    places: list[tuple[int, int]] = []
    known = {form.base: bits for form, _, bits in resolved}
    for field, _, mask in shape:
        allowed = (field.ones if mask is None else mask) & known.get(field.base, 0) >> field.low
        if field.base == "in_port":
            allowed &= 0x7FFF
        places.append((allowed, shifts.get(field.base, 0) + field.low if allowed else 0))
    return _Layout(int.from_bytes(packed, "big"), len(packed), tuple(places))


def _pack(resolved: Resolved) -> tuple[bytes, dict[str, int]]:
    """Return the bytes and, for each base, how far its value's lowest bit is from the end."""
    parts: list[bytes] = []
    from_start: dict[str, int] = {}
    pairs: dict[int, tuple[int, int]] = {}
    size = 0
    for form, value, bits in resolved:
        if form.rank in REGISTER_RANKS:
            pair, low = divmod(form.rank - REGISTER_RANKS[0], 2)
            shift = 0 if low else 32
            known_value, known_bits = pairs.get(pair, (0, 0))
            pairs[pair] = (known_value | value << shift, known_bits | bits << shift)
    for form, value, bits in resolved:
        if form.rank not in REGISTER_RANKS:
            from_start[form.base] = -(size + 4 + form.size_bytes) * 8
            parts.append(_tlv(form.header, form.size_bytes, value, None if bits == form.ones else bits))
        else:
            pair, low = divmod(form.rank - REGISTER_RANKS[0], 2)
            even = f"reg{pair * 2}"
            if low and even in from_start:
                from_start[form.base] = from_start[even] - 32
                continue
            from_start[form.base] = (0 if low else 32) - (size + 12) * 8
            whole, mask = pairs[pair]
            parts.append(_tlv(register_pair_header(pair), 8, whole, None if mask == _ALL_64 else mask))
        size += len(parts[-1])
    return b"".join(parts), {base: shift + size * 8 for base, shift in from_start.items()}


def _tlv(header: int, width: int, value: int, mask: int | None) -> bytes:
    if mask is None:
        return header.to_bytes(4, "big") + value.to_bytes(width, "big")
    masked = (header | 0x100) + width
    return masked.to_bytes(4, "big") + value.to_bytes(width, "big") + mask.to_bytes(width, "big")


def canonical_match(raw: bytes) -> bytes:
    """Return a match read from a bridge with its fields in canonical order.

    Raises:
        EncodingError: the fields do not fill the bytes exactly.
    """
    end = len(raw)
    known = _ORDERED.get(end)
    if known is not None:
        number = int.from_bytes(raw, "big")
        for mask, headers in known:
            if number & mask == headers:
                return raw
    parts: list[tuple[int, bytes]] = []
    position, last, in_order = 0, -1, True
    while position + 4 <= end:
        header = int.from_bytes(raw[position : position + 4], "big")
        following = position + 4 + (header & 0xFF)
        rank = RANK_BY_HEADER.get(header >> 9, 1 << 32 | header)
        in_order = in_order and rank > last
        last = rank
        parts.append((rank, raw[position:following]))
        position = following
    if position != end:
        raise EncodingError("a match ends in the middle of a field")
    if not in_order:
        return b"".join(part for _, part in sorted(parts))
    _remember_order(raw, [part for _, part in parts])
    return raw


_ORDERED: dict[int, tuple[tuple[int, int], ...]] = {}
"""By length, the headers of matches that were in order and their places, as mask and value of the whole:
whoever has the same headers there has the same fields. Thousands of flows have them."""
_MOST_ORDERS, _LONGEST = 16, 512


def _remember_order(raw: bytes, parts: Iterable[bytes]) -> None:
    known = _ORDERED.get(len(raw), ())
    if len(known) >= _MOST_ORDERS or len(raw) > _LONGEST:
        return
    mask = int.from_bytes(b"".join(b"\xff" * 4 + bytes(len(part) - 4) for part in parts), "big")
    _ORDERED[len(raw)] = (*known, (mask, int.from_bytes(raw, "big") & mask))
