"""Refuses documents by which a bridge would have to hold more flows than its budget allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zonewall.flows.forecast import over_budget
from zonewall.intent.judgement import tiers_of
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import FLOW_BUDGET
from zonewall.policy.model import Configuration, Rule
from zonewall.reconciler.world import World
from zonewall.values.names import DatapathId
from zonewall.values.sameness import differing

MARGIN = 4
"""A bridge is compiled beforehand if so many times its flows, grown as the rules grow, pass its budget."""


SHOWN, SHOWN_BESIDE = 2, 10_000
"""So many times its budget, and so many flows more, a bridge may show when it is read: what a large change
puts beside what it replaces, and what others have put there."""


def most_shown(world: World, datapath_id: DatapathId) -> int:
    """Return how many flows a bridge may show when it is read; more costs memory that nobody has given it."""
    key = world.bridge_of(datapath_id)
    hosts = world.configuration.inventory.hosts
    known = key is not None and key.host in hosts and key.bridge in hosts[key.host].bridges
    budget = hosts[key.host].bridges[key.bridge].flow_budget if key is not None and known else FLOW_BUDGET
    return SHOWN * budget + SHOWN_BESIDE


def refusals(
    world: World, configuration: Configuration, inactive: frozenset[str], held: Mapping[BridgeKey, int | None]
) -> tuple[str, ...]:
    """Return one line for each bridge whose budget the configuration would pass.

    Args:
        world: what is in force.
        configuration: what is to be.
        inactive: its rules that do not hold at the moment.
        held: how many flows each bridge holds now, None where that is not known.
    """
    before = world.configuration
    at_most = 1.0 + max(0, _more(before, configuration)) / (1 + len(before.inventory.endpoints))
    near = _near(configuration, held, at_most)
    if near and at_most > 1.0:
        near = _near(configuration, held, max(1.0, _size(configuration) / _size(before)))
    if not near:
        return ()
    return over_budget(world.reconfigured(configuration, inactive, 0.0)[0].indexed, near)


def _near(
    configuration: Configuration, held: Mapping[BridgeKey, int | None], growth: float
) -> list[BridgeKey]:
    """Return the bridges that are worth compiling, if their flows grow as the rules."""
    hosts = configuration.inventory.hosts
    return [
        key
        for key, flows in held.items()
        if key.host in hosts
        and key.bridge in hosts[key.host].bridges
        and (flows is None or flows * MARGIN * growth > hosts[key.host].bridges[key.bridge].flow_budget)
    ]


def _size(configuration: Configuration) -> int:
    """Return how many peers and services all rules name, and endpoints there are; at least 1."""
    words = sum(_words(tier.rules) for _, tier in tiers_of(configuration))
    return 1 + words + len(configuration.inventory.endpoints)


def _more(before: Configuration, after: Configuration) -> int:
    """Return by how much the size grows, at most; of tiers that few rules differ in these are looked at."""
    known = {(owner, tier.name): tier.rules for owner, tier in tiers_of(before)}
    more = len(after.inventory.endpoints) - len(before.inventory.endpoints)
    for owner, tier in tiers_of(after):
        then, now = known.pop((owner, tier.name), ()), tier.rules
        if len(then) != len(now):
            more += _words(now) - _words(then)
        else:
            others = differing(then, now)
            more += _words(now[place] for place in others) - _words(then[place] for place in others)
    return more - sum(map(_words, known.values()))


def _words(rules: Iterable[Rule]) -> int:
    return sum(len(rule.sources) + len(rule.destinations) + len(rule.services) for rule in rules)
