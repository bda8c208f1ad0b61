"""Identities: distinct sets of zones. Policy flows match them, so no flow is for a pair of addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.membership import (
    asks_addresses,
    endpoint_matches,
    named_prefixes,
    outside_matches,
    zones_of_endpoint,
)
from zonewall.policy.model import Configuration, Tenant
from zonewall.values.addresses import IpAddress, IpPrefix, host_prefix
from zonewall.values.names import EndpointKey, TenantName, ZoneName

ZoneKey = tuple[TenantName, ZoneName]
EVERYWHERE = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))


@dataclass(frozen=True)
class Identity:
    """A distinct set of zones as one tenant sees it.

    Attributes:
        zones: the zones it is in; those of other tenants are the ones that may see it by an agreement.
        outside: it is of addresses that are no endpoint's.
    """

    tenant: TenantName
    zones: frozenset[ZoneKey]
    outside: bool = False

    @cached_property
    def name(self) -> str:
        """Return ``tenant{zone,zone}``, with ``!`` for outside ones; unique."""
        words = sorted(zone if owner == self.tenant else f"{owner}/{zone}" for owner, zone in self.zones)
        return f"{self.tenant}{'!' if self.outside else ''}{{{','.join(words)}}}"


def parts_of(name: str) -> tuple[TenantName, list[str], bool]:
    """Return the tenant and the zones that an identity's name says, and whether it is an outside one."""
    head, _, words = name.removesuffix("}").partition("{")
    return TenantName(head.removesuffix("!")), words.split(",") if words else [], head.endswith("!")


@dataclass(frozen=True, slots=True)
class EndpointIdentities:
    """One endpoint's identities: by single address, and the one for all else it may send from."""

    by_address: tuple[tuple[IpAddress, Identity], ...]
    otherwise: Identity

    @property
    def all(self) -> frozenset[Identity]:
        """Return every identity the endpoint can have."""
        return frozenset([self.otherwise, *(identity for _, identity in self.by_address)])


@dataclass(frozen=True)
class Directory:
    """All identities of a configuration.

    Attributes:
        endpoints: identities of each endpoint.
        outside: for each tenant, longest-prefix table of outside addresses; always has both ``/0``.
    """

    endpoints: Mapping[EndpointKey, EndpointIdentities]
    outside: Mapping[TenantName, tuple[tuple[IpPrefix, Identity], ...]]

    @cached_property
    def by_zone(self) -> Mapping[ZoneKey, frozenset[Identity]]:
        """Return which identities are in a zone; a zone with nobody in it is missing."""
        found: dict[ZoneKey, set[Identity]] = {}
        for identity in self.all:
            for zone in identity.zones:
                found.setdefault(zone, set()).add(identity)
        return {zone: frozenset(identities) for zone, identities in found.items()}

    @cached_property
    def all(self) -> tuple[Identity, ...]:
        """Return every identity once, sorted by name."""
        # Most endpoints share theirs with others: first by object, which costs less than by value.
        each = {id(i): i for of in self.endpoints.values() for _, i in of.by_address}
        each.update((id(of.otherwise), of.otherwise) for of in self.endpoints.values())
        found = set(each.values())
        found.update(identity for table in self.outside.values() for _, identity in table)
        return tuple(sorted(found, key=lambda identity: identity.name))


def build_directory(
    configuration: Configuration, before: tuple[Configuration, Directory] | None = None
) -> Directory:
    """Return the identities of every endpoint and outside prefix; a function of the configuration alone.

    ``before``: a configuration with the same tenants, zones, exports and imports, and its directory; of it is
    taken what has not changed, all of it where no endpoint has.
    """
    if before is not None and before[0].inventory.endpoints is configuration.inventory.endpoints:
        return before[1]
    resolvers = {
        name: _TenantResolver(configuration, tenant) for name, tenant in configuration.tenants.items()
    }
    known: Mapping[EndpointKey, EndpointDeclaration] = before[0].inventory.endpoints if before else {}
    endpoints: dict[EndpointKey, EndpointIdentities] = {}
    is_same = before is not None and known.keys() == configuration.inventory.endpoints.keys()
    for key, endpoint in configuration.inventory.endpoints.items():
        last = known.get(key)
        resolver = resolvers.get(endpoint.tenant)
        if before is not None and last is not None and (last is endpoint or last == endpoint):
            endpoints[key] = before[1].endpoints[key]
        elif resolver is None:
            nobody = Identity(endpoint.tenant, frozenset())
            endpoints[key] = EndpointIdentities(tuple((ip, nobody) for ip in endpoint.ips), nobody)
        else:
            endpoints[key] = resolver.endpoint(endpoint)
        is_same = is_same and (last is endpoint or last == endpoint)
    if before is not None:
        return before[1] if is_same else Directory(endpoints, before[1].outside)
    return Directory(
        endpoints, {name: outside_table(tenant) for name, tenant in configuration.tenants.items()}
    )


