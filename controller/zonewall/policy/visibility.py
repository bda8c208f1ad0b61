"""Which endpoints a tenant can reach in other tenants; an address or range must lead to one of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from zonewall.policy.findings import Location
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.membership import endpoint_matches
from zonewall.policy.model import Action, Configuration, Peer, Tenant
from zonewall.policy.notes import Notes
from zonewall.values.addresses import IpAddress, IpPrefix, MacAddress, link_local_address
from zonewall.values.names import EndpointKey, TenantName, ZoneName

ByTenant = Mapping[TenantName, list[EndpointDeclaration]]
Found = IpAddress | IpPrefix | MacAddress
"""What leads to an endpoint; a MAC stands for the link-local address that is made of it."""


@dataclass(frozen=True, slots=True)
class Way:
    """What lets a tenant reach another one's endpoints: those of a zone, or all of them (None)."""

    viewer: TenantName
    owner: Tenant
    zone: ZoneName | None
    location: Location

    def shows(self, endpoint: EndpointDeclaration) -> bool:
        """Say whether the endpoint, one of the owner's, can be reached."""
        if self.zone is None:
            return True
        there = self.owner.zones.get(self.zone)
        return there is not None and any(
            endpoint_matches(self.owner, there.selector, endpoint, ip) for ip in (*endpoint.ips, None)
        )


def endpoints_by_tenant(configuration: Configuration) -> ByTenant:
    """Return the endpoints of each tenant."""
    found: defaultdict[TenantName, list[EndpointDeclaration]] = defaultdict(list)
    for endpoint in configuration.inventory.endpoints.values():
        found[endpoint.tenant].append(endpoint)
    return dict(found)


def check_ambiguous(configuration: Configuration, notes: Notes) -> None:
    """Refuse addresses and ranges that one tenant could reach in two ways."""
    by_tenant = endpoints_by_tenant(configuration)
    seen: dict[TenantName, dict[Found, EndpointDeclaration]] = {}
    told: set[tuple[TenantName, Location]] = set()
    for viewer, endpoint, location in visible(configuration, by_tenant):
        if viewer not in seen:
            seen[viewer] = {by: one for one in by_tenant.get(viewer, ()) for by in found_by(one)}
        for by in found_by(endpoint):
            owner = seen[viewer].setdefault(by, endpoint)
            # What endpoints of one tenant have in their ranges together is with one of them at a time.
            if owner is not endpoint and owner.tenant != endpoint.tenant and (viewer, location) not in told:
                told.add((viewer, location))
                what, other = _shown(by)
                message = f"{what} is {owner.key}'s and {endpoint.key}'s, and {viewer} could reach both"
                notes.error("ambiguous-address", location, f"{message}; give one of them another {other}")


def _shown(by: Found) -> tuple[str, str]:
    """Return what leads to two endpoints, as it is told, and what one of them needs another of."""
    if isinstance(by, int):
        return str(link_local_address(by)), "MAC"
    if isinstance(by, IpAddress):
        return str(by), "address"
    return f"the range {by}", "range"


def found_by(endpoint: EndpointDeclaration) -> tuple[Found, ...]:
    """Return an endpoint's addresses and ranges; its MAC stands for the link-local one of who speaks IPv6."""
    found: tuple[IpAddress | IpPrefix, ...] = endpoint.ips
    if endpoint.ranges:
        found = *found, *map(_plain, endpoint.ranges)
    if endpoint.unaddressed or not endpoint.ips:
        return *found, endpoint.mac
    for one in found:
        if one.version == 6:
            return *found, endpoint.mac
    return found


def _plain(prefix: IpPrefix) -> IpAddress | IpPrefix:
    """Return the address that a range of one is: another endpoint may have it as its own."""
    return prefix.network_address if prefix.prefixlen == prefix.max_prefixlen else prefix


def hidden_from(
    configuration: Configuration, linked: Iterable[tuple[TenantName, TenantName]]
) -> dict[EndpointKey, frozenset[TenantName]]:
    """Return endpoints with the joined tenants that cannot reach them, and so do not see them at all.

    Args:
        configuration: a valid one, so that no address can be reached in two ways.
        linked: ordered pairs of tenants between which something could be allowed.
    """
    by_tenant = endpoints_by_tenant(configuration)
    reached: defaultdict[tuple[TenantName, TenantName], list[Way]] = defaultdict(list)
    pairs = list(linked)
    for way in ways(configuration) if pairs else ():
        reached[way.viewer, way.owner.name].append(way)
    found: defaultdict[EndpointKey, set[TenantName]] = defaultdict(set)
    for viewer, owner in pairs:
        there = reached[viewer, owner]
        if any(way.zone is None for way in there):
            continue
        for endpoint in by_tenant.get(owner, ()):
            if not any(way.shows(endpoint) for way in there):
                found[endpoint.key].add(viewer)
    return {key: frozenset(viewers) for key, viewers in found.items()}


def visible(
    configuration: Configuration, by_tenant: ByTenant
) -> Iterator[tuple[TenantName, EndpointDeclaration, Location]]:
    """Yield whom each tenant can reach in others, and what says so."""
    for way in ways(configuration):
        for endpoint in by_tenant.get(way.owner.name, ()):
            if way.shows(endpoint):
                yield way.viewer, endpoint, way.location


def ways(configuration: Configuration) -> Iterator[Way]:
    """Yield what lets tenants reach others' endpoints: agreements, then the provider's rules."""
    tenants = configuration.tenants
    for viewer in tenants.values():
        for one in viewer.imports:
            owner = tenants.get(one.tenant)
            export = next(
                (e for e in owner.exports if e.zone == one.zone and viewer.name in e.to)
                if owner
                else iter(()),
                None,
            )
            if owner is None or export is None:
                continue
            yield Way(viewer.name, owner, one.zone, one.location)
            yield Way(owner.name, viewer, None, export.location)
    provider = configuration.provider
    for tier in provider.before + provider.after:
        for rule in tier.rules:
            if rule.action is not Action.ALLOW:
                continue
            for source, destination in _pairs(tenants, rule.sources, rule.destinations, tier.tenants):
                for zone in _named(destination, rule.destinations):
                    yield Way(source.name, destination, zone, rule.location)
                for zone in _named(source, rule.sources):
                    yield Way(destination.name, source, zone, rule.location)


def _pairs(
    tenants: Mapping[TenantName, Tenant],
    sources: tuple[Peer, ...],
    destinations: tuple[Peer, ...],
    named: tuple[TenantName, ...] | None,
) -> Iterator[tuple[Tenant, Tenant]]:
    for source in _owners(tenants, sources):
        for destination in _owners(tenants, destinations):
            stands = named is None or source.name in named or destination.name in named
            if source is not destination and stands:
                yield source, destination


def _owners(tenants: Mapping[TenantName, Tenant], peers: tuple[Peer, ...]) -> list[Tenant]:
    words = {peer.tenant for peer in peers if peer.tenant is not None}
    return [tenant for name, tenant in tenants.items() if "*" in words or name in words]


def _named(tenant: Tenant, peers: tuple[Peer, ...]) -> tuple[ZoneName | None, ...]:
    """Return the tenant's zones that a provider's peers name; None: all of its endpoints."""
    mine = [peer for peer in peers if peer.tenant in ("*", tenant.name)]
    if any(peer.kind == "any" for peer in mine):
        return (None,)
    return tuple(peer.zone for peer in mine if peer.zone is not None)
