"""Who is in a zone."""

from __future__ import annotations

from dataclasses import dataclass

from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import ANY_VALUE, Selector, Tenant
from zonewall.values.addresses import IpAddress
from zonewall.values.names import ZoneName


@dataclass(frozen=True, slots=True)
class End:
    """One end of a connection.

    Attributes:
        tenant: the endpoint's owner; for an outside address, the tenant in whose view it is read.
        endpoint: None for an outside address.
        address: the address that it has in this connection.
    """

    tenant: Tenant
    endpoint: EndpointDeclaration | None
    address: IpAddress

    @property
    def is_outside(self) -> bool:
        """Say whether no endpoint has the address."""
        return self.endpoint is None


def is_in_zone(tenant: Tenant, zone: ZoneName, end: End) -> bool:
    """Say whether the end is in the tenant's zone of that name; a zone that is not there has nobody in it."""
    return zone in tenant.zones and _selects(tenant, tenant.zones[zone].selector, end)


def _selects(tenant: Tenant, selector: Selector, end: End) -> bool:
    """Say whether all that the selector asks holds for the end."""
    own = end.endpoint if end.endpoint is not None and end.endpoint.tenant == tenant.name else None
    if own is None and selector.cidrs is None and selector.zones is None:
        return False
    if selector.labels is not None and (own is None or not _has_labels(own, selector)):
        return False
    if selector.endpoints is not None and (own is None or own.name not in selector.endpoints):
        return False
    if selector.macs is not None and (own is None or own.mac not in selector.macs):
        return False
    if selector.outside and not end.is_outside:
        return False
    if selector.cidrs is not None and not _has_address_in(selector, end):
        return False
    if selector.zones is not None and not any(is_in_zone(tenant, zone, end) for zone in selector.zones):
        return False
    return selector.excluded is None or not _selects(tenant, selector.excluded, end)


def _has_labels(endpoint: EndpointDeclaration, selector: Selector) -> bool:
    labels = endpoint.labels or {}
    return all(
        key in labels and (ANY_VALUE in alternatives or labels[key] in alternatives)
        for key, alternatives in (selector.labels or {}).items()
    )


def _has_address_in(selector: Selector, end: End) -> bool:
    """Say whether the end's address counts and is in a prefix; an address out of a range does not count."""
    if end.endpoint is not None and end.address not in end.endpoint.ips:
        return False
    return any(
        end.address.version == prefix.version and end.address in prefix for prefix in selector.cidrs or ()
    )
