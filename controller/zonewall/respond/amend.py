"""A configuration with the measures of responses in it: copies of an endpoint's traffic, a limit on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from zonewall.policy.findings import Location
from zonewall.policy.model import Configuration, MirrorRule, Peer, Selector, Tenant, Zone
from zonewall.values.limits import Limit
from zonewall.values.names import EndpointKey, TenantName, ZoneName


@dataclass(frozen=True, slots=True)
class Measure:
    """What a response adds for one endpoint: copies to targets, or a limit."""

    rule: str
    endpoint: EndpointKey
    targets: tuple[str, ...] = ()
    limit: Limit | None = None


def amended(configuration: Configuration, measures: Iterable[Measure]) -> Configuration:
    """Return the configuration with the measures; those for endpoints that it does not have are left out.

    Of a tenant's endpoints all that are copied to the same targets are one zone, however many they are: every
    packet on a bridge is held against each mirror rule.
    """
    endpoints = dict(configuration.inventory.endpoints)
    copied: dict[tuple[TenantName, tuple[str, ...]], dict[str, Location]] = {}
    for measure in sorted(measures, key=lambda one: (one.rule, one.endpoint)):
        declared = endpoints.get(measure.endpoint)
        if declared is None or declared.tenant not in configuration.tenants:
            continue
        if measure.limit is not None:
            endpoints[measure.endpoint] = replace(declared, limit=measure.limit)
        if measure.targets:
            targets = tuple(sorted(set(measure.targets)))
            copied.setdefault((declared.tenant, targets), {})[declared.name] = declared.location
    if endpoints == dict(configuration.inventory.endpoints) and not copied:
        return configuration
    tenants = dict(configuration.tenants)
    for (name, targets), among in sorted(copied.items()):
        tenants[name] = _copying(tenants[name], targets, among)
    return replace(
        configuration, inventory=replace(configuration.inventory, endpoints=endpoints), tenants=tenants
    )


def _copying(tenant: Tenant, targets: tuple[str, ...], among: Mapping[str, Location]) -> Tenant:
    """Return the tenant with copies of all that these endpoints send and get."""
    zone = ZoneName(f"respond:{'+'.join(targets)}")
    at = min(among.values())
    ends, anybody = (Peer("zone", zone),), (Peer("any"),)
    copies = tuple(
        MirrorRule(f"{zone}:{side}", *sides, (), targets, "before", at)
        for side, sides in (("from", (ends, anybody)), ("to", (anybody, ends)))
    )
    zones = {**tenant.zones, zone: Zone(zone, Selector(endpoints=tuple(sorted(among))), at)}
    return replace(tenant, zones=zones, mirrors=tenant.mirrors + copies)
