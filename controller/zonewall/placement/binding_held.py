"""MAC and IP addresses that rest: whose they were lately, nobody else may be for a while."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from zonewall.placement.binding_record import EndpointRecord
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Configuration
from zonewall.values.addresses import IpAddress, format_mac
from zonewall.values.names import EndpointKey, TenantName

Owned = int | IpAddress


class Rest(NamedTuple):
    """An address (a number is a MAC) that was an endpoint's; ``until`` by the machine's monotonic clock."""

    tenant: TenantName
    owned: Owned
    owner: EndpointKey
    until: float


@dataclass(frozen=True, slots=True)
class HeldBack:
    """MAC and IP addresses that are their endpoints' no more: whose they were, and until when they rest."""

    entries: Mapping[tuple[TenantName, Owned], tuple[EndpointKey, float]] = field(default_factory=dict)

    @staticmethod
    def of(remembered: Iterable[Rest], at: float, hold_s: float) -> HeldBack:
        """Return what was held back before a restart; after a reboot, whose clock is another, once more."""
        return HeldBack(
            {
                (one.tenant, one.owned): (one.owner, min(one.until, at + hold_s))
                for one in remembered
                if one.until > at
            }
        )

    def rests(self) -> tuple[Rest, ...]:
        """Return every entry, to be remembered."""
        return tuple(Rest(*what, *whose) for what, whose in self.entries.items())

    def expired(self, at: float) -> HeldBack:
        """Return what is still held back at that time."""
        kept = {what: (owner, until) for what, (owner, until) in self.entries.items() if until > at}
        return self if len(kept) == len(self.entries) else HeldBack(kept)

    def against(self, endpoint: EndpointDeclaration, at: float) -> str | None:
        """Return why the endpoint has to wait for one of its addresses."""
        for owned in _owned(endpoint):
            owner, until = self.entries.get((endpoint.tenant, owned), (endpoint.key, at))
            if owner != endpoint.key and until > at:
                name = format_mac(owned) if isinstance(owned, int) else str(owned)
                return f"held back: {name} was {owner}'s until lately"
        return None

    def until(self, endpoint: EndpointDeclaration | None) -> float | None:
        """Return when the first of the endpoint's addresses that are held back is free."""
        if endpoint is None or not self.entries:
            return None
        found = [self.entries.get((endpoint.tenant, owned)) for owned in _owned(endpoint)]
        return min((until for owner, until in filter(None, found) if owner != endpoint.key), default=None)


class Fleet(Protocol):
    """What is asked of a fleet whose configuration becomes another."""

    @property
    def configuration(self) -> Configuration:
        """Return the configuration in force."""

    @property
    def records(self) -> Mapping[EndpointKey, EndpointRecord]:
        """Return the records of all that were ever seen."""

    @property
    def held_back(self) -> HeldBack:
        """Return what rests already."""


def held_after(fleet: Fleet, after: Configuration, until: float) -> HeldBack:
    """Return what rests once another configuration holds: what those lose by it that were ever seen.

    What a DHCP server granted is its server's to give to the next, unless the endpoint itself goes.
    """
    before, now = fleet.configuration.inventory.endpoints, after.inventory.endpoints
    if before is now:
        return fleet.held_back
    lost: dict[tuple[TenantName, Owned], tuple[EndpointKey, float]] = {}
    for key, last in before.items():
        endpoint = now.get(key)
        if endpoint is last or key not in fleet.records:
            continue
        kept = () if endpoint is None else _owned(endpoint)
        granted = last.ips if endpoint is not None and last.unaddressed else ()
        for owned in _owned(last):
            if owned not in kept and owned not in granted:
                lost[last.tenant, owned] = (key, until)
    return HeldBack({**fleet.held_back.entries, **lost}) if lost else fleet.held_back


def _owned(endpoint: EndpointDeclaration) -> tuple[Owned, ...]:
    return (endpoint.mac, *endpoint.ips)
