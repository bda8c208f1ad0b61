"""What ends by itself: rules with a known end, and connections that outlive the rule that let them in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from operator import itemgetter

from zonewall.intent.analysis.moments import changes_of_hours
from zonewall.intent.banks import EVERYBODY, Bank, Line, Outcome
from zonewall.intent.judgement import rule_records, tiers_of
from zonewall.intent.schedule import holds
from zonewall.policy.model import Action, Configuration, Rule
from zonewall.values.sameness import differing

MOST_OUTLIVING = 1000
_PLACE = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Outliving:
    """A rule that has gone, and whose connections may live on.

    Attributes:
        rule: ``tenant/tier/rule``.
        until: seconds since 1970; None: as long as they live.
    """

    rule: str
    until: int | None


@dataclass(frozen=True, slots=True)
class Passing:
    """What of a policy ends by itself.

    Attributes:
        ends: when rules that allow now cease to hold, in seconds since 1970.
    """

    ends: Mapping[str, int] = field(default_factory=dict)
    outliving: tuple[Outliving, ...] = ()

    def __bool__(self) -> bool:
        """Say whether there is anything."""
        return bool(self.ends or self.outliving)


NOTHING_PASSES = Passing()


def rule_ends(configuration: Configuration, at: datetime) -> dict[str, int]:
    """Return when each rule that holds and allows at ``at`` ceases to hold, where that is known."""
    found: dict[str, int] = {}
    for name, record in rule_records(configuration).items():
        rule = record.rule
        if rule is None or rule.action is not Action.ALLOW or not holds(rule, at):
            continue
        moments = [rule.expires] if rule.expires is not None else []
        if rule.hours is not None:
            changes = sorted(change for change in changes_of_hours(rule.hours, at) if change > at)
            moments += [change for change in changes if not holds(rule, change)][:1]
        if moments:
            found[name] = int(min(moments).timestamp())
    return found


def outliving_after(
    before: tuple[Configuration, frozenset[str]],
    after: tuple[Configuration, frozenset[str]],
    known: Iterable[Outliving],
    now_s: float,
) -> tuple[Outliving, ...]:
    """Return the rules whose connections live on after a change.

    A rule goes when it is no longer there, no longer holds, or is about something else than before. What
    ``on-change: cut`` says of its last form stands. Who went through a service function is cut always.

    Args:
        before: the configuration, and its rules that did not hold.
        after: the same after the change.
        known: what outlived its rule before.
        now_s: seconds since 1970.
    """
    kept = {one.rule: one for one in still_outliving(known, now_s)}
    for name, rule in _gone(before, after):
        kind = rule.on_change.kind
        if rule.action is not Action.ALLOW or kind == "cut" or rule.through:
            kept.pop(name, None)
        else:
            kept[name] = Outliving(name, None if kind == "keep" else ceil(now_s) + rule.on_change.seconds)
    return tuple(kept.values())[-MOST_OUTLIVING:]


def still_outliving(known: Iterable[Outliving], now_s: float) -> tuple[Outliving, ...]:
    """Return those whose time is not over."""
    return tuple(one for one in known if one.until is None or one.until > now_s)


def sections_with_outliving(
    bank: Bank, sections: list[tuple[Line, ...]], passing: Passing
) -> list[tuple[Line, ...]]:
    """Return a bank's sections with a line for each rule that is outlived, at the top of its tier.

    So a tier before can cut the connections. Where the tier is gone, they stand before the default; between
    tenants a tenant's stand behind its other tiers, as the source's have to allow, too.
    """
    result = [list(lines) for lines in sections]
    found = []
    for one in passing.outliving:
        owner, tier = one.rule.split("/")[:2]
        if owner in ("provider", bank.destination):
            place = _place(bank, owner, f"{owner}/{tier}")
            every = EVERYBODY
            line = Line(f"{one.rule}~outlives", one.rule, every, every, (), Outcome.ALLOW, outlives=True)
            found.append((place, line))
    # The last place first: what is put in moves none of those before it.
    for (section, index), line in sorted(found, key=_PLACE, reverse=True):
        result[section].insert(index, line)
    return [tuple(lines) for lines in result]


def _place(bank: Bank, owner: str, tier: str) -> tuple[int, int]:
    """Return the section where a tier begins, and the line there; the bank's end is the last section."""
    for number, section in enumerate(bank.sections):
        for name, index in section.tiers:
            if name == tier:
                return number, index
    if bank.last_own is not None and owner == bank.destination:
        return bank.last_own, len(bank.sections[bank.last_own].lines)
    return len(bank.sections), 0


def _gone(
    before: tuple[Configuration, frozenset[str]], after: tuple[Configuration, frozenset[str]]
) -> Iterator[tuple[str, Rule]]:
    """Yield the rules that go, with their names; tiers that are the same objects are not looked into."""
    held, holds_now = before[1], after[1]
    tiers = {(owner, tier.name): tier for owner, tier in tiers_of(after[0])}
    for owner, tier in tiers_of(before[0]):
        now = tiers.get((owner, tier.name))
        if now is tier and held == holds_now:
            continue
        pairs = _pairs(tier.rules, () if now is None else now.rules, are_all_asked=held != holds_now)
        for rule, other in pairs:
            name = f"{owner}/{tier.name}/{rule.name}"
            stays = other is not None and name not in holds_now and _about(other) == _about(rule)
            if name not in held and not stays:
                yield name, rule


def _pairs(
    before: Sequence[Rule], after: Sequence[Rule], *, are_all_asked: bool
) -> Iterable[tuple[Rule, Rule | None]]:
    """Return each rule with the one of its name afterwards; if not all are asked, those that differ."""
    if len(before) == len(after):
        others = [(before[place], after[place]) for place in differing(before, after)]
        if all(one.name == other.name for one, other in others):
            return zip(before, after, strict=True) if are_all_asked else others
    named = {rule.name: rule for rule in after}
    pairs = ((rule, named.get(rule.name)) for rule in before)
    return [(one, other) for one, other in pairs if are_all_asked or one is not other]


def _about(rule: Rule) -> object:
    return rule.sources, rule.destinations, rule.services, rule.action
