"""What a small file says, held against what it may say; by hand, so that a start reads no library for it.

Documents have their models (``policy.document_models``); reading the library behind those takes a tenth of a
second, and files of the state folder are few and simple.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
Check = Callable[[Any], T]
"""Returns a value as it is to be, or raises ``UnfitError``."""


class UnfitError(ValueError):
    """Something is not what it should be: where, and what it should be."""


def parsed(text: bytes) -> Any:
    """Return JSON's value.

    Raises:
        UnfitError: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnfitError(f"no JSON: {error}") from None


def mapping(value: object, known: Collection[str], needed: Collection[str] = ()) -> Mapping[str, Any]:
    """Return a mapping that has no other keys, and has those that are needed."""
    if not isinstance(value, Mapping):
        raise UnfitError("a mapping is needed")
    for key in value:
        if key not in known:
            raise UnfitError(f"{key}: there is no such thing")
    for key in needed:
        if key not in value:
            raise UnfitError(f"{key}: is missing")
    return value


def in_place(name: str, check: Check[T], value: object) -> T:
    """Return a checked value; what is wrong with it is said of its place."""
    try:
        return check(value)
    except UnfitError as error:
        raise UnfitError(f"{name}: {error}") from None


def rows(value: object, *checks: Check[Any], least: int | None = None) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a list, each of which has a value for every check; of the last, ``least`` may do."""
    if not isinstance(value, list):
        raise UnfitError("a list is needed")
    least = len(checks) if least is None else least
    for number, row in enumerate(value):
        if not isinstance(row, list) or not least <= len(row) <= len(checks):
            raise UnfitError(f"{number}: a list of {len(checks)} is needed")
        try:
            yield tuple([check(one) for check, one in zip(checks, row, strict=False)])
        except UnfitError as error:
            raise UnfitError(f"{number}: {error}") from None


def texts(value: object) -> tuple[str, ...]:
    """Return a list of texts."""
    if not isinstance(value, list | tuple):
        raise UnfitError("a list is needed")
    return tuple(map(text, value))


def text(value: object) -> str:
    """Return a text."""
    if type(value) is not str:
        raise UnfitError("a text is needed")
    return value


def whole(value: object) -> int:
    """Return a whole number."""
    if type(value) is not int:
        raise UnfitError("a whole number is needed")
    return value


def seconds(value: object) -> float:
    """Return a number."""
    if type(value) is not float and type(value) is not int:
        raise UnfitError("a number is needed")
    return value


def truth(value: object) -> bool:
    """Return yes or no."""
    if type(value) is not bool:
        raise UnfitError("true or false is needed")
    return value


def or_none(check: Check[T]) -> Check[T | None]:
    """Return a check that takes null, too."""
    return lambda value: None if value is None else check(value)


def made(make: Callable[[Any], T], what: str) -> Check[T]:
    """Return a check of a text that something can be made of."""

    def check(value: object) -> T:
        try:
            return make(text(value))
        except ValueError:
            raise UnfitError(f"{what} is needed") from None

    return check
