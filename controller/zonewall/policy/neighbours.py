"""Whom joined tenants reach by an address: what one learns must not lead anybody to another one's as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Configuration
from zonewall.policy.visibility import Found, Way, endpoints_by_tenant, found_by, ways
from zonewall.values.addresses import IpAddress, IpPrefix
from zonewall.values.names import EndpointKey, TenantName

LearntBy = Callable[[IpAddress], Iterable[EndpointDeclaration]]
"""Returns which endpoints have learnt an address, each with all that it has learnt."""


_Ranges = Mapping[tuple[int, int], Mapping[int, list[EndpointDeclaration]]]
"""By IP version and length of prefix, and by the prefix's bits."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What documents say of tenants that reach one another.

    Attributes:
        endpoints: all that there are.
        ways: by tenant, what lets others reach its endpoints.
        found: by tenant, what leads to its own endpoints and to those of others that it can reach.
        ranges: by tenant, IP version and length of prefix, which of its ranges, and theirs, are whose.
    """

    endpoints: Mapping[EndpointKey, EndpointDeclaration]
    ways: Mapping[TenantName, list[Way]] = field(default_factory=dict)
    found: Mapping[TenantName, Mapping[Found, EndpointDeclaration]] = field(default_factory=dict)
    ranges: Mapping[TenantName, _Ranges] = field(default_factory=dict)

    @staticmethod
    def of(configuration: Configuration) -> Neighbours:
        """Return the neighbours that documents make, in which no address can be reached in two ways."""
        by_owner: dict[TenantName, list[Way]] = {}
        viewers: set[TenantName] = set()
        for way in ways(configuration):
            by_owner.setdefault(way.owner.name, []).append(way)
            viewers.add(way.viewer)
        endpoints = configuration.inventory.endpoints
        if not by_owner:
            return Neighbours(endpoints)
        by_tenant = endpoints_by_tenant(configuration)
        found = {
            viewer: {by: one for one in by_tenant.get(viewer, ()) for by in found_by(one)}
            for viewer in viewers
        }
        for owner, some in by_owner.items():
            for way in some:
                shown = (one for one in by_tenant.get(owner, ()) if way.shows(one))
                found[way.viewer].update({by: one for one in shown for by in found_by(one)})
        ranges = {viewer: _ranges_of(some) for viewer, some in found.items()}
        return Neighbours(endpoints, by_owner, found, ranges)

    def rival(
        self, before: EndpointDeclaration, after: EndpointDeclaration, new: IpAddress, learnt_by: LearntBy
    ) -> EndpointKey | None:
        """Return another tenant's endpoint that somebody who reaches both would reach by the same address.

        Args:
            before: an endpoint with all that it has learnt.
            after: the same with the new address: it may be in other zones by that.
            new: the address.
            learnt_by: what others have learnt.
        """
        known = self._viewers(before)
        for viewer in self._viewers(after):
            for by in (new,) if viewer in known else found_by(after):
                one = self._reached(viewer, by, after.tenant, learnt_by)
                if one is not None:
                    return one.key
        return None

    def _reached(
        self, viewer: TenantName, by: Found, but: TenantName, learnt_by: LearntBy
    ) -> EndpointDeclaration | None:
        """Return whom a tenant reaches by something, unless it is one of a certain tenant."""
        one = self.found.get(viewer, {}).get(by)
        if one is not None and one.tenant != but:
            return one
        if isinstance(by, IpAddress):
            for (version, length), owners in self.ranges.get(viewer, {}).items():
                if version == by.version:
                    for other in owners.get(int(by) >> by.max_prefixlen - length, ()):
                        if other.tenant != but:
                            return other
        for other in learnt_by(by) if isinstance(by, IpAddress) else ():
            if other.tenant != but and viewer in self._viewers(other):
                return other
        return None

    def _viewers(self, endpoint: EndpointDeclaration) -> set[TenantName]:
        """Return who can reach an endpoint; its own tenant always."""
        others = (way.viewer for way in self.ways.get(endpoint.tenant, ()) if way.shows(endpoint))
        return {endpoint.tenant, *others}


def _ranges_of(found: Mapping[Found, EndpointDeclaration]) -> _Ranges:
    """Return the ranges among what leads to endpoints; all addresses of a family are nobody's own."""
    made: dict[tuple[int, int], dict[int, list[EndpointDeclaration]]] = {}
    for by, endpoint in found.items():
        if isinstance(by, IpPrefix) and by.prefixlen:
            bits = int(by.network_address) >> by.max_prefixlen - by.prefixlen
            made.setdefault((by.version, by.prefixlen), {}).setdefault(bits, []).append(endpoint)
    return made
