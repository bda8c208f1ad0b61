"""What another configuration would change: every verdict, for whom and for which services, and nothing else.

Exact against the evaluator, for every packet between ends that both configurations know: it is listed if and
only if its verdict, or what happens to it beside, differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from zonewall.intent.banks import Bank
from zonewall.intent.ends import Member
from zonewall.intent.identity import Identity
from zonewall.intent.places import bank_sections
from zonewall.intent.regions import NOT_BETWEEN_TENANTS, Decision, Regions, terms_of
from zonewall.intent.standing import Pairing, Standing, Standings
from zonewall.intent.treatment import Treated, Treatment, Treatments, rule_settings
from zonewall.policy.findings import Location
from zonewall.policy.model import Action, Configuration, MirrorRule, Provider, Tier
from zonewall.values.names import TenantName

_NOWHERE = Location("", 0, 0)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ends in one of the configurations."""

    decision: Decision
    treatment: Treatment

    @property
    def told(self) -> tuple[object, ...]:
        """Return all that a connection can tell; which rule it was, it cannot."""
        return self.decision.verdict, self.decision.monitored, self.treatment


@dataclass(frozen=True, slots=True)
class Change:
    """From each of the sources to each of the destinations, these services end otherwise.

    Attributes:
        version: IP version, 4 or 6.
        classes: a set of service classes of the comparison's regions.
    """

    sources: tuple[Standing, ...]
    destinations: tuple[Standing, ...]
    version: int
    classes: int
    before: Ending
    after: Ending

    @property
    def is_verdict(self) -> bool:
        """Say whether the verdict itself changes, not only the treatment."""
        return self.before.decision.verdict is not self.after.decision.verdict


@dataclass(frozen=True, slots=True)
class Beside:
    """What changes beside the rules: a multicast protocol, an endpoint that may speak as a router."""

    what: str
    before: Action
    after: Action


@dataclass(frozen=True, slots=True)
class Section:
    """The changes of one view: ``tenant``, or ``tenant>tenant`` by the endpoints' names."""

    name: str
    sources: Standings
    destinations: Standings
    changes: tuple[Change, ...]

    def members(self, standing: Standing) -> list[Member]:
        """Return who stands so."""
        return self.sources.get(standing) or self.destinations[standing]


_Asked = Callable[[Standing, Standing], bool]
_Kind = tuple[int, int, Ending, Ending]


