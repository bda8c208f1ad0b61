"""What happens to a connection beside its verdict: copies, service functions, log, limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from zonewall.intent.crowds import View, mirror_crowds
from zonewall.intent.identity import Identity
from zonewall.intent.regions import Decision, Regions, is_in
from zonewall.policy.model import Action, Rule
from zonewall.values.limits import Limit
from zonewall.values.names import TenantName


@dataclass(frozen=True, slots=True)
class Treatment:
    """As ``semantics.Verdict`` says it, with the deciding rules' limits."""

    mirror: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    log: Literal["connections", "none"] = "none"
    limit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Treated:
    """Service classes that end and are treated in the same way."""

    classes: int
    decision: Decision
    treatment: Treatment


@dataclass(frozen=True, slots=True)
class _MirrorLine:
    sources: frozenset[Identity]
    destinations: frozenset[Identity]
    classes: int
    when: Literal["before", "allowed", "dropped"]
    targets: frozenset[str]


class Treatments:
    """What happens to every service between two identities of a configuration's regions."""

    def __init__(self, regions: Regions) -> None:
        """Answer about these regions."""
        self._regions = regions
        self._mirrors: dict[tuple[TenantName, TenantName], tuple[_MirrorLine, ...]] = {}
        self._known: dict[tuple[Identity, Identity, int], tuple[Treated, ...]] = {}

    def of(self, source: Identity, destination: Identity, version: int) -> tuple[Treated, ...]:
        """Return how every service of an IP version ends and is treated; the sets are disjoint."""
        key = source, destination, version
        if key not in self._known:
            self._known[key] = tuple(self._treat(*key))
        return self._known[key]

    def _treat(self, source: Identity, destination: Identity, version: int) -> Iterator[Treated]:
        lines = [
            line
            for line in self._lines(source.tenant, destination.tenant)
            if source in line.sources and destination in line.destinations
        ]
        for decided in self._regions.judge(source, destination, version):
            outcome = "allowed" if decided.decision.verdict is Action.ALLOW else "dropped"
            parts: dict[frozenset[str], int] = {frozenset(): decided.classes}
            for line in lines:
                if line.when in ("before", outcome):
                    parts = _refined(parts, line)
            for targets, classes in parts.items():
                yield Treated(classes, decided.decision, self._treatment(decided.decision, targets))

    def _treatment(self, decision: Decision, targets: frozenset[str]) -> Treatment:
        names = (*decision.allowed_before, decision.rule)
        records = (self._regions.records.get(name) for name in names)
        rules = [record.rule for record in records if record is not None and record.rule is not None]
        allows = [rule for rule in rules if rule.action is Action.ALLOW]
        return Treatment(
            mirror=tuple(sorted(targets.union(*(rule.mirror for rule in rules)))),
            through=tuple(function for rule in allows for function in rule.through),
            log="connections" if any(rule.log == "connections" for rule in rules) else "none",
            limit=tuple(limit_text(rule.limit) for rule in allows if rule.limit is not None),
        )

    def _lines(self, source: TenantName, destination: TenantName) -> tuple[_MirrorLine, ...]:
        key = source, destination
        if key not in self._mirrors:
            self._mirrors[key] = tuple(self._mirror_lines(*key))
        return self._mirrors[key]

    def _mirror_lines(self, source: TenantName, destination: TenantName) -> Iterator[_MirrorLine]:
        regions = self._regions
        tenants = regions.configuration.tenants
        if source not in tenants or destination not in tenants:
            return
        crossing = source != destination
        one, other = tenants[source], tenants[destination]
        identities = regions.ends.of_tenant
        for reader in [one, other] if crossing else [one]:
            views = View(reader, one, crossing), View(reader, other, crossing)
            for mirror in reader.mirrors:
                crowds = mirror_crowds(regions.configuration, regions.directory, mirror, views)
                for sources, destinations in crowds:
                    yield _MirrorLine(
                        frozenset(i for i in identities.get(source, ()) if is_in(sources, i)),
                        frozenset(i for i in identities.get(destination, ()) if is_in(destinations, i)),
                        regions.services.mask(mirror.services),
                        mirror.when,
                        frozenset(mirror.targets),
                    )


def _refined(parts: dict[frozenset[str], int], line: _MirrorLine) -> dict[frozenset[str], int]:
    found: dict[frozenset[str], int] = {}
    for targets, classes in parts.items():
        for chosen, these in (
            (targets | line.targets, classes & line.classes),
            (targets, classes & ~line.classes),
        ):
            if these:
                found[chosen] = found.get(chosen, 0) | these
    return found


def limit_text(limit: Limit) -> str:
    """Return a limit as it is written: ``100pps``, ``2000kbps per endpoint``."""
    return f"{limit.rate}{limit.unit}{' per endpoint' if limit.per_endpoint else ''}"


def rule_settings(rule: Rule) -> tuple[object, ...]:
    """Return all of a rule that a connection can tell, beside whom and what it is about."""
    return rule.action, rule.mirror, rule.through, rule.log, rule.limit
