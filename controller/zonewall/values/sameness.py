"""What is the same object among thousands, without a step of Python for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import compress, repeat
from operator import is_, is_not
from typing import TypeVar

T = TypeVar("T")


def differing(one: Sequence[object], other: Sequence[object]) -> list[int]:
    """Return the places where two sequences of one length hold different objects."""
    return list(compress(range(len(one)), map(is_not, one, other)))


def are_same(one: Iterable[object], other: Iterable[object]) -> bool:
    """Say whether two of one length hold the same objects in the same order."""
    return all(map(is_, one, other))


def having(each: Sequence[T], part: Callable[[T], object], value: object) -> list[T]:
    """Return those of which a part, as an ``attrgetter`` gives it, is a value: the very object."""
    return list(compress(each, map(is_, map(part, each), repeat(value))))
