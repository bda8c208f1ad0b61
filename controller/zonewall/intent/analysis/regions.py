"""Sets of services as rectangles: exact unions, intersections and differences.

A region holds, for each IP protocol, rectangles over two numbers: destination and source port, or ICMP type
and code. Protocols that no rule names behave alike and share the key ``OTHER``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from zonewall.values.services import PORT_PROTOCOLS, Protocol, ServiceTerm

Rectangle = tuple[int, int, int, int]
"""First and last of the one number, first and last of the other; all included."""

Region = Mapping[int, tuple[Rectangle, ...]]

OTHER = -1
_ICMP = frozenset({Protocol.ICMP, Protocol.ICMPV6})
_ALWAYS: frozenset[int] = PORT_PROTOCOLS | _ICMP
_POINT: Rectangle = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Protocols:
    """The protocols that have to be told apart; ``other`` is a number that stands for all the rest."""

    named: frozenset[int]
    other: int | None

    def region(self, terms: Iterable[ServiceTerm]) -> Region:
        """Return what services cover; no services are every service."""
        found: dict[int, tuple[Rectangle, ...]] = {}
        for term in tuple(terms) or (ServiceTerm(),):
            keys = self._keys() if term.protocol is None else (term.protocol,)
            for key in keys:
                found[key] = _joined(found.get(key, ()), _rectangles(key, term))
        return found

    def _keys(self) -> tuple[int, ...]:
        rest = () if self.other is None else (OTHER,)
        return (*sorted(self.named), *rest)


def protocols_of(terms: Iterable[ServiceTerm]) -> Protocols:
    """Return the protocols that any of the services names, and one that none does."""
    named = _ALWAYS | {term.protocol for term in terms if term.protocol is not None}
    free = [number for number in (253, *range(255, -1, -1)) if number not in named]
    return Protocols(frozenset(named), free[0] if free else None)


def intersection(one: Region, other: Region) -> Region:
    """Return what both hold."""
    found = {}
    for key in one.keys() & other.keys():
        common = tuple(shared for a in one[key] for b in other[key] if (shared := _common(a, b)) is not None)
        if common:
            found[key] = common
    return found


def difference(one: Region, other: Region) -> Region:
    """Return what the first holds and the second does not."""
    found = {}
    for key, rectangles in one.items():
        rest = rectangles
        for taken in other.get(key, ()):
            rest = tuple(piece for each in rest for piece in _without(each, taken))
        if rest:
            found[key] = rest
    return found


def union(one: Region, other: Region) -> Region:
    """Return what either holds, as rectangles that do not overlap."""
    found = dict(one)
    for key, rectangles in other.items():
        found[key] = _joined(found.get(key, ()), rectangles)
    return found


def _joined(there: tuple[Rectangle, ...], more: tuple[Rectangle, ...]) -> tuple[Rectangle, ...]:
    fresh = more
    for known in there:
        fresh = tuple(piece for each in fresh for piece in _without(each, known))
    return there + fresh


def _rectangles(key: int, term: ServiceTerm) -> tuple[Rectangle, ...]:
    if key in _ICMP:
        kinds = (0, 255) if term.icmp_type is None else (term.icmp_type, term.icmp_type)
        codes = (0, 255) if term.icmp_code is None else (term.icmp_code, term.icmp_code)
        return ((*kinds, *codes),)
    if key not in PORT_PROTOCOLS:
        return (_POINT,)
    whole = ((0, 65535),)
    return tuple((*to, *since) for to in term.ports or whole for since in term.source_ports or whole)


def _common(a: Rectangle, b: Rectangle) -> Rectangle | None:
    first, last = max(a[0], b[0]), min(a[1], b[1])
    low, high = max(a[2], b[2]), min(a[3], b[3])
    return (first, last, low, high) if first <= last and low <= high else None


def _without(a: Rectangle, b: Rectangle) -> tuple[Rectangle, ...]:
    shared = _common(a, b)
    if shared is None:
        return (a,)
    first, last, low, high = shared
    pieces = (
        (a[0], first - 1, a[2], a[3]),
        (last + 1, a[1], a[2], a[3]),
        (first, last, a[2], low - 1),
        (first, last, high + 1, a[3]),
    )
    return tuple(piece for piece in pieces if piece[0] <= piece[1] and piece[2] <= piece[3])