class Comparison:
    """Two configurations at their moments, held side by side."""

    def __init__(
        self,
        old: Configuration,
        new: Configuration,
        inactive_old: frozenset[str] = frozenset(),
        inactive_new: frozenset[str] = frozenset(),
    ) -> None:
        """Prepare both; ``inactive_…`` are the rules that do not hold at the moment meant."""
        self.old = Regions.of(old, inactive_old, terms_of(new))
        self.new = Regions.of(new, inactive_new, terms_of(old))
        self._pairing = Pairing(self.old, self.new)
        self._before, self._after = Treatments(self.old), Treatments(self.new)
        self._same_banks: dict[tuple[TenantName, TenantName], bool] = {}

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Return what changes, view by view; one without changes is left out."""
        found = []
        for tenant in self._pairing.tenants:
            standings = self._pairing.in_view(tenant)
            found.append(self._section(tenant, standings, standings, _asked_in_view(tenant)))
        named = {tenant: self._pairing.by_name(tenant) for tenant in self._pairing.tenants}
        for source, destination in self._linked(named):
            name = f"{source}>{destination}"
            found.append(self._section(name, named[source], named[destination], _asked_by_name))
        return tuple(section for section in found if section.changes)

    @cached_property
    def beside(self) -> tuple[Beside, ...]:
        """Return what changes beside the rules."""
        found = []
        old, new = self.old.configuration, self.new.configuration
        for name in sorted(old.provider.multicast ^ new.provider.multicast):
            was = name in old.provider.multicast
            found.append(Beside(f"multicast {name}", *_flip(was)))
        for key, endpoint in old.inventory.endpoints.items():
            other = new.inventory.endpoints.get(key)
            was = "router" in endpoint.roles
            if other is not None and was != ("router" in other.roles):
                found.append(Beside(f"router advertisements of {key}", *_flip(was)))
        return tuple(found)

    def _linked(self, named: Mapping[TenantName, Standings]) -> Iterator[tuple[TenantName, TenantName]]:
        """Yield the ordered pairs of tenants between which a verdict could differ."""
        open_pairs = {
            (bank.source, bank.destination) for each in (self.old, self.new) for bank in each.banks.values()
        }
        moved = {name for name, of in named.items() if not all(standing.unchanged for standing in of)}
        tiers = [_tiers(each.configuration.provider) for each in (self.old, self.new)]
        differ = tiers[0] != tiers[1] or self.old.inactive != self.new.inactive
        refuses = any(rule.action is Action.REJECT for of in tiers for tier in of for rule in tier.rules)
        for source in named:
            for destination in named:
                could = refuses and (differ or source in moved or destination in moved)
                if source != destination and ((source, destination) in open_pairs or could):
                    yield source, destination

    def _section(self, name: str, sources: Standings, destinations: Standings, asked: _Asked) -> Section:
        found: dict[_Kind, dict[Standing, list[Standing]]] = {}
        for one in sources:
            for other in destinations:
                if one.version == other.version and asked(one, other):
                    for kind in self._differences(one, other):
                        found.setdefault(kind, {}).setdefault(one, []).append(other)
        changes = [
            Change(tuple(ones), others, *kind)
            for kind, by_source in found.items()
            for others, ones in _rectangles(by_source).items()
        ]
        return Section(name, sources, destinations, tuple(changes))

    def _differences(self, one: Standing, other: Standing) -> Iterator[_Kind]:
        """Yield the services between two that end otherwise, with both endings."""
        if one.unchanged and other.unchanged and self._same_bank(one, other):
            return
        before = self._endings(self.old, self._before, one.before, other.before, one.version)
        after = self._endings(self.new, self._after, one.after, other.after, one.version)
        found: dict[tuple[Ending, Ending], int] = {}
        for was in before:
            for now in after:
                classes = was.classes & now.classes
                pair = Ending(was.decision, was.treatment), Ending(now.decision, now.treatment)
                if classes and pair[0].told != pair[1].told:
                    found[pair] = found.get(pair, 0) | classes
        for (was_so, is_so), classes in found.items():
            yield one.version, classes, was_so, is_so

    def _endings(
        self,
        regions: Regions,
        treatments: Treatments,
        source: Identity | None,
        destination: Identity | None,
        version: int,
    ) -> tuple[Treated, ...]:
        if source is None or destination is None:
            return (Treated(regions.services.of_family(version), NOT_BETWEEN_TENANTS, Treatment()),)
        return treatments.of(source, destination, version)

    def _same_bank(self, one: Standing, other: Standing) -> bool:
        """Say whether the rules between two views are the same, so that nobody who stayed has to be asked."""
        if one.before is None or other.before is None:
            return True
        key = one.before.tenant, other.before.tenant
        if key not in self._same_banks:
            self._same_banks[key] = _rules_of(self.old, *key) == _rules_of(self.new, *key)
        return self._same_banks[key]


def _asked_in_view(tenant: TenantName) -> _Asked:
    """Ask about who is seen by address; endpoints of two tenants that last are asked about by name."""

    def asked(one: Standing, other: Standing) -> bool:
        before = [identity.tenant for identity in (one.before, other.before) if identity is not None]
        after = [identity.tenant for identity in (one.after, other.after) if identity is not None]
        if tenant not in (*before, *after):
            return False
        crosses = len(set(before)) > 1 and len(set(after)) > 1
        return not (crosses and one.lasting and other.lasting)

    return asked


def _asked_by_name(one: Standing, other: Standing) -> bool:
    del one, other
    return True


def _rectangles(by_source: dict[Standing, list[Standing]]) -> dict[tuple[Standing, ...], list[Standing]]:
    """Return sources that go to the same destinations together."""
    found: dict[tuple[Standing, ...], list[Standing]] = {}
    for one, others in by_source.items():
        found.setdefault(tuple(others), []).append(one)
    return found


def _rules_of(regions: Regions, source: TenantName, destination: TenantName) -> tuple[object, ...]:
    """Return all that verdict and treatment between two views follow from, beside who is who."""
    bank: Bank | None = regions.bank(source, destination)
    lines = [] if bank is None else [line for section in bank_sections(bank) for line in section]
    rules = {line.rule: regions.records[line.rule].rule for line in lines}
    settings = {name: rule and rule_settings(rule) for name, rule in rules.items()}
    tenants = regions.configuration.tenants
    agreed = [(t.exports, t.imports) for t in (tenants[source], tenants[destination])] if bank else []
    mirrors = [_placeless(mirror) for name in (source, destination) for mirror in tenants[name].mirrors]
    return bank, settings, mirrors, str(agreed)


def _placeless(mirror: MirrorRule) -> MirrorRule:
    return replace(mirror, location=_NOWHERE)


def _tiers(provider: Provider) -> tuple[Tier, ...]:
    """Return the provider's tiers without their places in the documents."""
    return tuple(
        replace(
            tier,
            location=_NOWHERE,
            rules=tuple(replace(rule, location=_NOWHERE) for rule in tier.rules),
        )
        for tier in (*provider.before, *provider.after)
    )


def _flip(was: bool) -> tuple[Action, Action]:
    return (Action.ALLOW, Action.DROP) if was else (Action.DROP, Action.ALLOW)
