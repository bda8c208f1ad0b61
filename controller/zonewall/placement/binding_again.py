"""What of a fleet another configuration may concern: which ports to look at, whom to judge again."""

from __future__ import annotations

from collections.abc import Iterable

from zonewall.placement.binding_judge import FleetView, own_prefixes
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.binding_ports import SeenPort
from zonewall.placement.binding_record import PortRef
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Configuration
from zonewall.values.names import EndpointKey


def ports_in_turn(
    ports: FrozenMap[PortRef, SeenPort], *, only_others: bool
) -> list[tuple[PortRef, SeenPort]]:
    """Return ports in the order in which they came; with ``only_others`` those of no endpoint."""
    some = [item for item in ports.items() if not only_others or item[1].facts.endpoint is None]
    return sorted(some, key=lambda item: item[1].generation)


def judged_otherwise(fleet: FleetView, after: Configuration) -> Iterable[EndpointKey]:
    """Return the endpoints about whose ports another configuration may say otherwise than the one in force.

    Args:
        after: one by which every port is the same endpoint's.
    """
    before, everybody = fleet.configuration, fleet.records
    if before.inventory.hosts != after.inventory.hosts or before.tenants.keys() != after.tenants.keys():
        return everybody
    tenants = [(tenant, after.tenants[name]) for name, tenant in before.tenants.items()]
    if fleet.held_back.entries or any(
        one is not other and one.zones != other.zones for one, other in tenants
    ):
        return everybody
    known = before.inventory.endpoints
    if known is after.inventory.endpoints:
        return ()
    changed: list[EndpointKey] = []
    for key, endpoint in after.inventory.endpoints.items():
        last = known.get(key)
        if last is endpoint or last == endpoint:
            continue
        if last is None or _itself(last) != _itself(endpoint):
            return everybody  # others with its VM, its MAC or its addresses are concerned, too
        changed.append(key)
    return changed


def _itself(endpoint: EndpointDeclaration) -> object:
    return endpoint.tenant, endpoint.mac, endpoint.vm_id, own_prefixes(endpoint), endpoint.claims
