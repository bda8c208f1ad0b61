"""Refuses documents by which a bridge would have to hold more flows than its budget allows."""

from __future__ import annotations

from collections.abc import Mapping

from zonewall.flows.forecast import over_budget
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import FLOW_BUDGET
from zonewall.policy.model import Configuration
from zonewall.reconciler.world import World
from zonewall.values.names import DatapathId

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
    world: World, configuration: Configuration, inactive: frozenset[str], held: Mapping[BridgeKey, int]
) -> tuple[str, ...]:
    """Return one line for each bridge whose budget the configuration would pass.

    Args:
        world: what is in force.
        configuration: what is to be.
        inactive: its rules that do not hold at the moment.
        held: how many flows each bridge holds now.
    """
    growth = max(1.0, _size(configuration) / _size(world.configuration))
    hosts = configuration.inventory.hosts
    near = [
        key
        for key, flows in held.items()
        if key.host in hosts
        and key.bridge in hosts[key.host].bridges
        and flows * MARGIN * growth > hosts[key.host].bridges[key.bridge].flow_budget
    ]
    if not near:
        return ()
    return over_budget(world.reconfigured(configuration, inactive, 0.0)[0].indexed, near)


def _size(configuration: Configuration) -> int:
    """Return how many peers and services all rules name, and endpoints there are; at least 1."""
    tiers = [*configuration.provider.before, *configuration.provider.after]
    tiers += [tier for tenant in configuration.tenants.values() for tier in tenant.tiers]
    words = sum(
        len(rule.sources) + len(rule.destinations) + len(rule.services)
        for tier in tiers
        for rule in tier.rules
    )
    return 1 + words + len(configuration.inventory.endpoints)
