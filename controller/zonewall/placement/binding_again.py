"""What of a fleet another configuration may concern: which ports to look at, whom to judge again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from zonewall.placement.binding_judge import FleetView, own_prefixes
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.binding_ports import SeenPort
from zonewall.placement.binding_record import PortRef
from zonewall.policy.inventory import EndpointDeclaration, Inventory
from zonewall.policy.model import Configuration
from zonewall.values.names import EndpointKey


class Ported(FleetView, Protocol):
    """A fleet with its ports."""

    @property
    def ports(self) -> FrozenMap[PortRef, SeenPort]:
        """Return every port."""

    @property
    def unknown(self) -> FrozenMap[PortRef, str]:
        """Return why some are nobody's."""


def ports_in_turn(fleet: Ported, before: Inventory, *, same_owners: bool) -> list[tuple[PortRef, SeenPort]]:
    """Return the ports to look at after one ``before`` another inventory, in the order in which they came.

    ``same_owners``: an endpoint's port is that one's by either. Where it is the same inventory, and every
    port somebody's, there is none to look at.
    """
    if same_owners and before is fleet.configuration.inventory and not fleet.unknown:
        return []
    some = [item for item in fleet.ports.items() if not same_owners or item[1].facts.endpoint is None]
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
