"""A configuration with the measures of responses in it: copies of an endpoint's traffic, a limit on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from zonewall.policy.model import Configuration, MirrorRule, Peer, Selector, Zone
from zonewall.values.limits import Limit
from zonewall.values.names import EndpointKey, ZoneName


@dataclass(frozen=True, slots=True)
class Measure:
    """What a response adds for one endpoint: copies to targets, or a limit."""

    rule: str
    endpoint: EndpointKey
    targets: tuple[str, ...] = ()
    limit: Limit | None = None


def amended(configuration: Configuration, measures: Iterable[Measure]) -> Configuration:
    """Return the configuration with the measures; those for endpoints that it does not have are left out."""
    tenants = dict(configuration.tenants)
    endpoints = dict(configuration.inventory.endpoints)
    for measure in sorted(measures, key=lambda one: (one.rule, one.endpoint)):
        declared = endpoints.get(measure.endpoint)
        if declared is None or declared.tenant not in tenants:
            continue
        if measure.limit is not None:
            endpoints[measure.endpoint] = replace(declared, limit=measure.limit)
        if measure.targets:
            tenant = tenants[declared.tenant]
            zone = ZoneName(f"respond:{declared.name}")
            at = declared.location
            zones = {**tenant.zones, zone: Zone(zone, Selector(endpoints=(declared.name,)), at)}
            one, anybody = (Peer("zone", zone),), (Peer("any"),)
            copies = tuple(
                MirrorRule(f"respond:{measure.rule}:{zone}:{side}", *ends, (), measure.targets, "before", at)
                for side, ends in (("from", (one, anybody)), ("to", (anybody, one)))
            )
            tenants[tenant.name] = replace(tenant, zones=zones, mirrors=tenant.mirrors + copies)
    if endpoints == dict(configuration.inventory.endpoints) and tenants == dict(configuration.tenants):
        return configuration
    return replace(
        configuration, inventory=replace(configuration.inventory, endpoints=endpoints), tenants=tenants
    )
