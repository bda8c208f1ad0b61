"""Zones by zones: what passes between any two members, and what between some only.

Exact: a service in ``always`` passes from every member of one zone to every member of the other, one in
``sometimes`` between some, and one in neither between none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from zonewall.intent.crowds import exports
from zonewall.intent.identity import Identity
from zonewall.intent.regions import Regions
from zonewall.intent.service_text import service_texts
from zonewall.policy.model import Action, Tenant
from zonewall.values.names import TenantName

EXTERNAL = "external"
NO_ZONE = "(no zone)"


@dataclass(frozen=True, slots=True)
class Cell:
    """What passes from one zone to another.

    Attributes:
        always: services from every member to every member.
        sometimes: services between some members only.
        watched: services that pass between some only because a rule is in monitor mode.
        empty: nobody is in one of the two, or they have no addresses of one family.
        always_bits: ``always`` as a set of the regions' service classes.
        sometimes_bits: the same of ``sometimes``.
    """

    always: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    empty: bool = False
    always_bits: int = 0
    sometimes_bits: int = 0


@dataclass(frozen=True, slots=True)
class Matrix:
    """One tenant's view: its zones, imported ones by their local name, who is in no zone, and the outside.

    Attributes:
        cells: by row (from) and column (to).
    """

    tenant: TenantName
    names: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]


def matrix(regions: Regions, tenant: Tenant) -> Matrix:
    """Return a tenant's matrix."""
    axis = _axis(regions, tenant)
    passing = _Passing(regions)
    cells = {
        (source, destination): passing.cell(ones, others)
        for source, ones in axis.items()
        for destination, others in axis.items()
    }
    return Matrix(tenant.name, tuple(axis), cells)


def _axis(regions: Regions, tenant: Tenant) -> dict[str, tuple[Identity, ...]]:
    mine = regions.ends.of_tenant.get(tenant.name, ())
    axis = {
        str(name): tuple(one for one in mine if (tenant.name, name) in one.zones) for name in tenant.zones
    }
    for imported in tenant.imports:
        others = regions.ends.of_tenant.get(imported.tenant, ())
        wanted = (imported.tenant, imported.zone)
        owner = regions.configuration.tenants[imported.tenant]
        is_shown = exports(owner, imported.zone, tenant.name)
        axis[str(imported.local_name)] = tuple(
            one for one in others if is_shown and wanted in one.zones and not one.outside
        )
    unzoned = tuple(
        one for one in mine if not one.outside and not any(owner == tenant.name for owner, _ in one.zones)
    )
    if unzoned:
        axis[NO_ZONE] = unzoned
    axis[EXTERNAL] = tuple(one for one in mine if one.outside)
    return axis


class _Passing:
    """Remembers what passes between two identities."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions
        self._families = {version: regions.services.of_family(version) for version in (4, 6)}
        self._versions: dict[Identity, frozenset[int]] = {}
        self._known: dict[tuple[Identity, Identity, int], tuple[int, int]] = {}
        self._texts: dict[tuple[int, int], tuple[str, ...]] = {}

    def cell(self, sources: Iterable[Identity], destinations: Iterable[Identity]) -> Cell:
        others = [(one, self._of(one)) for one in destinations]
        always, some, watched, there = self._regions.services.everything, 0, 0, 0
        for source in sources:
            versions = self._of(source)
            for destination, theirs in others:
                for version in versions & theirs:
                    family = self._families[version]
                    allowed, only_watched = self._between(source, destination, version)
                    there |= family
                    always &= allowed | ~family
                    some |= allowed
                    watched |= only_watched
        if not there:
            return Cell(empty=True)
        always &= there
        some &= ~always
        return Cell(
            self._text(always, there),
            self._text(some, there),
            self._text(watched, there),
            always_bits=always,
            sometimes_bits=some,
        )

    def _of(self, identity: Identity) -> frozenset[int]:
        if identity not in self._versions:
            self._versions[identity] = self._regions.ends.families(identity)
        return self._versions[identity]

    def _between(self, source: Identity, destination: Identity, version: int) -> tuple[int, int]:
        key = source, destination, version
        found = self._known.get(key)
        if found is None:
            allowed = watched = 0
            for one in self._regions.judge(source, destination, version):
                if one.decision.verdict is Action.ALLOW:
                    allowed |= one.classes
                    watched |= one.classes if one.decision.monitored else 0
            found = self._known[key] = allowed, watched
        return found

    def _text(self, classes: int, there: int) -> tuple[str, ...]:
        key = classes, there
        if key not in self._texts:
            self._texts[key] = service_texts(self._regions.services, classes, there)
        return self._texts[key]


def matrix_document(found: Matrix) -> dict[str, object]:
    """Return a matrix in plain values (docs/commands.md)."""
    return {
        "tenant": str(found.tenant),
        "zones": list(found.names),
        "cells": [
            {
                "from": source,
                "to": destination,
                "always": list(cell.always),
                "sometimes": list(cell.sometimes),
                "watched": list(cell.watched),
                "empty": cell.empty,
            }
            for (source, destination), cell in found.cells.items()
        ],
    }
