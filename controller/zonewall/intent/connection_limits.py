"""How many connections an endpoint and a tenant may begin, and how many may be tracked at a time."""

from __future__ import annotations

from zonewall.intent.fleet import Fleet, Policy, domain_name
from zonewall.intent.model import NewConnections
from zonewall.intent.numbering import Kind
from zonewall.placement.model import BridgeKey
from zonewall.values.names import HostName, TenantName

NEW_CONNECTIONS = "new-connections:"
"""What stands before a tenant in the name that its meter is numbered under."""


def new_connections(policy: Policy, tenant: TenantName) -> NewConnections:
    """Return what bounds a tenant's new connections."""
    limits = policy.configuration.provider.limits
    meter = None
    if limits.new_connections_per_tenant_per_s is not None:
        meter = policy.number(Kind.LIMIT, NEW_CONNECTIONS + tenant)
    return NewConnections(limits.new_connections_per_s, limits.new_connections_per_tenant_per_s, meter)


def tracking_zones(fleet: Fleet, key: BridgeKey) -> tuple[int, ...]:
    """Return the conntrack zones that connections on a bridge are tracked in, functions' own left out."""
    policy = fleet.policy
    here = {name for name in policy.configuration.tenants if fleet.is_present(name, key)}
    index = policy.number(Kind.BRIDGE_ON_HOST, key.bridge, scope=key.host)
    zones = {
        index << 12 | policy.number(Kind.DOMAIN, domain_name(bank.source, bank.destination))
        for bank in policy.banks.values()
        if bank.source in here or bank.destination in here
    }
    return tuple(sorted(zones))


def host_command(fleet: Fleet, host: HostName) -> str | None:
    """Return the command that bounds tracked connections on a host, None where nothing is to be bounded.

    Open vSwitch 3.1 offers zone limits on the host alone (ovs-vswitchd(8), ``dpctl/ct-set-limits``).
    """
    most = fleet.policy.configuration.provider.limits.tracked_connections
    zones = sorted({zone for key in fleet.ports if key.host == host for zone in tracking_zones(fleet, key)})
    if most is None or not zones:
        return None
    return "ovs-appctl dpctl/ct-set-limits " + " ".join(f"zone={zone},limit={most}" for zone in zones)
