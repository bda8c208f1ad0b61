"""May this endpoint run on that host? What its zones ask of hosts (policy.md, ``hosts``)."""

from __future__ import annotations

from zonewall.policy.host_constraints import accepts, has_labels
from zonewall.policy.inventory import EndpointDeclaration, HostDeclaration
from zonewall.policy.model import Configuration, HostConstraint, Selector, Tenant
from zonewall.values.names import EndpointKey, HostName, ZoneName


def host_allowed(configuration: Configuration, endpoint: EndpointKey, host: HostName) -> str | None:
    """Return why the endpoint may not run on the host; None when it may.

    Every zone of the endpoint that has a ``hosts`` constraint must accept the host.
    """
    declared = configuration.inventory.endpoints.get(endpoint)
    place = configuration.inventory.hosts.get(host)
    if declared is None:
        return f"{endpoint} is not in the inventory"
    if place is None:
        return f"host {host} is not in the inventory"
    tenant = configuration.tenants.get(declared.tenant)
    if tenant is None:
        return None
    for zone in tenant.zones.values():
        if zone.hosts is None or accepts(zone.hosts, place):
            continue
        if is_member(tenant, zone.selector, declared):
            return (
                f"host {host} is not trusted by zone {tenant.name}/{zone.name}: {_asked(zone.hosts, place)}"
            )
    return None


def is_member(
    tenant: Tenant,
    selector: Selector,
    endpoint: EndpointDeclaration,
    visited: frozenset[ZoneName] = frozenset(),
) -> bool:
    """Say whether any address of the endpoint is in what the selector chooses; ``hosts`` plays no part.

    Args:
        visited: zones being judged already; a zone that is named in its own union adds nobody.
    """
    if selector.outside or endpoint.tenant != tenant.name:
        return False
    if selector.labels is not None and not has_labels(endpoint.labels or {}, selector.labels):
        return False
    if selector.endpoints is not None and endpoint.name not in selector.endpoints:
        return False
    if selector.macs is not None and endpoint.mac not in selector.macs:
        return False
    if selector.cidrs is not None and not any(ip in cidr for ip in endpoint.ips for cidr in selector.cidrs):
        return False
    if selector.zones is not None and not any(
        name in tenant.zones and is_member(tenant, tenant.zones[name].selector, endpoint, visited | {name})
        for name in selector.zones
        if name not in visited
    ):
        return False
    return selector.excluded is None or not is_member(tenant, selector.excluded, endpoint, visited)


def _asked(asked: HostConstraint, host: HostDeclaration) -> str:
    """Return what the zone asks for and the host has not, for a person."""
    if asked.trust is not None and host.trust not in asked.trust:
        return f"trust is {host.trust or 'not given'}, asked for {' or '.join(asked.trust)}"
    if asked.hosts is not None and host.name not in asked.hosts:
        return f"asked for {' or '.join(asked.hosts)}"
    wanted = ", ".join(f"{key}={'|'.join(values)}" for key, values in (asked.labels or {}).items())
    return f"asked for labels {wanted}"
