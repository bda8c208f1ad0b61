"""Who can be an end of a connection: for each identity, its endpoints by address, or an outside address."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from zonewall.intent.identity import Directory, Identity
from zonewall.policy.model import Configuration
from zonewall.policy.visibility import endpoints_by_tenant, visible
from zonewall.values.addresses import IpAddress, IpPrefix, link_local_address
from zonewall.values.names import EndpointKey, TenantName

_GROUPS = {4: ((0xE0000000, 0xEFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF)), 6: ((0xFF << 120, (1 << 128) - 1),)}
"""Multicast and broadcast, which no rule is asked about (RFC 5771, RFC 919, RFC 4291)."""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody of an identity.

    Attributes:
        tenant: the endpoint's, or the one in whose view the address is outside.
        endpoint: None for an outside address.
        address: the endpoint's own, one of its ranges or its link-local one, or the outside one.
        prefix: what an outside address stands for: this prefix without what longer ones and endpoints have.
    """

    tenant: TenantName
    endpoint: EndpointKey | None
    address: IpAddress
    prefix: IpPrefix | None = None

    @property
    def word(self) -> EndpointKey | IpAddress:
        """Return what a probe calls it."""
        return self.address if self.endpoint is None else self.endpoint


@dataclass(frozen=True)
class Ends:
    """Everybody, by identity; one that nobody can have is missing.

    Attributes:
        members: in the inventory's order; an endpoint once for each of its addresses, the single ones first.
    """

    members: Mapping[Identity, tuple[Member, ...]]

    @staticmethod
    def of(configuration: Configuration, directory: Directory) -> Ends:
        """Return who has which identity."""
        found: dict[Identity, list[Member]] = {}
        for identity, member in _endpoints(configuration, directory):
            found.setdefault(identity, []).append(member)
        taken, ranges = seen_as_endpoints(configuration, directory), ranges_in_view(configuration)
        for tenant, table in directory.outside.items():
            mine = (prefix for prefix, _ in table)
            free = free_addresses(mine, taken.get(tenant, {}), ranges.get(tenant, ()))
            for prefix, identity in table:
                if prefix in free:
                    found.setdefault(identity, []).append(Member(tenant, None, free[prefix], prefix))
        return Ends({identity: tuple(members) for identity, members in found.items()})

    @cached_property
    def of_tenant(self) -> Mapping[TenantName, tuple[Identity, ...]]:
        """Return the identities that can occur in a tenant's view, its endpoints' first, then by name."""
        found: dict[TenantName, list[Identity]] = {}
        for identity in sorted(self.members, key=lambda one: (one.outside, one.name)):
            found.setdefault(identity.tenant, []).append(identity)
        return {tenant: tuple(identities) for tenant, identities in found.items()}

    def families(self, identity: Identity) -> frozenset[int]:
        """Return the IP versions of the identity's addresses."""
        return frozenset(member.address.version for member in self.members.get(identity, ()))

    def pair(self, source: Identity, destination: Identity, version: int) -> tuple[Member, Member] | None:
        """Return two members with addresses of one IP version, not the same one twice if it can be helped."""
        sources = [one for one in self.members.get(source, ()) if one.address.version == version]
        others = [one for one in self.members.get(destination, ()) if one.address.version == version]
        pairs = ((one, other) for one in sources[:2] for other in others[:3])
        return min(pairs, key=lambda pair: _likeness(*pair), default=None)


def _likeness(one: Member, other: Member) -> int:
    if one.endpoint is not None and one.endpoint == other.endpoint:
        return 2
    return int(one.address == other.address)


def _endpoints(configuration: Configuration, directory: Directory) -> Iterable[tuple[Identity, Member]]:
    for key, endpoint in configuration.inventory.endpoints.items():
        identities = directory.endpoints[key]
        for address, identity in identities.by_address:
            yield identity, Member(endpoint.tenant, key, address)
        for prefix in endpoint.ranges:
            own = {int(ip) for ip in endpoint.ips if ip.version == prefix.version}
            span = range(int(prefix.network_address), int(prefix.broadcast_address) + 1)
            number = next((number for number in span if number not in own), None)
            if number is not None:
                address = type(prefix.network_address)(number)
                yield identities.otherwise, Member(endpoint.tenant, key, address)
        link_local = link_local_address(endpoint.mac)
        if link_local not in endpoint.ips:
            yield identities.otherwise, Member(endpoint.tenant, key, link_local)


