"""Whose an address is in a tenant's view: of those whom it can reach, the one with the longest prefix."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from zonewall.intent.semantics.membership import End, is_in_zone
from zonewall.policy.findings import Location
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Action, Configuration, Peer, Rule, Tenant, Tier
from zonewall.values.addresses import IpAddress, MacAddress
from zonewall.values.names import TenantName, ZoneName

_LINK_LOCAL = 0xFE80 << 112
_UNIVERSAL_BIT = 2 << 56


def holder(configuration: Configuration, view: Tenant, address: IpAddress) -> EndpointDeclaration | None:
    """Return the endpoint that a tenant's address leads to; None: it is outside.

    What several share (a prefix in the ``ranges`` of more than one) is nobody's before one has taken it over.
    """
    found: list[EndpointDeclaration] = []
    longest = -1
    for endpoint in configuration.inventory.endpoints.values():
        length = _length(endpoint, address)
        if length < max(longest, 0) or not can_reach(configuration, view, endpoint):
            continue
        found = [endpoint] if length > longest else [*found, endpoint]
        longest = length
    return found[0] if len(found) == 1 else None


def _length(endpoint: EndpointDeclaration, address: IpAddress) -> int:
    """Return the length of the endpoint's longest prefix that holds an address; -1: none does."""
    if address in endpoint.ips:
        return address.max_prefixlen
    return max((one.prefixlen for one in endpoint.ranges if address in one), default=-1)


def can_reach(configuration: Configuration, view: Tenant, endpoint: EndpointDeclaration) -> bool:
    """Say whether an endpoint is one of a tenant's own, or of those that something could let it reach."""
    if endpoint.tenant == view.name:
        return True
    owner = tenant_named(configuration, endpoint.tenant)
    if any(is_agreed(view, export.zone, owner) for export in view.exports):
        return True
    if any(
        is_agreed(owner, export.zone, view) and _is_shown(owner, export.zone, endpoint)
        for export in owner.exports
    ):
        return True
    provider = configuration.provider
    return any(
        _opens(tier, rule, view, owner, endpoint)
        for tier in provider.before + provider.after
        for rule in tier.rules
    )


def tenant_named(configuration: Configuration, name: TenantName) -> Tenant:
    """Return the tenant's policy; one that has endpoints but no document has no zones and no rules."""
    known = configuration.tenants.get(name)
    return known if known is not None else Tenant(name, Location("", 0, 0), {})


def is_agreed(exporter: Tenant, zone: str, importer: Tenant) -> bool:
    """Say whether one tenant exports the zone to the other, and the other imports it."""
    return any(export.zone == zone and importer.name in export.to for export in exporter.exports) and any(
        one.tenant == exporter.name and one.zone == zone for one in importer.imports
    )


def link_local(mac: MacAddress) -> ipaddress.IPv6Address:
    """Return the address that the MAC gives (RFC 4291, appendix A: modified EUI-64)."""
    identifier = (mac >> 24) << 40 | 0xFFFE << 24 | mac & 0xFFFFFF
    return ipaddress.IPv6Address(_LINK_LOCAL | identifier ^ _UNIVERSAL_BIT)


def _opens(tier: Tier, rule: Rule, view: Tenant, owner: Tenant, endpoint: EndpointDeclaration) -> bool:
    """Say whether a provider's rule allows something between the tenant and the endpoint."""
    if rule.action is not Action.ALLOW:
        return False
    if tier.tenants is not None and not {view.name, owner.name} & set(tier.tenants):
        return False
    return any(
        any(True for _ in _of(near, view)) and any(_names(peer, owner, endpoint) for peer in _of(far, owner))
        for near, far in ((rule.sources, rule.destinations), (rule.destinations, rule.sources))
    )


def _of(peers: tuple[Peer, ...], tenant: Tenant) -> Iterator[Peer]:
    return (peer for peer in peers if peer.tenant in ("*", tenant.name))


def _names(peer: Peer, owner: Tenant, endpoint: EndpointDeclaration) -> bool:
    return peer.kind == "any" or (peer.zone is not None and _is_shown(owner, peer.zone, endpoint))


def _is_shown(owner: Tenant, zone: ZoneName, endpoint: EndpointDeclaration) -> bool:
    """Say whether an endpoint is in a zone of its tenant with any address that it may have."""
    return any(
        is_in_zone(owner, zone, End(owner, endpoint, address))
        for address in (*endpoint.ips, link_local(endpoint.mac))
    )