def outside_table(tenant: Tenant) -> tuple[tuple[IpPrefix, Identity], ...]:
    """Return the tenant's outside prefixes, each with the zones of what no longer prefix covers."""
    named: set[IpPrefix] = {*named_prefixes(tenant), *EVERYWHERE}
    prefixes = sorted(named, key=lambda p: (p.version, int(p.network_address), p.prefixlen))
    return tuple(
        (
            prefix,
            Identity(
                tenant.name,
                frozenset(
                    (tenant.name, name)
                    for name, zone in tenant.zones.items()
                    if outside_matches(tenant, zone.selector, prefix)
                ),
                outside=True,
            ),
        )
        for prefix in prefixes
    )


class _TenantResolver:
    """Zones of one tenant's endpoints; zones that ask for labels alone are remembered by labels.

    Endpoints in the same zones have the same identity, the same object.
    """

    def __init__(self, configuration: Configuration, tenant: Tenant) -> None:
        self._tenant = tenant
        self._by_labels: dict[tuple[tuple[str, str], ...], frozenset[ZoneName]] = {}
        self._by_zones: dict[frozenset[ZoneKey], Identity] = {}
        label_only = {name: zone for name, zone in tenant.zones.items() if _labels_alone(tenant, name)}
        self._labels_only = Tenant(tenant.name, tenant.location, label_only)
        self._others = [zone for name, zone in tenant.zones.items() if name not in label_only]
        self._addressed = any(asks_addresses(tenant, zone.selector) for zone in self._others)
        self._partners = _partners(configuration, tenant)

    def endpoint(self, endpoint: EndpointDeclaration) -> EndpointIdentities:
        base = self._by_label_zones(endpoint)
        otherwise = self._identity(endpoint, base, None)
        if not self._addressed and not self._partners:
            return EndpointIdentities(tuple((ip, otherwise) for ip in endpoint.ips), otherwise)
        by_address = tuple((ip, self._identity(endpoint, base, ip)) for ip in endpoint.ips)
        return EndpointIdentities(by_address, otherwise)

    def _by_label_zones(self, endpoint: EndpointDeclaration) -> frozenset[ZoneName]:
        labels = tuple(sorted((endpoint.labels or {}).items()))
        zones = self._by_labels.get(labels)
        if zones is None:
            zones = self._by_labels[labels] = zones_of_endpoint(self._labels_only, endpoint, None)
        return zones

    def _identity(
        self, endpoint: EndpointDeclaration, base: frozenset[ZoneName], address: IpAddress | None
    ) -> Identity:
        if not self._others and (address is None or not self._partners):
            return self._known(frozenset([(self._tenant.name, zone) for zone in base]))
        own = base | {
            zone.name
            for zone in self._others
            if endpoint_matches(self._tenant, zone.selector, endpoint, address)
        }
        zones: set[ZoneKey] = {(self._tenant.name, zone) for zone in own}
        if address is not None:
            for partner in self._partners:
                zones.update(
                    (partner.name, name)
                    for name, zone in partner.zones.items()
                    if outside_matches(partner, zone.selector, host_prefix(address), foreign=True)
                )
        return self._known(frozenset(zones))

    def _known(self, zones: frozenset[ZoneKey]) -> Identity:
        identity = self._by_zones.get(zones)
        if identity is None:
            identity = self._by_zones[zones] = Identity(self._tenant.name, zones)
        return identity


def _labels_alone(tenant: Tenant, name: ZoneName) -> bool:
    selector = tenant.zones[name].selector
    return (
        selector.labels is not None
        and selector.endpoints is None
        and selector.macs is None
        and selector.cidrs is None
        and selector.zones is None
        and not selector.outside
        and selector.excluded is None
    )


def _partners(configuration: Configuration, tenant: Tenant) -> list[Tenant]:
    """Return the tenants that agreed with this one about a zone, in either direction.

    Either end's agreement lets both tenants' rules see the connection, and with it this tenant's end.
    """
    named = {one.tenant for one in tenant.imports} | {name for export in tenant.exports for name in export.to}
    # Who is named by neither side's documents has no agreement with the other.
    others = (other for other in configuration.tenants.values() if other.name in named - {tenant.name})
    return [other for other in others if _exports_to(tenant, other) or _exports_to(other, tenant)]


def _exports_to(exporter: Tenant, importer: Tenant) -> bool:
    wanted = {one.zone for one in importer.imports if one.tenant == exporter.name}
    return any(export.zone in wanted and importer.name in export.to for export in exporter.exports)
