"""Whom joined tenants reach by an address: what one learns must not lead anybody to another one's as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Configuration
from zonewall.policy.visibility import Found, Way, endpoints_by_tenant, found_by, ways
from zonewall.values.addresses import IpAddress
from zonewall.values.names import EndpointKey, TenantName

LearntBy = Callable[[IpAddress], Iterable[EndpointDeclaration]]
"""Returns which endpoints have learnt an address, each with all that it has learnt."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What documents say of tenants that reach one another.

    Attributes:
        endpoints: all that there are.
        ways: by tenant, what lets others reach its endpoints.
        found: by tenant, what leads to its own endpoints and to those of others that it can reach.
    """

    endpoints: Mapping[EndpointKey, EndpointDeclaration]
    ways: Mapping[TenantName, list[Way]] = field(default_factory=dict)
    found: Mapping[TenantName, Mapping[Found, EndpointDeclaration]] = field(default_factory=dict)

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
        return Neighbours(endpoints, by_owner, found)

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
        for other in learnt_by(by) if isinstance(by, IpAddress) else ():
            if other.tenant != but and viewer in self._viewers(other):
                return other
        return None

    def _viewers(self, endpoint: EndpointDeclaration) -> set[TenantName]:
        """Return who can reach an endpoint; its own tenant always."""
        others = (way.viewer for way in self.ways.get(endpoint.tenant, ()) if way.shows(endpoint))
        return {endpoint.tenant, *others}
