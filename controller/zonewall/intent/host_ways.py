"""By which ports hosts' own connections leave their bridges: a controller may reach a host no other way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zonewall.intent.fleet import bridges_of
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import BridgeDeclaration, PortDeclaration, PortRole
from zonewall.policy.model import Configuration

IsThere = Callable[[BridgeKey, str], bool]
"""Says whether a bridge has a port that the inventory declares."""


@dataclass(frozen=True, slots=True)
class LostWay:
    """A bridge that would no longer join two ports that it joins."""

    bridge: BridgeKey
    port: str
    uplink: str

    def __str__(self) -> str:
        """Return a sentence, without its full stop."""
        return f"{self.bridge} would no longer join its host port {self.port} with uplink {self.uplink}"


def lost_ways(before: Configuration, after: Configuration, is_there: IsThere) -> list[LostWay]:
    """Return what of the ways that bridges give their hosts would be there no more, sorted.

    A bridge that only one of the configurations manages loses none: what is managed no more keeps its flows.

    Args:
        before: what is in force.
        after: what is to be; a port that only it declares counts as there.
        is_there: which of the ports that ``before`` declares are there.
    """
    if before.inventory.hosts is after.inventory.hosts:
        return []
    found: list[LostWay] = []
    managed = set(bridges_of(after))
    for key in bridges_of(before):
        if key in managed:
            found += _lost(key, _bridge(before, key), _bridge(after, key), is_there)
    return found


def _bridge(configuration: Configuration, key: BridgeKey) -> BridgeDeclaration:
    return configuration.inventory.hosts[key.host].bridges[key.bridge]


def _lost(
    key: BridgeKey, before: BridgeDeclaration, after: BridgeDeclaration, is_there: IsThere
) -> list[LostWay]:
    if before.ports is after.ports:
        return []
    old = [port for name, port in sorted(before.ports.items()) if is_there(key, name)]
    new = [
        port for name, port in sorted(after.ports.items()) if name not in before.ports or is_there(key, name)
    ]
    return [LostWay(key, port, uplink) for port, uplink in sorted(_ways(old) - _ways(new))]


def _ways(ports: list[PortDeclaration]) -> set[tuple[str, str]]:
    """Return the host port, the first by name, with each uplink whose untagged frames are no tenant's."""
    host = next((port.name for port in ports if port.role is PortRole.HOST), None)
    uplinks = [port.name for port in ports if port.role is PortRole.UPLINK and 0 not in (port.vlans or {})]
    return set() if host is None else {(host, uplink) for uplink in uplinks}
