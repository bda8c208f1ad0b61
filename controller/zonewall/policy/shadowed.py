"""Rules that an earlier one of their tier always decides first."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from types import MappingProxyType

from zonewall.policy.covering import Covering, extent
from zonewall.policy.crossing import Crossing
from zonewall.policy.model import Peer, Rule, Tier
from zonewall.values.sameness import differing

Pair = tuple[Peer, Peer]

_NEAR = 300
_MOST_COMPARED = 1_500_000
"""How many rules a rule is held against at most, and how many pairs; `zonewall lint` looks at all."""

_SMALL = 8
"""A rule of more peers and ranges of ports is held against as many fewer rules as it is larger."""

_ANY = Peer("any")
_MOST_PAIRS = 64
_FEW = 20
"""So many rules may differ for a tier to be looked at in part."""


def shadowed(tier: Tier, crossing: Crossing | None = None) -> dict[str, str]:
    """Return rules that are never reached, each with the one that decides all of it before.

    ``crossing``: what the rules can be about between tenants; None: nothing.
    """
    everywhere = range(len(tier.rules))
    return _shadowed(tier.rules, everywhere, everywhere, _most(tier), crossing)


class Places:
    """Where the rules of a tier stand that name a peer as a source, found again only where that changes."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._rules: tuple[Rule, ...] = ()
        self._by_name: dict[str, list[int]] = {}
        self._by_source: dict[Peer, list[int]] = {}
        self._wide: list[int] = []
        """Rules of very many peers."""

    def among(self, rules: tuple[Rule, ...], sources: Iterable[Peer]) -> list[int]:
        """Return where rules with any of some sources stand, and those of very many peers, in order."""
        self._follow(rules)
        named = chain.from_iterable(self._by_source.get(peer, ()) for peer in sources)
        return sorted({*named, *self._wide})

    def named(self, rules: tuple[Rule, ...]) -> Mapping[str, list[int]]:
        """Return where rules stand, by name."""
        self._follow(rules)
        return self._by_name

    def _follow(self, rules: tuple[Rule, ...]) -> None:
        if rules is self._rules:
            return
        if len(rules) == len(self._rules):
            others = [(self._rules[place], rules[place]) for place in differing(self._rules, rules)]
            if all(_stands_alike(one, other) for one, other in others):
                self._rules = rules
                return
        self._rules, self._by_name, self._by_source, self._wide = rules, {}, {}, []
        for place, rule in enumerate(rules):
            self._by_name.setdefault(rule.name, []).append(place)
            if _is_wide(rule):
                self._wide.append(place)
            for peer in rule.sources:
                self._by_source.setdefault(peer, []).append(place)


def _stands_alike(one: Rule, other: Rule) -> bool:
    alike = one.name == other.name and one.sources == other.sources
    return alike and _is_wide(one) == _is_wide(other)


def _is_wide(rule: Rule) -> bool:
    return len(rule.sources) * len(rule.destinations) > _MOST_PAIRS


def shadowed_after(
    tier: Tier,
    before: Tier,
    known: Mapping[str, str] = MappingProxyType({}),
    crossing: Crossing | None = None,
    places: Places | None = None,
) -> dict[str, str]:
    """Return ``shadowed`` of a tier, given that of the tier ``before``: few rules that differ cost little.

    Args:
        tier: as it is now.
        before: as it was.
        known: what was found of it.
        crossing: the same as before.
        places: kept from one time to the next; where rules stand is not found again then.
    """
    places = places or Places()
    if tier is before:
        return dict(known)
    differs = _differing(before.rules, tier.rules)
    if differs is None or _most(tier) != _most(before) or len(differs) > _FEW:
        return shadowed(tier, crossing)
    about = {(rule.name, rule.sources, rule.destinations): rule for rule in differs}.values()
    asked = sorted({place for one in about for place in _concerned(one, tier.rules, places)})
    again = {tier.rules[place].name for place in asked}
    now = places.named(tier.rules)
    found = {name: earlier for name, earlier in known.items() if name in now and name not in again}
    sources = {source for place in asked for source, _ in _looked_up(tier.rules[place])}
    looked_at = sorted({*asked, *places.among(tier.rules, sources)})
    return {**found, **_shadowed(tier.rules, asked, looked_at, _most(tier), crossing)}


