"""Whether a rule that decides all of another within a tenant does so between tenants, too.

There a rule that allows counts only where it names what the two agreed on, or, of the provider's, both
tenants; any other rule counts everywhere. So an earlier ``allow`` from any to any leaves to later rules what
crosses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from zonewall.policy.membership import asks_addresses
from zonewall.policy.model import Action, Export, Import, Peer, Rule, Tenant, Zone
from zonewall.values.names import ZoneName


class Crossing(Protocol):
    """What a tier's rules can be about between tenants; two that are equal say the same."""

    def leaves_none(self, first: Rule, second: Rule) -> bool:
        """Say whether a rule that decides all of another within a tenant leaves it nothing else."""


@dataclass(frozen=True, slots=True)
class OfTenant:
    """A tenant that agreed with others on something, or offers to."""

    tenant: Tenant = field(compare=False)
    zones: Mapping[ZoneName, Zone]
    exports: tuple[Export, ...]
    imports: tuple[Import, ...]

    def leaves_none(self, first: Rule, second: Rule) -> bool:
        """Say it where that is sure; an own zone of addresses may hold another tenant's."""
        if first.action is not Action.ALLOW:
            return True
        imported = {one.local_name for one in self.imports}
        agreed = imported | {one.zone for one in self.exports}
        sides = [(first.sources, second.sources), (first.destinations, second.destinations)]
        named = [{peer for peer in later if peer.zone in agreed} for _, later in sides]
        if not all(set(earlier) >= peers for (earlier, _), peers in zip(sides, named, strict=True)):
            return False
        if second.action is Action.ALLOW:
            return not any(named) or _SELF not in second.destinations
        zones = [{peer.zone for peer in later} for _, later in sides]
        if any(side <= imported for side in zones):
            return True
        return all(zone in imported or (zone and self._is_own(zone)) for side in zones for zone in side)

    def _is_own(self, zone: ZoneName) -> bool:
        there = self.zones.get(zone)
        return there is not None and not asks_addresses(self.tenant, there.selector)


@dataclass(frozen=True, slots=True)
class OfProvider:
    """The provider, whose rules name tenants."""

    def leaves_none(self, first: Rule, second: Rule) -> bool:
        """Say it where that is sure."""
        if first.action is not Action.ALLOW:
            return True
        sides = [(first.sources, second.sources), (first.destinations, second.destinations)]
        tenants = [{peer.tenant for peer in later} for _, later in sides]
        of_one = len(tenants[0] | tenants[1]) == 1 and tenants[0].isdisjoint((None, "*"))
        if of_one or set(second.destinations) == {_SELF}:
            return True
        is_allow = second.action is Action.ALLOW
        if is_allow and any(side == {None} for side in tenants):
            return True
        if not is_allow and any(None in side for side in tenants):
            return False
        return all(set(earlier) >= {peer for peer in later if peer.tenant} for earlier, later in sides)


_SELF = Peer("self")


def crossing_of(tenant: Tenant) -> OfTenant | None:
    """Return what a tenant's rules can be about between tenants, None for nothing."""
    if not (tenant.exports or tenant.imports):
        return None
    return OfTenant(tenant, tenant.zones, tenant.exports, tenant.imports)
