"""What is wrong with a configuration as a whole, though each name in it exists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from operator import attrgetter

from zonewall.policy.appliances import check_appliances, check_crossing
from zonewall.policy.crossing import Crossing, OfProvider, crossing_of
from zonewall.policy.findings import Location
from zonewall.policy.host_constraints import accepts
from zonewall.policy.model import Configuration, Selector, Tenant, Tier
from zonewall.policy.notes import Notes
from zonewall.policy.shadowed import Places, shadowed, shadowed_after
from zonewall.policy.shares import check_shares
from zonewall.policy.visibility import check_ambiguous
from zonewall.values.names import TenantName, ZoneName

Shadows = dict[tuple[str, str], tuple[Tier, Crossing | None, Mapping[str, str], Places]]
"""What was found of tiers by their author and name: rules that are never reached and by which one; and where
they stand."""


def check(configuration: Configuration, notes: Notes, shadows: Shadows | None = None) -> None:
    """Add what is wrong to the notes: errors that refuse it, warnings for what surely was not meant.

    ``shadows``: what was found before, from which less is to be looked at; it is kept up.
    """
    known: Shadows = {} if shadows is None else shadows
    check_appliances(configuration, notes)
    check_shares(configuration, notes)
    if not check_references(configuration, notes):
        return
    for tenant in configuration.tenants.values():
        crossing = crossing_of(tenant)
        for tier in tenant.tiers:
            _check_shadowed((tenant.name, tier), crossing, notes, known)
    for tier in configuration.provider.before + configuration.provider.after:
        _check_shadowed(("provider", tier), OfProvider(), notes, known)
    _forget_others(configuration, known)
    check_crossing(configuration, notes)
    if not notes.has_errors:
        check_ambiguous(configuration, notes)


def check_references(configuration: Configuration, notes: Notes, wrong: Collection[str] = ()) -> bool:
    """Add what is wrong between documents, also where others of them were read in parts only.

    Args:
        configuration: what could be read.
        notes: added to.
        wrong: files that have errors: what is not in them may have been left out.

    Returns:
        False: a zone is made of itself, and nothing can be asked of its members.
    """
    _check_owners(configuration, notes)
    is_sound = True
    for tenant in configuration.tenants.values():
        if _has_cycle(tenant, notes):
            is_sound = False
        else:
            _check_sizes(tenant, notes)
        _check_exported(configuration, tenant, notes, wrong)
    return is_sound


def _check_owners(configuration: Configuration, notes: Notes) -> None:
    endpoints = configuration.inventory.endpoints.values()
    are_known = configuration.tenants.keys() >= set(map(attrgetter("tenant"), endpoints))
    for endpoint in () if are_known else endpoints:
        _check_tenant(endpoint.tenant, endpoint.location, configuration, notes)
    for function in configuration.inventory.service_functions.values():
        if function.tenant is not None:
            _check_tenant(function.tenant, function.location, configuration, notes)
    _check_uplinks(configuration, notes)


def _check_tenant(name: TenantName, at: Location, configuration: Configuration, notes: Notes) -> None:
    if name not in configuration.tenants:
        hint = notes.hint(name, configuration.tenants, "tenants")
        notes.error("unknown-tenant", at, f"{name!r} is no tenant; {hint}")


def _check_uplinks(configuration: Configuration, notes: Notes) -> None:
    for host in configuration.inventory.hosts.values():
        for bridge in host.bridges.values():
            for port in bridge.ports.values():
                for owner in (port.vlans or {}).values():
                    _check_tenant(owner, port.location, configuration, notes)


def _has_cycle(tenant: Tenant, notes: Notes) -> bool:
    """Say whether a zone is made of itself, and refuse it."""
    done: set[ZoneName] = set()
    for start in tenant.zones:
        stack = [(start, iter(sorted(set(_named(tenant.zones[start].selector)))))]
        path = {start}
        while stack:
            zone, rest = stack[-1]
            following = next((name for name in rest if name in tenant.zones and name not in done), None)
            if following is None:
                stack.pop()
                path.discard(zone)
                done.add(zone)
            elif following in path:
                at = tenant.zones[start].location
                notes.error("cycle", at, f"zone {following!r} is made of itself; write who is in it")
                return True
            else:
                path.add(following)
                stack.append((following, iter(sorted(set(_named(tenant.zones[following].selector))))))
    return False


def _named(selector: Selector) -> Iterator[ZoneName]:
    """Yield the zones that a selector names, as often as it does."""
    while True:
        yield from selector.zones or ()
        if selector.excluded is None:
            return
        selector = selector.excluded


def _check_sizes(tenant: Tenant, notes: Notes) -> None:
    """Refuse unions of unions that multiply: who is in a zone must be found quickly."""
    known: dict[ZoneName, tuple[int, int]] = {}

    def measure(name: ZoneName, above: int) -> tuple[int, int]:
        """Return of how many parts and levels a zone is made, wherever it was first asked for."""
        if name not in known:
            named = (one for one in _named(tenant.zones[name].selector) if one in tenant.zones)
            inner = [] if above > MOST_LEVELS else [measure(one, above + 1) for one in named]
            parts = 1 + sum(one[0] for one in inner)
            levels = max((1 + one[1] for one in inner), default=0)
            known[name] = parts, levels
            if max(above, levels) > MOST_LEVELS or parts > MOST_PARTS:
                at = tenant.zones[name].location
                message = f"zone {name!r} is made of too many zones, or too deep; write who is in it"
                notes.error("too-deep", at, message)
                known[name] = 1, -MOST_LEVELS - 1  # what is made of it is no error besides
        return known[name]

    for zone in tenant.zones:
        measure(zone, 0)


MOST_LEVELS = 16
"""How deep zones may be made of zones."""

MOST_PARTS = 1000
"""Of how many zones a zone may be made, each counted as often as it is named, with those within it."""


def _check_exported(
    configuration: Configuration, tenant: Tenant, notes: Notes, wrong: Collection[str]
) -> None:
    for one in tenant.imports:
        other = configuration.tenants.get(one.tenant)
        if other is None or other.location.file in wrong:
            continue
        if not any(e.zone == one.zone and tenant.name in e.to for e in other.exports):
            message = f"{one.tenant} does not export {one.zone} to {tenant.name}: "
            what = f"{one.local_name!r} is nobody until it does (`export:`)"
            notes.warning("not-exported", one.location, message + what)


def _check_shadowed(
    place: tuple[str, Tier], crossing: Crossing | None, notes: Notes, shadows: Shadows
) -> None:
    """Warn of rules that an earlier one of the tier always decides first."""
    owner, tier = place
    before, as_before, known, places = shadows.get((owner, tier.name), (None, None, {}, Places()))
    if before is None or crossing != as_before:
        found = shadowed(tier, crossing)
    else:
        found = shadowed_after(tier, before, known, crossing, places)
    shadows[owner, tier.name] = tier, crossing, found, places
    named = places.named(tier.rules) if found else {}
    for number in sorted(chain.from_iterable(named[name] for name in found)):
        rule = tier.rules[number]
        message = f"rule {rule.name!r} is never reached: {found[rule.name]!r} decides all of it before"
        notes.warning("unreachable-rule", rule.location, message)


def _forget_others(configuration: Configuration, shadows: Shadows) -> None:
    """Forget what was found of tiers that are no more."""
    provider = configuration.provider.before + configuration.provider.after
    tenants = configuration.tenants.values()
    if len(shadows) == len(provider) + sum(len(tenant.tiers) for tenant in tenants):
        return
    there = {("provider", tier.name) for tier in provider}
    there |= {(tenant.name, tier.name) for tenant in tenants for tier in tenant.tiers}
    for gone in shadows.keys() - there:
        del shadows[gone]


def empty_zones(configuration: Configuration) -> Iterator[tuple[Tenant, ZoneName]]:
    """Yield zones that ask for labels that no endpoint of the tenant has."""
    keys: defaultdict[TenantName, set[tuple[str, str]]] = defaultdict(set)
    for endpoint in configuration.inventory.endpoints.values():
        if endpoint.labels:
            keys[endpoint.tenant].update(endpoint.labels.items())
    for tenant in configuration.tenants.values():
        there = keys.get(tenant.name, set())
        for name, zone in tenant.zones.items():
            for key, values in (zone.selector.labels or {}).items():
                if not any(k == key and ("*" in values or v in values) for k, v in there):
                    yield tenant, name
                    break


def hostless_zones(configuration: Configuration) -> Iterator[tuple[Tenant, ZoneName]]:
    """Yield zones whose members may run on none of the hosts that there are."""
    hosts = configuration.inventory.hosts.values()
    for tenant in configuration.tenants.values() if hosts else ():
        for name, zone in tenant.zones.items():
            asked = zone.hosts
            if asked is not None and not any(accepts(asked, host) for host in hosts):
                yield tenant, name