def _shadowed(
    rules: Sequence[Rule],
    asked: Sequence[int],
    looked_at: Sequence[int],
    most: int,
    crossing: Crossing | None,
) -> dict[str, str]:
    """Return which of the rules at some places are never reached.

    ``looked_at``: in order, these, and where rules stand that may cover one of them, as they have its first
    source, `any`, or very many peers.
    """
    found: dict[str, str] = {}
    if not most or not asked:
        return found
    is_asked = frozenset(asked)
    covering = Covering()
    before = _Earlier({pair for place in asked for pair in _looked_up(rules[place])})
    for place in looked_at[: bisect_right(looked_at, asked[-1])]:
        rule = rules[place]
        if place in is_asked:
            alike = before.that_may_cover(rule, max(1, most * _SMALL // max(_SMALL, extent(rule))))
            wider = (one for _, one in alike if covering.covers(one, rule))
            earlier = next((one for one in wider if not crossing or crossing.leaves_none(one, rule)), None)
            if earlier is not None:
                found[rule.name] = earlier.name
        before.add(place, rule)
    return found


def _differing(before: Sequence[Rule], after: Sequence[Rule]) -> list[Rule] | None:
    """Return the rules that went and that came, both of those that changed; None if others changed places."""
    if len(before) == len(after):
        pairs = [(before[place], after[place]) for place in differing(before, after)]
        if all(one.name == other.name for one, other in pairs):
            return [rule for pair in pairs if pair[0] != pair[1] for rule in pair]
    last = {rule.name: rule for rule in before}
    now = {rule.name: rule for rule in after}
    kept = [rule.name for rule in after if rule.name in last]
    if kept != [rule.name for rule in before if rule.name in now]:
        return None
    gone = [rule for rule in before if now.get(rule.name) is not rule and now.get(rule.name) != rule]
    return gone + [rule for rule in after if last.get(rule.name) is not rule and last.get(rule.name) != rule]


def _most(tier: Tier) -> int:
    return min(_NEAR, _MOST_COMPARED // (len(tier.rules) or 1))


def _concerned(one: Rule, rules: tuple[Rule, ...], places: Places) -> list[int]:
    """Return where rules stand that may be held against one, and where it stands itself."""
    if _is_wide(one):
        return list(range(len(rules)))
    sources, destinations = frozenset(one.sources), frozenset(one.destinations)
    from_any, to_any = _ANY in sources, _ANY in destinations
    return [
        *places.named(rules).get(one.name, ()),
        *(
            place
            for place in (range(len(rules)) if from_any else places.among(rules, sources))
            if (from_any or (rules[place].sources and rules[place].sources[0] in sources))
            and (to_any or (rules[place].destinations and rules[place].destinations[0] in destinations))
        ),
    ]


def _looked_up(rule: Rule) -> list[Pair]:
    """Return the pairs of peers under which rules stand that may cover one."""
    if not rule.sources or not rule.destinations:
        return []
    return [(s, d) for s in (rule.sources[0], _ANY) for d in (rule.destinations[0], _ANY)]


class _Earlier:
    """The rules so far, by whom they name: one that covers another names its first peers, or `any`."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        """Remember rules under these pairs of peers only; the others are not asked for."""
        self._by_pair: dict[Pair, list[tuple[int, Rule]]] = {pair: [] for pair in pairs}
        self.sources = frozenset(source for source, _ in self._by_pair)
        self._wide: list[tuple[int, Rule]] = []

    def add(self, place: int, rule: Rule) -> None:
        """Take a rule; one that names very many is held against every later one."""
        if rule.hours is not None or rule.expires is not None:
            return
        if _is_wide(rule):
            self._wide.append((place, rule))
            return
        for source in dict.fromkeys(rule.sources):
            for destination in dict.fromkeys(rule.destinations) if source in self.sources else ():
                numbered = self._by_pair.get((source, destination))
                if numbered is not None:
                    numbered.append((place, rule))

    def that_may_cover(self, rule: Rule, most: int) -> list[tuple[int, Rule]]:
        """Return rules before this one that may decide all of it: the last ``most``, the first one first."""
        pairs = _looked_up(rule)
        found = dict(self._wide[-most:]) if pairs else {}
        for pair in pairs:
            found.update(self._by_pair[pair][-most:])
        return sorted(found.items(), key=itemgetter(0))[-most:]
