"""Choices that make up generated values; their strategies are built once, as building takes the most time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

T = TypeVar("T")


@cache
def _place(count: int) -> SearchStrategy[int]:
    return st.integers(0, count - 1)


@cache
def _places(count: int, least: int, most: int) -> SearchStrategy[list[int]]:
    return st.lists(st.sampled_from(range(count)), min_size=least, max_size=min(most, count), unique=True)


def one_of(draw: DrawFn, among: Sequence[T]) -> T:
    """Return one of these, what stands there more often more often; the first is the simplest."""
    return among[draw(_place(len(among)))]


def some_of(draw: DrawFn, among: Sequence[T], most: int, least: int = 1) -> tuple[T, ...]:
    """Return ``least`` to ``most`` of these, in any order, and what is equal once."""
    found: list[T] = []
    for place in draw(_places(len(among), least, most)):
        if among[place] not in found:
            found.append(among[place])
    return tuple(found)


def yes_or_no(draw: DrawFn) -> bool:
    """Return no, which is the simpler one, or yes."""
    return one_of(draw, (False, True))
