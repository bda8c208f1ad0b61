"""Parts of a configuration that stand elsewhere since an edit before them in the same document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from zonewall.policy.findings import Location
from zonewall.policy.inventory import BridgeDeclaration, HostDeclaration, Inventory
from zonewall.policy.model import Tenant, Tier

K = TypeVar("K")
V = TypeVar("V")
Move = Callable[[Location], Location]


def at_place(one: V, move: Move) -> V:
    """Return something with a location at its new place: itself where that is the old one."""
    part: Any = one
    now = move(part.location)
    return one if now is part.location else replace(part, location=now)


def shifted_tenant(tenant: Tenant, move: Move) -> Tenant:
    """Return a tenant with all that its document says at its new place."""
    default_at = tenant.default_location
    return replace(
        tenant,
        location=move(tenant.location),
        default_location=None if default_at is None else move(default_at),
        zones=_entries(tenant.zones, move),
        tiers=tuple(_tier(tier, move) for tier in tenant.tiers),
        mirrors=tuple(at_place(one, move) for one in tenant.mirrors),
        exports=tuple(at_place(one, move) for one in tenant.exports),
        imports=tuple(at_place(one, move) for one in tenant.imports),
        assertions=tuple(at_place(one, move) for one in tenant.assertions),
    )


def shifted_inventory(inventory: Inventory, move: Move) -> Inventory:
    """Return an inventory with what stands in one of its documents at its new place."""
    return replace(
        inventory,
        hosts={name: _host(host, move) for name, host in inventory.hosts.items()},
        endpoints=_entries(inventory.endpoints, move),
        mirror_targets=_entries(inventory.mirror_targets, move),
        service_functions=_entries(inventory.service_functions, move),
    )


def _tier(tier: Tier, move: Move) -> Tier:
    return replace(at_place(tier, move), rules=tuple(at_place(rule, move) for rule in tier.rules))


def _host(host: HostDeclaration, move: Move) -> HostDeclaration:
    bridges = {name: _bridge(bridge, move) for name, bridge in host.bridges.items()}
    return replace(at_place(host, move), bridges=bridges)


def _bridge(bridge: BridgeDeclaration, move: Move) -> BridgeDeclaration:
    return replace(at_place(bridge, move), ports=_entries(bridge.ports, move))


def _entries(parts: Mapping[K, V], move: Move) -> dict[K, V]:
    return {name: at_place(one, move) for name, one in parts.items()}
