"""By which ports hosts' own connections leave their bridges: a controller may reach a host no other way."""

from __future__ import annotations

from collections.abc import Collection

from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import BridgeDeclaration, PortRole
from zonewall.policy.model import Configuration


def lost_ways(before: Configuration, after: Configuration, bridges: Collection[BridgeKey]) -> list[str]:
    """Return, in words, what of the ways that bridges give their hosts would be there no more.

    Args:
        before: what is in force.
        after: what is to be.
        bridges: those that count; each is managed under both.
    """
    return [
        f"{key} would no longer join its host port {port} with uplink {uplink}"
        for key in sorted(bridges)
        for port, uplink in sorted(_ways(_bridge(before, key)) - _ways(_bridge(after, key)))
    ]


def _bridge(configuration: Configuration, key: BridgeKey) -> BridgeDeclaration:
    return configuration.inventory.hosts[key.host].bridges[key.bridge]


def _ways(bridge: BridgeDeclaration) -> set[tuple[str, str]]:
    """Return the host port with each uplink whose untagged frames are no tenant's."""
    hosts = [port.name for port in bridge.ports.values() if port.role is PortRole.HOST]
    uplinks = [port for port in bridge.ports.values() if port.role is PortRole.UPLINK]
    return {(host, uplink.name) for host in hosts for uplink in uplinks if 0 not in (uplink.vlans or {})}
