"""May this endpoint run on that host? What its zones ask of hosts (docs/policy-reference.md, "Zones")."""

from __future__ import annotations

from zonewall.policy.host_constraints import accepts
from zonewall.policy.inventory import HostDeclaration
from zonewall.policy.membership import is_member
from zonewall.policy.model import Configuration, HostConstraint
from zonewall.values.names import EndpointKey, HostName


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


def _asked(asked: HostConstraint, host: HostDeclaration) -> str:
    """Return what the zone asks for and the host has not, for a person."""
    if asked.trust is not None and host.trust not in asked.trust:
        return f"trust is {host.trust or 'not given'}, asked for {' or '.join(asked.trust)}"
    if asked.hosts is not None and host.name not in asked.hosts:
        return f"asked for {' or '.join(asked.hosts)}"
    wanted = ", ".join(f"{key}={'|'.join(values)}" for key, values in (asked.labels or {}).items())
    return f"asked for labels {wanted}"
