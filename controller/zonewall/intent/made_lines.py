"""The lines of a tier's rules, carried from one configuration to the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from zonewall.intent.banks import Line
from zonewall.policy.model import Rule
from zonewall.values.sameness import differing

_Rules = tuple[Rule, ...]
_ByRule = dict[str, tuple[Rule, tuple[Line, ...]]]


class MadeTier(NamedTuple):
    """The lines of a tier's rules.

    Attributes:
        by_rule: those of each rule by its name; the rule is kept beside them.
        lines: all in order; ``one_each``: every rule has one.
    """

    rules: _Rules
    by_rule: Mapping[str, tuple[Rule, tuple[Line, ...]]]
    lines: list[Line]
    one_each: bool


MadeLines = Mapping[Hashable, MadeTier]
"""The lines of tiers, by where each stands."""


def tier_of(rules: _Rules, before: MadeTier | None, lines_of: Callable[[Rule], tuple[Line, ...]]) -> MadeTier:
    """Return the lines of a tier's rules; of ``before`` those of rules that are as they were."""
    by_rule, lines, places = _kept(before, rules)
    for place in places:
        rule = rules[place]
        known = None if before is None else before.by_rule.get(rule.name)
        if known is None or (known[0] is not rule and known[0] != rule):
            known = (rule, lines_of(rule))
        by_rule[rule.name] = known
    if lines is not None and all(len(by_rule[rules[place].name][1]) == 1 for place in places):
        for place in places:
            (lines[place],) = by_rule[rules[place].name][1]
        return MadeTier(rules, by_rule, lines, True)
    each = [by_rule[rule.name][1] for rule in rules]
    return MadeTier(rules, by_rule, list(chain.from_iterable(each)), all(len(some) == 1 for some in each))


def _kept(before: MadeTier | None, rules: _Rules) -> tuple[_ByRule, list[Line] | None, Sequence[int]]:
    """Return what is taken over of a tier's lines, by rule and in order, and the places of rules to look at.

    Without an order (None) every rule is to be looked at, and the order follows from them.
    """
    if before is not None and before.one_each and len(before.rules) == len(rules):
        places = differing(rules, before.rules)
        if all(rules[place].name == before.rules[place].name for place in places):
            return dict(before.by_rule), list(before.lines), places
    return {}, None, range(len(rules))
