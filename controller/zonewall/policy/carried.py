"""A configuration read again, in which what has not changed is the very object of the one before.

What is worked out later goes by identity: an equal rule that is the same object costs nothing to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from zonewall.policy.findings import Location
from zonewall.policy.inventory import EndpointDeclaration, HostDeclaration, Inventory
from zonewall.policy.model import Configuration, Provider, Rule, Tenant, Tier, Zone
from zonewall.values.sameness import are_same, differing

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Placed = TypeVar("Placed", Rule, Zone, EndpointDeclaration)


def carried_over(old: Configuration, new: Configuration) -> Configuration:
    """Return ``new``, made of the objects of ``old`` wherever those are equal and stand at the same place."""
    tenants = _entries(old.tenants, new.tenants, _tenant)
    provider = _provider(old.provider, new.provider)
    inventory = _inventory(old.inventory, new.inventory)
    if tenants is old.tenants and provider is old.provider and inventory is old.inventory:
        return old if old.warnings == new.warnings else replace(old, warnings=new.warnings)
    return Configuration(inventory, provider, tenants, new.warnings)


def _inventory(old: Inventory, new: Inventory) -> Inventory:
    hosts = _entries(old.hosts, new.hosts, _host)
    endpoints = _entries(old.endpoints, new.endpoints, _standing)
    made = replace(new, hosts=hosts, endpoints=endpoints)
    return old if hosts is old.hosts and endpoints is old.endpoints and made == old else made


def _provider(old: Provider, new: Provider) -> Provider:
    before, after = _tiers(old.before, new.before), _tiers(old.after, new.after)
    made = replace(new, before=before, after=after)
    return old if before is old.before and after is old.after and made == old else made


def _tenant(old: Tenant, new: Tenant) -> Tenant:
    """Return the tenant; ``exports`` and ``imports`` are few, and looked at by value."""
    zones = _entries(old.zones, new.zones, _standing)
    tiers = _tiers(old.tiers, new.tiers)
    made = replace(new, zones=zones, tiers=tiers)
    places = (
        new.location == old.location,
        new.default_location == old.default_location,
        [one.location for one in new.exports] == [one.location for one in old.exports],
        [one.location for one in new.imports] == [one.location for one in old.imports],
    )
    is_same = zones is old.zones and tiers is old.tiers and all(places) and made == old
    return old if is_same else made


def _tiers(old: tuple[Tier, ...], new: tuple[Tier, ...]) -> tuple[Tier, ...]:
    known = {tier.name: tier for tier in old}
    return _items(old, [_tier(known[tier.name], tier) if tier.name in known else tier for tier in new])


def _tier(old: Tier, new: Tier) -> Tier:
    if old is new:
        return old
    rules = _items(old.rules, _rules(old.rules, new.rules))
    made = replace(new, rules=rules)
    return old if rules is old.rules and old.location == new.location and made == old else made


def _rules(old: tuple[Rule, ...], new: tuple[Rule, ...]) -> list[Rule]:
    others = [] if len(old) != len(new) else differing(old, new)
    if len(old) == len(new) and all(old[at].name == new[at].name for at in others):
        made = list(new)
        for at in others:
            made[at] = _standing(old[at], new[at])
        return made
    known = {rule.name: rule for rule in old}
    return [_standing(known[rule.name], rule) if rule.name in known else rule for rule in new]


def _host(old: HostDeclaration, new: HostDeclaration) -> HostDeclaration:
    """Return the old host where all is as it was and where it was, its bridges and their ports included."""
    return old if old is new or (old == new and _places(old) == _places(new)) else new


def _places(host: HostDeclaration) -> list[Location]:
    bridges = [host.bridges[name] for name in sorted(host.bridges)]
    ports = [bridge.ports[name].location for bridge in bridges for name in sorted(bridge.ports)]
    return [host.location, *(bridge.location for bridge in bridges), *ports]


def _standing(old: Placed, new: Placed) -> Placed:
    return old if old is new or (old.location == new.location and old == new) else new


def _items(old: tuple[V, ...], new: Iterable[V]) -> tuple[V, ...]:
    made = tuple(new)
    same = len(made) == len(old) and are_same(made, old)
    return old if same else made


def _entries(old: Mapping[K, V], new: Mapping[K, V], one: Callable[[V, V], V]) -> Mapping[K, V]:
    """Return the entries, each the old one where ``one`` says so; the old mapping where all of it is."""
    if old is new:
        return old
    known = old.get
    made = {
        key: value if (before := known(key)) is value or before is None else one(before, value)
        for key, value in new.items()
    }
    same = len(made) == len(old) and are_same(made.values(), old.values()) and list(made) == list(old)
    return old if same else made
