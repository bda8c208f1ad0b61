"""Assertions: tests of a policy that live beside it. Each that does not hold is told with a witness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from zonewall.intent.analysis.ends import Ends, Example, ends_of
from zonewall.intent.analysis.moments import moments
from zonewall.intent.analysis.regions import Region
from zonewall.intent.analysis.walk import BankWalk, walk_of
from zonewall.intent.analysis.witness import Witness, find_packet, witness_of
from zonewall.intent.banks import Bank, Crowd, Line, RuleRecord
from zonewall.intent.crowds import View, agreed_identities, crowd, is_outside_name
from zonewall.intent.identity import Directory, build_directory
from zonewall.intent.judgement import build_banks, linked_pairs, rule_records
from zonewall.intent.schedule import inactive_rules
from zonewall.policy.findings import Finding, Severity
from zonewall.policy.inventory import Inventory
from zonewall.policy.model import Action, Assertion, Configuration, Peer, Tenant
from zonewall.values.names import TenantName

_Groups = tuple[list[str], list[str], bool]
"""Sources, destinations, and whether of what is between them only what is let through counts."""


@dataclass(frozen=True, slots=True)
class Broken:
    """An assertion that does not hold, and a connection that shows it."""

    tenant: TenantName
    assertion: Assertion
    witness: Witness

    @property
    def finding(self) -> Finding:
        """Return it as an error of the configuration."""
        said = f"{self.assertion.quantifier}: {self.assertion.verdict.value}"
        message = f"this assertion ({said}) does not hold: {self.witness}"
        return Finding(Severity.ERROR, "broken-assertion", self.assertion.location, message)


def broken_assertions(configuration: Configuration, at: datetime) -> tuple[Broken, ...]:
    """Return the assertions that do not hold at ``at`` or at any later moment at which rules come or go.

    An assertion is about what rules decide: a drop that monitor mode only watches counts as a drop.
    """
    asked = _concerned(configuration)
    found: dict[int, Broken] = {}
    if not any(tenant.assertions for tenant in asked.tenants.values()):
        return ()
    directory = build_directory(asked)
    ends = ends_of(asked, directory, asked.tenants)
    records = rule_records(asked)
    seen: set[frozenset[str]] = set()
    for moment in moments(asked, at):
        inactive = inactive_rules(asked, moment)
        if inactive in seen:
            continue
        seen.add(inactive)
        banks = build_banks(asked, directory, inactive)
        judge = _Judge(asked, directory, ends, records, banks, moment)
        for tenant in asked.tenants.values():
            for assertion in tenant.assertions:
                if id(assertion) not in found:
                    for broken in judge.breaches(tenant, assertion):
                        found[id(assertion)] = broken
                        break
    return tuple(sorted(found.values(), key=lambda broken: broken.assertion.location))


def assertion_findings(configuration: Configuration, at: datetime) -> tuple[Finding, ...]:
    """Return a finding for each assertion that does not hold."""
    return tuple(broken.finding for broken in broken_assertions(configuration, at))


def _concerned(configuration: Configuration) -> Configuration:
    """Return what assertions can be about: tenants that have some, and those they are linked with."""
    tenants = {name for name, tenant in configuration.tenants.items() if tenant.assertions}
    if not tenants:
        return replace(configuration, tenants={})
    tenants |= {one for pair in linked_pairs(configuration) if tenants & set(pair) for one in pair}
    inventory = configuration.inventory
    endpoints = {key: one for key, one in inventory.endpoints.items() if one.tenant in tenants}
    kept = Inventory(inventory.hosts, endpoints, inventory.mirror_targets, inventory.service_functions)
    named = {name: tenant for name, tenant in configuration.tenants.items() if name in tenants}
    return replace(configuration, inventory=kept, tenants=named)


@dataclass(slots=True)
class _Judge:
    """Everything of one moment."""

    configuration: Configuration
    directory: Directory
    ends: Mapping[TenantName, tuple[Ends, Ends]]
    records: Mapping[str, RuleRecord]
    banks: Mapping[str, Bank]
    moment: datetime

    def breaches(self, tenant: Tenant, assertion: Assertion) -> Iterator[Broken]:
        """Yield what breaks an assertion, a connection for each group of ends and rule."""
        for bank in self.banks.values():
            if tenant.name not in (bank.source, bank.destination):
                continue
            walk = walk_of(bank, assertion.services)
            asked = walk.protocols.region(assertion.services)
            for sources, destinations, only_ways_in in self._groups(tenant, assertion, walk):
                mask = walk.mask(0, sources[0]) & walk.mask(1, destinations[0])
                for decision in walk.decisions(mask, asked):
                    outcome = self._outcome(walk.lines[decision.place])
                    if (outcome is assertion.verdict) is (assertion.quantifier == "always"):
                        continue
                    if only_ways_in and outcome is not Action.ALLOW:
                        continue
                    witness = self._witness(tenant, walk, sources, destinations, decision.region)
                    if witness is not None:
                        yield Broken(tenant.name, assertion, witness)

    def _outcome(self, line: Line) -> Action:
        """Return what a line decides, were nothing merely watched."""
        rule = self.records[line.rule].rule
        if rule is not None:
            return rule.action
        owner, _, word = line.rule.partition("/")
        tenant = self.configuration.tenants.get(TenantName(owner))
        return tenant.default if word == "default" and tenant is not None else Action.DROP

    def _groups(self, tenant: Tenant, assertion: Assertion, walk: BankWalk) -> Iterator[_Groups]:
        """Yield whom an assertion is about on both sides, those identities together that no line tells apart.

        Without an agreement only a ``never`` sees another tenant's ends, by ``any`` and ``external``, and
        only what is let across: no way in stays unseen.
        """
        bank = walk.bank
        owners = [self.configuration.tenants[name] for name in (bank.source, bank.destination)]
        crossing = bank.source != bank.destination
        agreed = (frozenset[str](), frozenset[str]())
        if crossing:
            agreed = agreed_identities(self.configuration, self.directory, owners[0], owners[1])
        for peers in _pairings(assertion):
            sides: list[dict[tuple[int, bool, bool], list[str]]] = []
            for side, owner in enumerate(owners):
                view = View(tenant, owner, crossing)
                who = crowd(self.directory, view, peers[side])
                words = who
                if crossing and owner is not tenant:
                    words = crowd(self.directory, view, (p for p in peers[side] if p.kind != "zone"))
                groups: dict[tuple[int, bool, bool], list[str]] = {}
                for identity in self._identities(bank, side):
                    if is_in(who, identity):
                        told = (identity in agreed[side], is_in(words, identity))
                        groups.setdefault((walk.mask(side, identity), *told), []).append(identity)
                sides.append(groups)
            for (_, from_agreed, from_word), sources in sides[0].items():
                for (_, to_agreed, to_word), destinations in sides[1].items():
                    unseen = assertion.quantifier == "never" and from_word and to_word
                    agrees = not crossing or from_agreed or to_agreed
                    if agrees or unseen:
                        yield sources, destinations, not agrees

    def _identities(self, bank: Bank, side: int) -> Mapping[str, Mapping[int, list[Example]]]:
        """Return who can be at a side of a bank: between tenants nobody outside."""
        owner = bank.source if side == 0 else bank.destination
        return self.ends[owner][int(bank.source == bank.destination)].examples

    def _witness(
        self, tenant: Tenant, walk: BankWalk, sources: list[str], destinations: list[str], region: Region
    ) -> Witness | None:
        """Return a connection in the region between two ends of the groups."""
        sides = self._identities(walk.bank, 0), self._identities(walk.bank, 1)
        found = find_packet(walk.protocols, region, sides, (sources, destinations))
        if found is None:
            return None
        return witness_of(self.configuration, tenant.name, *found, self.moment)


def _pairings(assertion: Assertion) -> Iterator[tuple[tuple[Peer, ...], tuple[Peer, ...]]]:
    """Yield both sides; ``self`` is each ``from`` peer with itself."""
    plain = tuple(peer for peer in assertion.destinations if peer.kind != "self")
    if plain:
        yield assertion.sources, plain
    if len(plain) < len(assertion.destinations):
        for peer in assertion.sources:
            yield (peer,), (peer,)


def is_in(who: Crowd, identity: str) -> bool:
    """Say whether an identity is in a crowd."""
    whole = who.outside if is_outside_name(identity) else who.inside
    return who.everybody or whole or identity in who.identities
