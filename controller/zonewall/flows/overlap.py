"""Which flows can take the same packet, told from the bytes of their matches."""

from __future__ import annotations

from functools import lru_cache

Terms = tuple[tuple[int, int, int], ...]
"""(field's class and number, value, mask) of each field of a match."""


@lru_cache(maxsize=1 << 14)
def terms(match: bytes) -> Terms:
    """Return the fields of a canonical match (OpenFlow 1.5.1, 7.2.3.2)."""
    found = []
    position = 0
    while position + 4 <= len(match):
        header = int.from_bytes(match[position : position + 4], "big")
        size = header & 0xFF
        content = match[position + 4 : position + 4 + size]
        position += 4 + size
        if header >> 8 & 1:
            half = size // 2
            value, mask = int.from_bytes(content[:half], "big"), int.from_bytes(content[half:], "big")
        else:
            value, mask = int.from_bytes(content, "big"), (1 << size * 8) - 1
        found.append((header >> 9, value, mask))
    return tuple(found)


def may_overlap(one: bytes, other: bytes) -> bool:
    """Say whether some packet could fit both matches; True wherever the bytes do not show that none can."""
    known = {number: (value, mask) for number, value, mask in terms(one)}
    for number, value, mask in terms(other):
        if number in known:
            other_value, other_mask = known[number]
            if (value ^ other_value) & mask & other_mask:
                return False
    return True
