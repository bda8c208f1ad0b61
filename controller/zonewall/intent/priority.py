"""Places in an order to 16-bit priorities that stay where they are when the order is edited."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise

from zonewall.errors import CompileError

HIGHEST = 60000
LOWEST = 100


def allocate_priorities(keys: Sequence[str], previous: Mapping[str, int]) -> dict[str, int]:
    """Return a priority for each key, falling in the order of ``keys``.

    Keys that keep their order keep their priority; a new or moved one goes into the gap between its
    neighbours; only when a gap is full are all spread anew.

    Raises:
        CompileError: more keys than priorities.
    """
    if len(keys) > HIGHEST - LOWEST:
        raise CompileError(f"{len(keys)} rules in one section: {HIGHEST - LOWEST} is the most there can be")
    kept = _longest_falling(keys, previous)
    result: dict[str, int] = {}
    position = 0
    upper = HIGHEST + 1
    while position < len(keys):
        if keys[position] in kept:
            upper = result[keys[position]] = previous[keys[position]]
            position += 1
            continue
        end = position
        while end < len(keys) and keys[end] not in kept:
            end += 1
        lower = previous[keys[end]] if end < len(keys) else LOWEST - 1
        run = end - position
        if upper - lower - 1 < run:
            return _spread(keys)
        for index in range(run):
            result[keys[position + index]] = upper - (upper - lower) * (index + 1) // (run + 1)
        position = end
    return result if _is_falling(keys, result) else _spread(keys)


def _spread(keys: Sequence[str]) -> dict[str, int]:
    step = min(64, (HIGHEST - LOWEST) // (len(keys) + 1) or 1)
    return {key: HIGHEST - step * index for index, key in enumerate(keys)}


def _is_falling(keys: Sequence[str], priorities: Mapping[str, int]) -> bool:
    return all(priorities[a] > priorities[b] for a, b in pairwise(keys))


def _longest_falling(keys: Sequence[str], previous: Mapping[str, int]) -> set[str]:
    """Return the most keys whose previous priorities already fall in this order."""
    known = [key for key in keys if LOWEST <= previous.get(key, 0) <= HIGHEST]
    if all(previous[a] > previous[b] for a, b in pairwise(known)):
        return set(known)
    tails: list[int] = []
    tail_index: list[int] = []
    parent: list[int] = [-1] * len(known)
    for index, key in enumerate(known):
        rank = -previous[key]
        place = bisect_left(tails, rank)
        parent[index] = tail_index[place - 1] if place else -1
        if place == len(tails):
            tails.append(rank)
            tail_index.append(index)
        else:
            tails[place] = rank
            tail_index[place] = index
    kept: set[str] = set()
    index = tail_index[-1] if tail_index else -1
    while index >= 0:
        kept.add(known[index])
        index = parent[index]
    return kept
