"""All verdicts of a configuration at once: for a pair of identities, which services end in which rule.

``intent.semantics`` answers one probe; this answers every probe between two identities, by the same banks
that the flows are compiled from, with sets of service classes, not one service. Tests hold both together.

How to use it::

    regions = Regions.of(configuration)
    for version, source, destination in regions.pairs(tenant, tenant):
        for decided in regions.judge(source, destination, version):
            decided.classes      # a set of service classes (an integer), see service_classes
            decided.decision     # verdict, rule, tier, what was passed on the way
            regions.witness(source, destination, version, decided.classes)   # a probe of it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from zonewall.intent.banks import BETWEEN_TENANTS, Bank, Crowd, Line, Outcome, RuleRecord
from zonewall.intent.ends import Ends
from zonewall.intent.identity import Directory, Identity, build_directory
from zonewall.intent.judgement import bank_between, build_banks, rule_records
from zonewall.intent.places import bank_sections
from zonewall.intent.semantics import Probe
from zonewall.intent.service_classes import ServiceClasses
from zonewall.policy.model import Action, Configuration
from zonewall.values.names import TenantName
from zonewall.values.services import ServiceTerm

_ACTIONS = {Outcome.ALLOW: Action.ALLOW, Outcome.DROP: Action.DROP, Outcome.REJECT: Action.REJECT}


@dataclass(frozen=True, slots=True)
class Decision:
    """How a connection ends, as ``semantics.Verdict`` says it.

    Attributes:
        rule: what decided, by name.
        monitored: the rule would have dropped or rejected, and is only watched.
        allowed_before: rules of the source's tenant that allowed it on the way to the destination's.
    """

    verdict: Action
    rule: str
    monitored: bool = False
    allowed_before: tuple[str, ...] = ()

    @property
    def tier(self) -> str:
        """Return the rule's tier, ``default`` or ``builtin``."""
        parts = self.rule.split("/")
        return parts[0] if parts[0] == "builtin" else parts[1]


@dataclass(frozen=True, slots=True)
class Decided:
    """Service classes that end in the same way."""

    classes: int
    decision: Decision


NOT_BETWEEN_TENANTS = Decision(Action.DROP, BETWEEN_TENANTS)


def terms_of(configuration: Configuration) -> frozenset[ServiceTerm]:
    """Return every service that a rule, mirror or assertion of the configuration names."""
    tiers = [*configuration.provider.before, *configuration.provider.after]
    found: set[ServiceTerm] = set()
    for tenant in configuration.tenants.values():
        tiers.extend(tenant.tiers)
        found.update(term for mirror in tenant.mirrors for term in mirror.services)
        found.update(term for assertion in tenant.assertions for term in assertion.services)
    for tier in tiers:
        for rule in tier.rules:
            found.update(rule.services)
    return frozenset(found)


@dataclass(frozen=True)
class Regions:
    """A configuration at a moment, ready to be asked about whole sets of services."""

    configuration: Configuration
    inactive: frozenset[str]
    directory: Directory
    banks: dict[str, Bank]
    records: dict[str, RuleRecord]
    services: ServiceClasses
    ends: Ends

    @staticmethod
    def of(
        configuration: Configuration,
        inactive: frozenset[str] = frozenset(),
        terms: Iterable[ServiceTerm] = (),
    ) -> Regions:
        """Return the regions of a configuration.

        Args:
            configuration: the documents.
            inactive: rules by name that do not hold at the moment (``schedule.inactive_rules``).
            terms: more services to tell apart: another configuration's, or those of a question.
        """
        directory = build_directory(configuration)
        return Regions(
            configuration,
            inactive,
            directory,
            build_banks(configuration, directory, inactive),
            rule_records(configuration),
            ServiceClasses.of({*terms_of(configuration), *terms}),
            Ends.of(configuration, directory),
        )

    def pairs(self, source: TenantName, destination: TenantName) -> Iterator[tuple[int, Identity, Identity]]:
        """Yield (IP version, source, destination) of all that can meet; between tenants, endpoints only."""
        crossing = source != destination
        for one in self.ends.of_tenant.get(source, ()):
            for other in self.ends.of_tenant.get(destination, ()):
                if crossing and (one.outside or other.outside):
                    continue
                for version in sorted(self.ends.families(one) & self.ends.families(other)):
                    yield version, one, other

    def judge(self, source: Identity, destination: Identity, version: int) -> tuple[Decided, ...]:
        """Return how every service of an IP version ends between two identities; the sets are disjoint."""
        indexed = self._indexed_bank(source.tenant, destination.tenant)
        everything = self.services.of_family(version)
        if indexed is None:
            return (Decided(everything, NOT_BETWEEN_TENANTS),)
        return tuple(indexed.judge(source, destination, everything))

    def witness(self, source: Identity, destination: Identity, version: int, classes: int) -> Probe | None:
        """Return a probe between the two with a service of the set; None where there is none."""
        pair = self.ends.pair(source, destination, version)
        sample = next((one.sample for one in self.services.members(classes)), None)
        if pair is None or sample is None:
            return None
        one, other = pair
        return Probe(
            source=one.word,
            destination=other.word,
            protocol=sample.protocol,
            tenant=source.tenant,
            source_port=sample.sport,
            destination_port=sample.dport,
            icmp=sample.icmp,
            source_ip=None if one.endpoint is None else one.address,
            destination_ip=None if other.endpoint is None else other.address,
        )

    def bank(self, source: TenantName, destination: TenantName) -> Bank | None:
        """Return the rules between two views; None where no rule is asked, and nothing passes."""
        indexed = self._indexed_bank(source, destination)
        return None if indexed is None else indexed.bank

    def _indexed_bank(self, source: TenantName, destination: TenantName) -> IndexedBank | None:
        """Return the bank of a pair; what only drops between two tenants has none among the compiled ones."""
        key = source, destination
        if key not in self._indexed:
            bank = self.banks.get(source if source == destination else f"{source}>{destination}")
            if bank is None and source != destination:
                bank = bank_between(self.configuration, self.directory, self.inactive, source, destination)
            self._indexed[key] = None if bank is None else IndexedBank(bank, self.records, self.services)
        return self._indexed[key]

    @cached_property
    def _indexed(self) -> dict[tuple[TenantName, TenantName], IndexedBank | None]:
        return {}


