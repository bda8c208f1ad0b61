"""Which endpoints a tenant can reach in other tenants; an address or range must lead to one of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from zonewall.policy.findings import Location
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.membership import endpoint_matches
from zonewall.policy.model import Action, Configuration, Peer, Tenant
from zonewall.policy.notes import Notes
from zonewall.values.addresses import IpAddress, IpPrefix, MacAddress, link_local_address
from zonewall.values.names import EndpointKey, TenantName, ZoneName

ByTenant = Mapping[TenantName, list[EndpointDeclaration]]
_Found = IpAddress | IpPrefix | MacAddress


def endpoints_by_tenant(configuration: Configuration) -> ByTenant:
    """Return the endpoints of each tenant."""
    found: defaultdict[TenantName, list[EndpointDeclaration]] = defaultdict(list)
    for endpoint in configuration.inventory.endpoints.values():
        found[endpoint.tenant].append(endpoint)
    return dict(found)


def check_ambiguous(configuration: Configuration, notes: Notes) -> None:
    """Refuse addresses and ranges that one tenant could reach in two ways."""
    by_tenant = endpoints_by_tenant(configuration)
    seen: dict[TenantName, dict[_Found, EndpointDeclaration]] = {}
    told: set[tuple[TenantName, Location]] = set()
    for viewer, endpoint, location in _visible(configuration, by_tenant):
        if viewer not in seen:
            seen[viewer] = {by: one for one in by_tenant.get(viewer, ()) for by in _found_by(one)}
        for by in _found_by(endpoint):
            owner = seen[viewer].setdefault(by, endpoint)
            # What endpoints of one tenant have in their ranges together is with one of them at a time.
            if owner is not endpoint and owner.tenant != endpoint.tenant and (viewer, location) not in told:
                told.add((viewer, location))
                what, other = _shown(by)
                message = f"{what} is {owner.key}'s and {endpoint.key}'s, and {viewer} could reach both"
                notes.error("ambiguous-address", location, f"{message}; give one of them another {other}")


def _shown(by: _Found) -> tuple[str, str]:
    """Return what leads to two endpoints, as it is told, and what one of them needs another of."""
    if isinstance(by, int):
        return str(link_local_address(by)), "MAC"
    if isinstance(by, IpAddress):
        return str(by), "address"
    return f"the range {by}", "range"


def _found_by(endpoint: EndpointDeclaration) -> tuple[_Found, ...]:
    """Return an endpoint's addresses and ranges; its MAC stands for the link-local one of who speaks IPv6."""
    found: tuple[IpAddress | IpPrefix, ...] = endpoint.ips
    if endpoint.ranges:
        found = *found, *map(_plain, endpoint.ranges)
    if endpoint.unaddressed:
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
    """Return endpoints with the tenants that cannot reach them and mean another by their address or range.

    Args:
        configuration: a valid one, so that no address can be reached in two ways.
        linked: ordered pairs of tenants between which something could be allowed.
    """
    by_tenant = endpoints_by_tenant(configuration)
    around: dict[TenantName, list[EndpointDeclaration]] = {}
    for viewer, owner in linked:
        around.setdefault(viewer, []).extend(by_tenant.get(owner, ()))
    doubted: list[tuple[TenantName, EndpointKey]] = []
    for viewer, others in around.items():
        everyone = [*by_tenant.get(viewer, ()), *others]
        count = Counter(by for one in everyone for by in _found_by(one))
        ranges = _ranges_of(everyone)
        doubted += [
            (viewer, one.key)
            for one in others
            if any(count[by] > 1 for by in _found_by(one)) or (ranges and _is_within(one, ranges))
        ]
    if not doubted:
        return {}
    seen = {(viewer, endpoint.key) for viewer, endpoint, _ in _visible(configuration, by_tenant)}
    found: dict[EndpointKey, set[TenantName]] = {}
    for viewer, key in doubted:
        if (viewer, key) not in seen:
            found.setdefault(key, set()).add(viewer)
    return {key: frozenset(viewers) for key, viewers in found.items()}


_Ranges = Mapping[tuple[int, int], Mapping[int, set[TenantName]]]
"""By IP version and length of prefix, and by its bits: whose ranges they are."""


def _ranges_of(endpoints: Iterable[EndpointDeclaration]) -> _Ranges:
    found: dict[tuple[int, int], dict[int, set[TenantName]]] = {}
    for one in endpoints:
        for prefix in one.ranges:
            bits = int(prefix.network_address) >> prefix.max_prefixlen - prefix.prefixlen
            of_length = found.setdefault((prefix.version, prefix.prefixlen), {})
            of_length.setdefault(bits, set()).add(one.tenant)
    return found


def _is_within(endpoint: EndpointDeclaration, ranges: _Ranges) -> bool:
    """Say whether an address or a range of the endpoint would be cut out of another tenant's wider range."""
    mine: list[tuple[IpAddress, int]] = [(ip, ip.max_prefixlen) for ip in endpoint.ips]
    mine += [(prefix.network_address, prefix.prefixlen) for prefix in endpoint.ranges]
    return any(
        owner != endpoint.tenant
        for first, own in mine
        for (version, length), owners in ranges.items()
        if version == first.version and length < own
        for owner in owners.get(int(first) >> first.max_prefixlen - length, ())
    )


def _visible(
    configuration: Configuration, by_tenant: ByTenant
) -> Iterator[tuple[TenantName, EndpointDeclaration, Location]]:
    """Yield whom each tenant can reach in others, and what says so."""
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
            for endpoint in _in_zone(owner, one.zone, by_tenant.get(owner.name, ())):
                yield viewer.name, endpoint, one.location
            for endpoint in by_tenant.get(viewer.name, ()):
                yield owner.name, endpoint, export.location
    provider = configuration.provider
    for tier in provider.before + provider.after:
        for rule in tier.rules:
            if rule.action is not Action.ALLOW:
                continue
            for source, destination in _pairs(tenants, rule.sources, rule.destinations, tier.tenants):
                for endpoint in _named(destination, rule.destinations, by_tenant):
                    yield source.name, endpoint, rule.location
                for endpoint in _named(source, rule.sources, by_tenant):
                    yield destination.name, endpoint, rule.location


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


def _named(tenant: Tenant, peers: tuple[Peer, ...], by_tenant: ByTenant) -> Iterator[EndpointDeclaration]:
    """Yield a tenant's endpoints that a provider's peers name."""
    endpoints = by_tenant.get(tenant.name, ())
    mine = [peer for peer in peers if peer.tenant in ("*", tenant.name)]
    if any(peer.kind == "any" for peer in mine):
        yield from endpoints
        return
    for peer in mine:
        if peer.zone is not None:
            yield from _in_zone(tenant, peer.zone, endpoints)


def _in_zone(
    tenant: Tenant, zone: ZoneName, endpoints: Iterable[EndpointDeclaration]
) -> Iterator[EndpointDeclaration]:
    there = tenant.zones.get(zone)
    if there is None:
        return
    for endpoint in endpoints:
        if any(endpoint_matches(tenant, there.selector, endpoint, ip) for ip in (*endpoint.ips, None)):
            yield endpoint
