"""A connection as rules see it: its two ends, its first packet, and what the two tenants agreed on."""

from __future__ import annotations

from dataclasses import dataclass

from zonewall.intent.semantics.holders import is_agreed
from zonewall.intent.semantics.membership import End, is_in_zone
from zonewall.intent.semantics.probe import Probe
from zonewall.policy.model import Tenant
from zonewall.values.names import TenantName, ZoneName


@dataclass(frozen=True, slots=True)
class Agreement:
    """A zone that holds one end, exported by this end's tenant and imported by the other's."""

    exporter: TenantName
    zone: ZoneName


@dataclass(frozen=True, slots=True)
class Connection:
    """One question to the rules.

    Attributes:
        agreements: empty within one tenant's view.
    """

    source: End
    destination: End
    probe: Probe
    agreements: frozenset[Agreement]

    @property
    def crosses(self) -> bool:
        """Say whether the ends belong to different tenants."""
        return self.source.tenant.name != self.destination.tenant.name

    def is_imported(self, reader: Tenant, name: ZoneName, end: End) -> bool:
        """Say whether the reader's local name stands for a zone agreed on that holds another tenant's end."""
        return any(
            one.local_name == name and Agreement(one.tenant, one.zone) in self.agreements
            for one in reader.imports
            if one.tenant == end.tenant.name
        )


def connect(source: End, destination: End, probe: Probe) -> Connection:
    """Return the connection between the two ends."""
    agreements: set[Agreement] = set()
    if source.tenant.name != destination.tenant.name and not (source.is_outside or destination.is_outside):
        agreements |= _agreed(source, destination.tenant) | _agreed(destination, source.tenant)
    return Connection(source, destination, probe, frozenset(agreements))


def _agreed(end: End, importer: Tenant) -> set[Agreement]:
    """Return the zones of the end's tenant that hold it and that the other tenant may and does import."""
    return {
        Agreement(end.tenant.name, export.zone)
        for export in end.tenant.exports
        if is_agreed(end.tenant, export.zone, importer) and is_in_zone(end.tenant, export.zone, end)
    }
