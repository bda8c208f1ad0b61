"""Who is in a zone: selectors applied to endpoints, their addresses, and outside prefixes."""

from __future__ import annotations

from collections.abc import Mapping

from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import ANY_VALUE, Selector, Tenant
from zonewall.values.addresses import IpAddress, IpPrefix
from zonewall.values.names import ZoneName


def endpoint_matches(
    tenant: Tenant, selector: Selector, endpoint: EndpointDeclaration, address: IpAddress | None
) -> bool:
    """Say whether an endpoint, speaking with one of its addresses, is selected.

    ``address`` None stands for every address that does not decide membership: link-local ones and ranges.
    """
    if selector.outside:
        return False
    if selector.labels is not None and not labels_match(selector.labels, endpoint.labels or {}):
        return False
    if selector.endpoints is not None and endpoint.name not in selector.endpoints:
        return False
    if selector.macs is not None and endpoint.mac not in selector.macs:
        return False
    if selector.cidrs is not None and not _contains(selector.cidrs, address):
        return False
    if selector.zones is not None and not any(
        endpoint_matches(tenant, tenant.zones[zone].selector, endpoint, address)
        for zone in selector.zones
        if zone in tenant.zones
    ):
        return False
    return selector.excluded is None or not endpoint_matches(tenant, selector.excluded, endpoint, address)


def is_member(tenant: Tenant, selector: Selector, endpoint: EndpointDeclaration) -> bool:
    """Say whether an endpoint, speaking with any address that it may speak with, is selected."""
    if endpoint.tenant != tenant.name:
        return False
    has_others = not endpoint.ips or bool(endpoint.ranges) or any(ip.version == 6 for ip in endpoint.ips)
    others = (None,) if has_others else ()
    return any(endpoint_matches(tenant, selector, endpoint, one) for one in (*endpoint.ips, *others))


def outside_matches(tenant: Tenant, selector: Selector, prefix: IpPrefix, foreign: bool = False) -> bool:
    """Say whether the outside addresses of a prefix are selected; the prefix must not straddle a boundary.

    ``foreign`` asks about another tenant's endpoint that has the address, which no ``outside`` selects.
    """
    if foreign and selector.outside:
        return False
    if selector.labels is not None or selector.endpoints is not None or selector.macs is not None:
        return False
    if selector.cidrs is None and selector.zones is None:
        return False
    if selector.cidrs is not None and not any(_covers(cidr, prefix) for cidr in selector.cidrs):
        return False
    if selector.zones is not None and not any(
        outside_matches(tenant, tenant.zones[zone].selector, prefix, foreign)
        for zone in selector.zones
        if zone in tenant.zones
    ):
        return False
    return selector.excluded is None or not outside_matches(tenant, selector.excluded, prefix, foreign)


def asks_addresses(tenant: Tenant, selector: Selector) -> bool:
    """Say whether membership can depend on the address (so that it must be asked for each)."""
    return (
        selector.cidrs is not None
        or (selector.excluded is not None and asks_addresses(tenant, selector.excluded))
        or any(
            asks_addresses(tenant, tenant.zones[zone].selector)
            for zone in selector.zones or ()
            if zone in tenant.zones
        )
    )


def named_prefixes(tenant: Tenant) -> frozenset[IpPrefix]:
    """Return every prefix that a selector of the tenant names, also in ``except``."""
    found: set[IpPrefix] = set()
    pending: list[Selector] = [zone.selector for zone in tenant.zones.values()]
    while pending:
        selector = pending.pop()
        found.update(selector.cidrs or ())
        if selector.excluded is not None:
            pending.append(selector.excluded)
    return frozenset(found)


def labels_match(wanted: Mapping[str, tuple[str, ...]], labels: Mapping[str, str]) -> bool:
    """Say whether every wanted key is there with one of its alternatives."""
    return all(
        key in labels and (ANY_VALUE in alternatives or labels[key] in alternatives)
        for key, alternatives in wanted.items()
    )


def zones_of_endpoint(
    tenant: Tenant, endpoint: EndpointDeclaration, address: IpAddress | None
) -> frozenset[ZoneName]:
    """Return the tenant's zones that the endpoint is in with this address."""
    return frozenset(
        name
        for name, zone in tenant.zones.items()
        if endpoint_matches(tenant, zone.selector, endpoint, address)
    )


def _contains(cidrs: tuple[IpPrefix, ...], address: IpAddress | None) -> bool:
    return address is not None and any(address.version == c.version and address in c for c in cidrs)


def _covers(cidr: IpPrefix, prefix: IpPrefix) -> bool:
    return cidr.version == prefix.version and prefix.subnet_of(cidr)  # type: ignore[arg-type]
