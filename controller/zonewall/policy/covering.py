"""Whether a rule decides all that another is about, so that the other is never reached after it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from zonewall.policy.model import Peer, Rule
from zonewall.values.services import PortRange, ServiceTerm, merge_ranges

_FEW = 16
"""So much is looked through; what is more, is looked up."""

_ANY = Peer("any")
_SELF = Peer("self")
_LAST = 65536

_Ports = tuple[PortRange, ...]
_What = tuple[int, int | None, int | None, _Ports]
"""A protocol, an ICMP type and code, source ports."""


def extent(rule: Rule) -> int:
    """Return how much of a rule has to be looked up in another."""
    size = len(rule.sources) + len(rule.destinations)
    for term in rule.services:
        size += len(term.ports) or 1
    return size


@dataclass(slots=True)
class Covering:
    """Compares rules with each other; what it makes of a long one, it remembers as long as that is there."""

    _peers: dict[int, frozenset[Peer]] = field(default_factory=dict)
    _services: dict[int, Mapping[_What, _Ports] | None] = field(default_factory=dict)

    def covers(self, first: Rule, second: Rule) -> bool:
        """Say whether all connections that the second is about are the first one's."""
        # Services first: rules between the same zones mostly differ in those, and they are compared sooner.
        return (
            self._services_cover(first.services, second.services)
            and self._peers_cover(first.sources, second.sources)
            and self._peers_cover(first.destinations, second.destinations)
        )

    def _peers_cover(self, first: tuple[Peer, ...], second: tuple[Peer, ...]) -> bool:
        there: Collection[Peer] = first
        if len(first) > _FEW:
            there = self._peers.get(id(first)) or self._peers.setdefault(id(first), frozenset(first))
        if _ANY in there:
            return True
        return _SELF not in there and _SELF not in second and all(peer in there for peer in second)

    def _services_cover(self, first: tuple[ServiceTerm, ...], second: tuple[ServiceTerm, ...]) -> bool:
        if len(first) == len(second) == 1:
            return _term_covers(first[0], second[0])
        if not first or not second:
            return not first
        if len(first) * len(second) <= _FEW:
            return all(any(_term_covers(one, other) for one in first) for other in second)
        there, asked = self._by_what(first), self._by_what(second)
        return there is None or (
            asked is not None and all(_is_in(what, ports, there) for what, ports in asked.items())
        )

    def _by_what(self, terms: tuple[ServiceTerm, ...]) -> Mapping[_What, _Ports] | None:
        """Return the ports of each protocol together; None is everything."""
        if id(terms) not in self._services:
            self._services[id(terms)] = _together(terms)
        return self._services[id(terms)]


def _together(terms: tuple[ServiceTerm, ...]) -> Mapping[_What, _Ports] | None:
    found: dict[_What, list[_Ports]] = {}
    for term in terms:
        if term.protocol is None:
            return None
        what = (term.protocol, term.icmp_type, term.icmp_code, term.source_ports)
        found.setdefault(what, []).append(term.ports)
    return {
        what: merge_ranges([one for each in ports for one in each]) if all(ports) else ()
        for what, ports in found.items()
    }


def _is_in(what: _What, ports: _Ports, there: Mapping[_What, _Ports]) -> bool:
    """Say whether ports are among those that are there, for these source ports or for all."""
    protocol, kind, code, sources = what
    return any(
        (one in there and _ranges_cover(there[one], ports))
        for of_type in dict.fromkeys(((kind, code), (kind, None), (None, None)))
        for one in dict.fromkeys(((protocol, *of_type, sources), (protocol, *of_type, ())))
    )


def _term_covers(first: ServiceTerm, second: ServiceTerm) -> bool:
    if first.protocol is not None and first.protocol != second.protocol:
        return False
    if first.icmp_type is not None and (first.icmp_type, first.icmp_code) != (
        second.icmp_type,
        second.icmp_code if first.icmp_code is not None else None,
    ):
        return False
    return _ranges_cover(first.ports, second.ports) and _ranges_cover(first.source_ports, second.source_ports)


def _ranges_cover(first: _Ports, second: _Ports) -> bool:
    """Say whether ranges are within others; both are sorted and apart from each other, none is all."""
    if not first or not second:
        return not first
    if len(first) == len(second) == 1:
        return first[0][0] <= second[0][0] and second[0][1] <= first[0][1]
    for begin, end in second:
        place = bisect_right(first, (begin, _LAST)) - 1
        if place < 0 or first[place][1] < end:
            return False
    return True
