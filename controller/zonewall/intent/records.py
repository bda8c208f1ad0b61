"""What is known of each rule by its name, carried from one configuration to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from zonewall.intent.banks import RuleRecord
from zonewall.intent.judgement import rule_records, tiers_of
from zonewall.policy.model import Configuration, Rule
from zonewall.values.sameness import differing

Modified = tuple[tuple[str, Rule], ...]


class Records(NamedTuple):
    """The records of a configuration's rules.

    Attributes:
        by_name: as ``rule_records`` says.
        modified: rules that ask for more than a verdict, by name, in the documents' order.
    """

    by_name: Mapping[str, RuleRecord]
    modified: Modified


def records_of(configuration: Configuration, before: tuple[Configuration, Records] | None) -> Records:
    """Return the records; ``before`` are those of the configuration before, taken where rules are the same.

    Where rules were exchanged in their places and nothing else, it costs what was exchanged; the very same
    ``by_name.keys()`` say so.
    """
    changed = None if before is None else _exchanged(before[0], configuration)
    if before is None or changed is None:
        by_name = rule_records(configuration, before[1].by_name if before is not None else {})
        return Records(by_name, _modified(by_name))
    known = before[1]
    records = dict(known.by_name)
    for name, _, rule in changed:
        records[name] = RuleRecord(name, rule.location, rule)
    for tenant in configuration.tenants.values():
        name = f"{tenant.name}/default"
        if records[name].location is not tenant.default_location:
            records[name] = RuleRecord(name, tenant.default_location, None)
    if any(_asks_more(old) or _asks_more(new) for _, old, new in changed):
        return Records(records, _modified(records))
    return Records(records, known.modified)


def _exchanged(old: Configuration, new: Configuration) -> list[tuple[str, Rule, Rule]] | None:
    """Return the rules exchanged in their places, by name, before and after; None: more is different."""
    tiers, tiers_then = list(tiers_of(new)), list(tiers_of(old))
    if list(old.tenants) != list(new.tenants) or len(tiers) != len(tiers_then):
        return None
    changed = []
    for (owner, tier), (owner_then, tier_then) in zip(tiers, tiers_then, strict=True):
        rules, then = tier.rules, tier_then.rules
        if owner != owner_then or tier.name != tier_then.name or len(rules) != len(then):
            return None
        for place in differing(rules, then) if rules is not then else ():
            if rules[place].name != then[place].name:
                return None
            changed.append((f"{owner}/{tier.name}/{rules[place].name}", then[place], rules[place]))
    return changed


def _modified(records: Mapping[str, RuleRecord]) -> Modified:
    return tuple(
        (name, record.rule)
        for name, record in records.items()
        if record.rule is not None and _asks_more(record.rule)
    )


def _asks_more(rule: Rule) -> bool:
    return bool(rule.mirror or rule.through or rule.limit or rule.log == "connections")