def seen_as_endpoints(
    configuration: Configuration, directory: Directory
) -> Mapping[TenantName, Mapping[IpAddress, tuple[EndpointKey, Identity]]]:
    """Return who has an address in a tenant's view: its own endpoints first, then whom it can reach."""
    found: dict[TenantName, dict[IpAddress, tuple[EndpointKey, Identity]]] = {
        name: {} for name in configuration.tenants
    }
    for key, identities in directory.endpoints.items():
        own = found.setdefault(configuration.inventory.endpoints[key].tenant, {})
        for address, identity in identities.by_address:
            own.setdefault(address, (key, identity))
    for viewer, endpoint, _ in visible(configuration, endpoints_by_tenant(configuration)):
        for address, identity in directory.endpoints[endpoint.key].by_address:
            found[viewer].setdefault(address, (endpoint.key, identity))
    return found


def ranges_in_view(configuration: Configuration) -> Mapping[TenantName, frozenset[IpPrefix]]:
    """Return the ranges of the endpoints that each tenant can reach, its own among them."""
    found: dict[TenantName, set[IpPrefix]] = {}
    for endpoint in configuration.inventory.endpoints.values():
        if endpoint.ranges:
            found.setdefault(endpoint.tenant, set()).update(endpoint.ranges)
    if found:
        for viewer, endpoint, _ in visible(configuration, endpoints_by_tenant(configuration)):
            found.setdefault(viewer, set()).update(endpoint.ranges)
    return {tenant: frozenset(ranges) for tenant, ranges in found.items()}


def free_addresses(
    prefixes: Iterable[IpPrefix], taken: Iterable[IpAddress], ranges: Iterable[IpPrefix] = ()
) -> Mapping[IpPrefix, IpAddress]:
    """Return an address of each prefix that no longer one covers, nobody has, and that is no group's.

    A prefix that has none is missing. ``ranges``: prefixes that somebody has.
    """
    found: dict[IpPrefix, IpAddress] = {}
    everyone = list(taken)
    mine, theirs = set(prefixes), set(ranges)
    lengths = {one.prefixlen for one in theirs}
    for version in (4, 6):
        spans = sorted(
            ((int(p.network_address), int(p.broadcast_address), p) for p in mine if p.version == version),
            key=lambda span: (span[0], -span[1]),
        )
        holes = sorted(
            [(int(ip), int(ip)) for ip in everyone if ip.version == version]
            + [(int(p.network_address), int(p.broadcast_address)) for p in theirs if p.version == version]
        )
        starts = [first for first, _, _ in spans]
        for place, (first, last, prefix) in enumerate(spans):
            end = bisect.bisect_right(starts, last)
            inner = [(one, other) for one, other, _ in spans[place + 1 : end]]
            if any(prefix.supernet(new_prefix=n) in theirs for n in lengths if n < prefix.prefixlen):
                continue
            own = holes[bisect.bisect_left(holes, (first, 0)) : bisect.bisect_left(holes, (last + 1, 0))]
            number = _first_free(first, last, [*inner, *_GROUPS[version], *own])
            if number is not None:
                found[prefix] = type(prefix.network_address)(number)
    return found


def _first_free(first: int, last: int, covered: list[tuple[int, int]]) -> int | None:
    """Return the lowest number of a span that is in none of the covered ones."""
    at = first
    for begin, end in sorted(covered):
        if begin > at:
            break
        at = max(at, end + 1)
    return at if at <= last else None


def identity_at(
    directory: Directory, tenant: TenantName, endpoint: EndpointKey | None, address: IpAddress
) -> Identity:
    """Return who an endpoint is with an address (None: who the outside address is in the tenant's view)."""
    if endpoint is not None:
        identities = directory.endpoints[endpoint]
        return dict(identities.by_address).get(address, identities.otherwise)
    inside = (
        (prefix, identity)
        for prefix, identity in directory.outside[tenant]
        if prefix.version == address.version and address in prefix
    )
    return max(inside, key=lambda found: found[0].prefixlen)[1]
