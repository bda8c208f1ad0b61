"""Flows of one form: what differs between them is values in fixed places, so that the bytes are made once.

A form is learnt from two samples of which every value differs. All bits in which the samples differ must be
values that are known to be there; a form whose bits are not all explained so is not learnt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from zonewall.flows.encoded import EncodedFlow

LAST_PORT = 0xFEFF
"""The last of a switch's own port numbers: those above are written in another way."""


@dataclass(frozen=True, slots=True)
class Blank:
    """A place for a value: its bits, and the largest value that stands there as it is."""

    width: int
    most: int

    @staticmethod
    def of(width: int) -> Blank:
        """Return a blank for every value of so many bits."""
        return Blank(width, (1 << width) - 1)


class _Row(NamedTuple):
    """One flow of a form and where it lies; instructions without blanks are held as they are."""

    table: int
    priority: int
    start: int
    middle: int
    end: int
    instructions: bytes | None
    rest: tuple[int, int, int]


class Form:
    """The bytes of some flows with places for values."""

    __slots__ = ("_blanks", "_rows", "_size", "_template")

    def __init__(self, template: int, size: int, blanks: list[tuple[int, int]], rows: list[_Row]) -> None:
        """Take the flows' bytes as one number, and for each value its largest and its places' lowest bits."""
        self._template = template
        self._size = size
        self._blanks = blanks
        self._rows = rows

    def fill(self, values: Sequence[int]) -> tuple[EncodedFlow, ...] | None:
        """Return the flows with these values; None where one is too large to stand as it is."""
        number = self._template
        for value, (most, places) in zip(values, self._blanks, strict=True):
            if value > most:
                return None
            number += value * places
        raw = number.to_bytes(self._size, "big")
        new = tuple.__new__
        return tuple(
            [
                new(
                    EncodedFlow,
                    (
                        table,
                        priority,
                        raw[start:middle],
                        raw[middle:end] if instructions is None else instructions,
                        *rest,
                    ),
                )
                for table, priority, start, middle, end, instructions, rest in self._rows
            ]
        )


def samples(blanks: Sequence[Blank]) -> tuple[list[int], list[int]]:
    """Return two lists of values: no two are the same, and none is what flows hold beside them."""
    taken: set[int] = set()
    lists: tuple[list[int], list[int]] = [], []
    for blank in blanks:
        for one in lists:
            one.append(_sample(blank, taken))
            taken.add(one[-1])
    return lists


def _sample(blank: Blank, taken: set[int]) -> int:
    """Return a value like any other, with its highest bit set, so that a place too narrow for it shows."""
    for attempt in count():
        seed = f"{len(taken)}/{attempt}".encode()
        drawn = int.from_bytes(hashlib.blake2b(seed, digest_size=16).digest(), "big")
        value = drawn & (1 << blank.width) - 1 | 1 << blank.width - 1
        if value <= blank.most and value not in taken:
            return value
    raise AssertionError("there is no end to counting")


def learn(
    blanks: Sequence[Blank],
    values: tuple[Sequence[int], Sequence[int]],
    flows: tuple[Sequence[EncodedFlow], Sequence[EncodedFlow]],
) -> Form | None:
    """Return the form of two samples' flows; None where their difference is more than their values'."""
    one, other = flows
    if [_shape(flow) for flow in one] != [_shape(flow) for flow in other]:
        return None
    bits, other_bits = _bits(one), _bits(other)
    places = [0] * len(blanks)
    for index in sorted(range(len(blanks)), key=lambda index: -blanks[index].width):
        width = blanks[index].width
        wanted, other_wanted = (f"{each[index]:0{width}b}" for each in values)
        at = bits.find(wanted)
        while at >= 0:
            if other_bits[at : at + width] == other_wanted:
                places[index] |= 1 << len(bits) - at - width
                bits, other_bits = (_blanked(each, at, width) for each in (bits, other_bits))
            at = bits.find(wanted, at + 1)
    if bits != other_bits:
        return None
    template = int(bits.replace("x", "0") or "0", 2)
    filled = [(blank.most, place) for blank, place in zip(blanks, places, strict=True)]
    return Form(template, len(bits) // 8, filled, _rows(one, bits))


def _shape(flow: EncodedFlow) -> tuple[int, ...]:
    """Return what no value may change."""
    sizes = len(flow.match), len(flow.instructions)
    return (flow.table, flow.priority, *sizes, flow.cookie, flow.hard_timeout_s, flow.ends_at)


def _bits(flows: Sequence[EncodedFlow]) -> str:
    raw = b"".join([flow.match + flow.instructions for flow in flows])
    return f"{int.from_bytes(raw, 'big'):0{len(raw) * 8}b}" if raw else ""


def _blanked(bits: str, at: int, width: int) -> str:
    return bits[:at] + "x" * width + bits[at + width :]


def _rows(flows: Sequence[EncodedFlow], bits: str) -> list[_Row]:
    rows = []
    start = 0
    for flow in flows:
        middle = start + len(flow.match)
        end = middle + len(flow.instructions)
        fixed = "x" not in bits[middle * 8 : end * 8]
        instructions = flow.instructions if fixed else None
        rest = flow.cookie, flow.hard_timeout_s, flow.ends_at
        rows.append(_Row(flow.table, flow.priority, start, middle, end, instructions, rest))
        start = end
    return rows
