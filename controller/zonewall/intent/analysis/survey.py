"""Every bank walked for every pair of ends and every service: what each rule matches, and what it decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from zonewall.intent.analysis.ends import Ends, first_pair
from zonewall.intent.analysis.moments import timed_rules
from zonewall.intent.analysis.regions import Region, difference, intersection, union
from zonewall.intent.analysis.walk import BankWalk, Decision, walk_of
from zonewall.intent.analysis.witness import Sides, Witness, find_packet, witness_of
from zonewall.intent.banks import Bank, RuleRecord
from zonewall.intent.crowds import is_outside_name
from zonewall.policy.model import Action, Configuration, Rule
from zonewall.values.names import TenantName

MOST_PAIRS = 200_000
"""Groups of ends, two by two, that are looked at in one bank; the rest is not."""

_Groups = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Spot:
    """A place where something was seen: ends and a region of a bank."""

    walk: BankWalk
    sides: Sides
    groups: _Groups
    region: Region

    def witness(self, configuration: Configuration, at: datetime) -> Witness | None:
        """Return a connection there, judged by the evaluator."""
        found = find_packet(self.walk.protocols, self.region, self.sides, self.groups)
        if found is None:
            return None
        return witness_of(configuration, TenantName(self.walk.bank.source), *found, at)


@dataclass(slots=True)
class RuleUse:
    """What became of one rule.

    Attributes:
        matched: somewhere it matches, whether or not an earlier rule decides there.
        blocker: the rule that decides there instead.
        taken: somewhere it decides, or passes on.
        needed: somewhere the verdict would be another one without it.
        successors: the rules that would decide in its stead.
        possible: identities of sources and destinations that it could decide about, were it the first.
        used: those that it does decide about.
        possible_services: the services that it could decide about.
        services: those that it does decide about.
        open_to: somewhere it lets an address outside in.
    """

    matched: Spot | None = None
    blocker: str = ""
    taken: Spot | None = None
    needed: bool = False
    successors: set[str] = field(default_factory=set)
    possible: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))
    used: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))
    possible_services: Region = field(default_factory=dict)
    services: Region = field(default_factory=dict)
    open_to: Spot | None = None


@dataclass(slots=True)
class Survey:
    """What was seen of all rules.

    Attributes:
        conflicts: rules that contradict an earlier one of their tier, with a place where both match.
        complete: every pair of ends was looked at.
    """

    rules: dict[str, RuleUse] = field(default_factory=dict)
    conflicts: dict[tuple[str, str], Spot] = field(default_factory=dict)
    complete: bool = True


def survey(
    banks: Mapping[str, Bank],
    ends: Mapping[TenantName, tuple[Ends, Ends]],
    records: Mapping[str, RuleRecord],
    fleeting: frozenset[str],
) -> Survey:
    """Return what each rule of the banks matches and decides; ``fleeting`` rules hold only at times."""
    result = Survey()
    for bank in banks.values():
        crossing = bank.source != bank.destination
        sides = tuple(ends[name][0 if crossing else 1].examples for name in (bank.source, bank.destination))
        _BankSurvey(walk_of(bank, (), fleeting), (sides[0], sides[1]), records, result).run()
    return result


def fleeting_rules(configuration: Configuration, records: Mapping[str, RuleRecord]) -> frozenset[str]:
    """Return the names of the rules that do not hold for ever."""
    timed = {id(rule) for rule in timed_rules(configuration)}
    return frozenset(name for name, record in records.items() if id(record.rule) in timed)


@dataclass(slots=True)
class _BankSurvey:
    """The survey of one bank."""

    walk: BankWalk
    sides: Sides
    records: Mapping[str, RuleRecord]
    result: Survey
    known: dict[tuple[int, tuple[bool, bool]], tuple[Decision, ...]] = field(default_factory=dict)
    compared: set[tuple[int, int]] = field(default_factory=set)

    def run(self) -> None:
        """Look at every pair of groups of ends."""
        everything = self.walk.protocols.region(())
        for count, groups in enumerate(self._groups()):
            if count == MOST_PAIRS:
                self.result.complete = False
                return
            families = self._families(groups)
            if not any(families):
                continue
            region = {
                key: found
                for key, found in everything.items()
                if (key != 1 or families[0]) and (key != 58 or families[1])
            }
            self._look(groups, region, families)

    def _groups(self) -> Iterator[_Groups]:
        found: tuple[dict[int, list[str]], dict[int, list[str]]] = ({}, {})
        for side in (0, 1):
            for identity in self.sides[side]:
                found[side].setdefault(self.walk.mask(side, identity), []).append(identity)
        for sources in found[0].values():
            for destinations in found[1].values():
                yield tuple(sources), tuple(destinations)

    def _families(self, groups: _Groups) -> tuple[bool, bool]:
        """Say for IPv4 and IPv6 whether two ends of the groups can meet."""
        found = []
        for family in (4, 6):
            pairs = (
                first_pair(self.sides[0][a], self.sides[1][b], family) for a in groups[0] for b in groups[1]
            )
            found.append(any(pair is not None for pair in pairs))
        return found[0], found[1]

    def _look(self, groups: _Groups, region: Region, families: tuple[bool, bool]) -> None:
        mask = self.walk.mask(0, groups[0][0]) & self.walk.mask(1, groups[1][0])
        takers = self.known.get((mask, families))
        if takers is None:
            takers = self.known[mask, families] = tuple(self.walk.takers(mask, region))
            self._note_matches(mask, groups, region, takers)
            self._note_conflicts(mask, groups, takers)
            for taken in takers:
                self._note_need(mask, taken)
        for place in self.walk.places(mask):
            possible = self._use(self.walk.lines[place].rule).possible
            possible[0].update(groups[0])
            possible[1].update(groups[1])
        for taken in takers:
            use = self._use(self.walk.lines[taken.place].rule)
            spot = Spot(self.walk, self.sides, groups, taken.region)
            use.taken = use.taken or spot
            use.used[0].update(groups[0])
            use.used[1].update(groups[1])
            outside = tuple(name for name in groups[0] if is_outside_name(name))
            inside = tuple(name for name in groups[1] if not is_outside_name(name))
            if use.open_to is None and outside and inside:
                use.open_to = Spot(self.walk, self.sides, (outside, inside), taken.region)

    def _use(self, rule: str) -> RuleUse:
        return self.result.rules.setdefault(rule, RuleUse())

    def _note_matches(self, mask: int, groups: _Groups, region: Region, takers: tuple[Decision, ...]) -> None:
        for taken in takers:
            use = self._use(self.walk.lines[taken.place].rule)
            use.services = union(use.services, taken.region)
        for place in self.walk.places(mask):
            use = self._use(self.walk.lines[place].rule)
            matched = intersection(region, self.walk.regions[place])
            use.possible_services = union(use.possible_services, matched)
            for taken in takers if matched and use.matched is None else ():
                line = self.walk.lines[taken.place]
                shared = intersection(matched, taken.region)
                if shared and line.rule not in self.walk.fleeting:
                    use.matched = Spot(self.walk, self.sides, groups, shared)
                    use.blocker = line.rule
                    break

    def _note_need(self, mask: int, taken: Decision) -> None:
        """Note whether some verdict would be another one without the line's rule."""
        rule = self.walk.lines[taken.place].rule
        use = self._use(rule)
        if use.needed:
            return
        without = list(self.walk.decisions(mask, taken.region, rule))
        use.successors.update(self.walk.lines[decision.place].rule for decision in without)
        for decision in self.walk.decisions(mask, taken.region):
            for other in without:
                if self._effect(decision) != self._effect(other) and intersection(
                    decision.region, other.region
                ):
                    use.needed = True
                    return

    def _effect(self, decision: Decision) -> object:
        line = self.walk.lines[decision.place]
        rule = self.records[line.rule].rule
        return line.outcome, line.monitored, _modifiers(rule) if rule is not None else _NO_MODIFIERS

    def _note_conflicts(self, mask: int, groups: _Groups, takers: tuple[Decision, ...]) -> None:
        """Note later rules of a taker's tier that say the contrary, where neither is a part of the other."""
        later = [place for place in self.walk.places(mask) if self._says(place) is not None]
        for taken in takers:
            ours = self._says(taken.place)
            if ours is None:
                continue
            tier = self._tier(taken.place)
            for place in later:
                if place <= taken.place or self._says(place) is ours or self._tier(place) != tier:
                    continue
                if (taken.place, place) in self.compared:
                    continue
                shared = intersection(taken.region, self.walk.regions[place])
                if not shared:
                    continue
                self.compared.add((taken.place, place))
                if not (self._covers(taken.place, place) or self._covers(place, taken.place)):
                    names = self.walk.lines[taken.place].rule, self.walk.lines[place].rule
                    spot = Spot(self.walk, self.sides, groups, shared)
                    self.result.conflicts.setdefault(names, spot)

    def _says(self, place: int) -> bool | None:
        """Return whether a line's rule lets through, None where it passes on or is no rule."""
        rule = self.records[self.walk.lines[place].rule].rule
        if rule is None or rule.action is Action.PASS:
            return None
        return rule.action is Action.ALLOW

    def _tier(self, place: int) -> str:
        return self.walk.lines[place].rule.rpartition("/")[0]

    def _covers(self, outer: int, inner: int) -> bool:
        """Say whether a line is about all that another one is about."""
        if difference(self.walk.regions[inner], self.walk.regions[outer]):
            return False
        for side in (0, 1):
            for identity in self.sides[side]:
                bits = self.walk.mask(side, identity)
                if bits >> inner & 1 and not bits >> outer & 1:
                    return False
        return True


_NO_MODIFIERS: tuple[object, ...] = ("none", frozenset(), (), None)


def _modifiers(rule: Rule) -> tuple[object, ...]:
    through = rule.through if rule.action is Action.ALLOW else ()
    return rule.log, frozenset(rule.mirror), through, rule.limit
