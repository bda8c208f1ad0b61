"""Outside identities by value and mask: numbered along the tree of prefixes, a zone's are a few blocks.

Outside prefixes lie within each other or apart. So numbers are given such that all that lies within a prefix
fills an aligned block, and a zone of one prefix is one value and one mask, however many prefixes others name
within it. What is numbered later lies where there is room; it costs blocks, and changes no number.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

from zonewall.intent.identity import Identity
from zonewall.values.addresses import IpPrefix

BITS = 32
FEW = 8
"""Tables of so few prefixes are numbered as they come."""

Block = tuple[int, int]
"""A number and a mask of 32 bits: all numbers that agree with it where the mask has ones."""


@lru_cache(maxsize=1 << 12)
def blocks_of(wanted: tuple[int, ...], others: tuple[int, ...]) -> tuple[Block, ...]:
    """Return blocks that hold all wanted numbers and none of the others; both sorted.

    Numbers that are neither may be in a block: nobody has them.
    """
    found: list[Block] = []
    pending = [(0, len(wanted), 0, len(others))]
    while pending:
        first, end, other, other_end = pending.pop()
        low, high = wanted[first], wanted[end - 1]
        width = (low ^ high).bit_length()
        start = low >> width << width
        inside = bisect_left(others, start, other, other_end)
        inside_end = bisect_left(others, start + (1 << width), other, other_end)
        if inside == inside_end:
            found.append((start, (1 << BITS) - (1 << width)))
            continue
        middle = bisect_left(wanted, start + (1 << width - 1), first, end)
        pending += [(middle, end, inside, inside_end), (first, middle, inside, inside_end)]
    return tuple(found)


def layout(table: Sequence[tuple[IpPrefix, Identity]]) -> dict[str, int]:
    """Return offsets for a longest-prefix table's identities: all within a prefix in one aligned block.

    ``table`` is sorted by address and length, so that a prefix comes before all that lies within it.
    """
    children: dict[str, list[str]] = {"": []}
    path: list[tuple[IpPrefix, str]] = []
    for prefix, identity in table:
        while path and not (path[-1][0].version == prefix.version and prefix.subnet_of(path[-1][0])):  # type: ignore[arg-type]
            path.pop()
        above = path[-1][1] if path else ""
        if identity.name in children:
            path.append((prefix, above))
            continue
        children[identity.name] = []
        children[above].append(identity.name)
        path.append((prefix, identity.name))
    sizes = _sizes(children)
    offsets: dict[str, int] = {}
    pending = [("", 0)]
    while pending:
        name, start = pending.pop()
        for child in sorted(children[name], key=lambda child: (-sizes[child], child)):
            pending.append((child, start))
            start += sizes[child]
        if name:
            offsets[name] = start
    return offsets


def _sizes(children: dict[str, list[str]]) -> dict[str, int]:
    """Return how many numbers each identity's block has: a power of two."""
    sizes: dict[str, int] = {}
    for name in reversed(children):
        total = sum(sizes[child] for child in children[name]) + 1
        sizes[name] = 1 << (total - 1).bit_length()
    return sizes
