"""Who is who in two configurations: everybody that both know, with the identity before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from zonewall.intent.ends import Member, free_addresses, identity_at, ranges_in_view, seen_as_endpoints
from zonewall.intent.identity import Identity
from zonewall.intent.regions import Regions
from zonewall.values.addresses import IpAddress, IpPrefix, host_prefix, link_local_address
from zonewall.values.names import EndpointKey, TenantName

Seen = Mapping[TenantName, Mapping[IpAddress, tuple[EndpointKey, Identity]]]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is the same for all that changed alike.

    Attributes:
        before: None where there was no such endpoint (between tenants, where no address is seen instead).
        version: of the addresses, 4 or 6.
        lasting: an endpoint that had and has the address.
    """

    before: Identity | None
    after: Identity | None
    version: int
    lasting: bool = False

    @property
    def unchanged(self) -> bool:
        """Say whether the identity stayed."""
        return self.before == self.after


Standings = dict[Standing, list[Member]]


class Pairing:
    """Two configurations' regions, side by side."""

    def __init__(self, old: Regions, new: Regions) -> None:
        """Find who has which address in each."""
        self.old, self.new = old, new
        self._seen = tuple(seen_as_endpoints(one.configuration, one.directory) for one in (old, new))
        self._ranges = tuple(ranges_in_view(one.configuration) for one in (old, new))

    @property
    def tenants(self) -> list[TenantName]:
        """Return the tenants that both configurations know."""
        return [name for name in self.old.configuration.tenants if name in self.new.configuration.tenants]

    def in_view(self, tenant: TenantName) -> Standings:
        """Return everybody in a tenant's view, by address: its endpoints, whom it can reach, the outside."""
        found: Standings = {}
        for standing, member in (*self._addresses(tenant), *self._outside(tenant), *self._other(tenant)):
            found.setdefault(standing, []).append(member)
        return found

    def by_name(self, tenant: TenantName) -> Standings:
        """Return a tenant's endpoints as others see them, by address; new and gone ones too."""
        found: Standings = {}
        both: dict[tuple[EndpointKey, IpAddress], list[Identity | None]] = {}
        for place, regions in enumerate((self.old, self.new)):
            for key, endpoint in regions.configuration.inventory.endpoints.items():
                if endpoint.tenant == tenant:
                    for address, identity in regions.directory.endpoints[key].by_address:
                        both.setdefault((key, address), [None, None])[place] = identity
        for (key, address), (before, after) in both.items():
            lasting = before is not None and after is not None
            standing = Standing(before, after, address.version, lasting)
            found.setdefault(standing, []).append(Member(tenant, key, address))
        for standing, member in self._other(tenant):
            found.setdefault(standing, []).append(member)
        return found

    def _addresses(self, tenant: TenantName) -> Iterator[tuple[Standing, Member]]:
        before, after = (seen[tenant] for seen in self._seen)
        for address in {**before, **after}:
            one, other = before.get(address), after.get(address)
            lasting = one is not None and other is not None and one[0] == other[0]
            identities = (
                one[1] if one else identity_at(self.old.directory, tenant, None, address),
                other[1] if other else identity_at(self.new.directory, tenant, None, address),
            )
            key = (other or one or ("", None))[0]
            member = Member(tenant, EndpointKey(key), address)
            if any(identity.tenant != tenant for identity in identities):
                member = Member(identities[0].tenant, member.endpoint, address)
                if not lasting:
                    member = Member(tenant, None, address, host_prefix(address))
            yield Standing(*identities, address.version, lasting), member

    def _outside(self, tenant: TenantName) -> Iterator[tuple[Standing, Member]]:
        before, after = (dict(regions.directory.outside[tenant]) for regions in (self.old, self.new))
        prefixes = list({**before, **after})
        taken = {*self._seen[0][tenant], *self._seen[1][tenant]}
        ranges = frozenset[IpPrefix]().union(*(some.get(tenant, ()) for some in self._ranges))
        for prefix, address in free_addresses(prefixes, taken, ranges).items():
            standing = Standing(_longest(before, prefix), _longest(after, prefix), prefix.version)
            yield standing, Member(tenant, None, address, prefix)

    def _other(self, tenant: TenantName) -> Iterator[tuple[Standing, Member]]:
        """Yield endpoints with what never puts them into a zone by address: ranges, the link-local one."""
        new = self.new.configuration.inventory.endpoints
        for key, endpoint in self.old.configuration.inventory.endpoints.items():
            if endpoint.tenant != tenant or key not in new:
                continue
            own = {*endpoint.ips, *new[key].ips}
            identities = (
                self.old.directory.endpoints[key].otherwise,
                self.new.directory.endpoints[key].otherwise,
            )
            link_local = link_local_address(endpoint.mac)
            if new[key].mac == endpoint.mac and link_local not in own:
                yield Standing(*identities, 6, True), Member(tenant, key, link_local)
            ranges = [prefix for prefix in endpoint.ranges if prefix in new[key].ranges]
            for prefix, address in free_addresses(ranges, own).items():
                yield Standing(*identities, prefix.version, True), Member(tenant, key, address)


def _longest(table: dict[IpPrefix, Identity], prefix: IpPrefix) -> Identity:
    """Return the identity of the longest prefix of a table that covers another."""
    while prefix not in table:
        prefix = prefix.supernet()
    return table[prefix]