class IndexedBank:
    """A bank whose lines are found by identity: bit ``n`` of a number is line ``n`` of a section."""

    def __init__(self, bank: Bank, records: dict[str, RuleRecord], services: ServiceClasses) -> None:
        """Turn the lines' services into sets of classes."""
        self.bank = bank
        self._sections = bank_sections(bank)
        self._last = len(bank.sections)
        self._masks = [[services.mask(line.services) for line in lines] for lines in self._sections]
        self._allows = {
            name
            for name, record in records.items()
            if record.rule is not None and record.rule.action is Action.ALLOW
        }
        self._from = _Finder([[line.sources for line in lines] for lines in self._sections])
        self._to = _Finder([[line.destinations for line in lines] for lines in self._sections])

    def judge(self, source: Identity, destination: Identity, classes: int) -> Iterator[Decided]:
        """Yield how the classes end; each kind of ending once."""
        found: dict[Decision, int] = {}
        waiting: dict[tuple[int, tuple[str, ...]], int] = {(0, ()): classes}
        sources, others = self._from.lines(source), self._to.lines(destination)
        while waiting:
            section, allowed = min(waiting)
            remaining = waiting.pop((section, allowed))
            for place in _ones(sources[section] & others[section]):
                hit = remaining & self._masks[section][place]
                if not hit:
                    continue
                remaining ^= hit
                self._take(self._sections[section][place], hit, allowed, found, waiting)
                if not remaining:
                    break
            if remaining:
                miss = self.bank.sections[section].miss
                key = (self._last if miss is None else miss, allowed)
                waiting[key] = waiting.get(key, 0) | remaining
        for decision, decided in found.items():
            yield Decided(decided, decision)

    def _take(
        self,
        line: Line,
        hit: int,
        allowed: tuple[str, ...],
        found: dict[Decision, int],
        waiting: dict[tuple[int, tuple[str, ...]], int],
    ) -> None:
        """Note what a line does with the classes that it matches first."""
        if line.outcome is Outcome.ONWARD:
            key = (line.onward, (*allowed, line.rule) if line.rule in self._allows else allowed)
            waiting[key] = waiting.get(key, 0) | hit
            return
        verdict = _ACTIONS[line.outcome]
        way = allowed if line.rule.startswith(f"{self.bank.destination}/") else ()
        if verdict is not Action.ALLOW:
            way = ()
        decision = Decision(verdict, line.rule, line.monitored, way)
        found[decision] = found.get(decision, 0) | hit


class _Finder:
    """Finds the lines of each section by one side's identity."""

    def __init__(self, crowds: list[list[Crowd]]) -> None:
        self._crowds = crowds
        self._known: dict[Identity, list[int]] = {}

    def lines(self, identity: Identity) -> list[int]:
        known = self._known.get(identity)
        if known is None:
            name, outside = identity.name, identity.outside
            known = self._known[identity] = [
                sum(1 << place for place, crowd in enumerate(section) if _is_in(crowd, name, outside))
                for section in self._crowds
            ]
        return known


def is_in(crowd: Crowd, identity: Identity) -> bool:
    """Say whether an identity is in a crowd."""
    return _is_in(crowd, identity.name, identity.outside)


def _is_in(crowd: Crowd, name: str, outside: bool) -> bool:
    return crowd.everybody or (crowd.outside if outside else crowd.inside) or name in crowd.identities


def _ones(bits: int) -> Iterator[int]:
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
