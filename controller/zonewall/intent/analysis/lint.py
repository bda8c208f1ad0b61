"""Lint: rules that do nothing, say the same or the contrary, or more than they need; each with a witness."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from zonewall.intent.analysis.ends import Ends, ends_of
from zonewall.intent.analysis.regions import intersection, protocols_of
from zonewall.intent.analysis.survey import RuleUse, Spot, Survey, fleeting_rules, survey
from zonewall.intent.analysis.witness import Witness
from zonewall.intent.banks import Bank, RuleRecord, peer_text
from zonewall.intent.identity import Directory, build_directory
from zonewall.intent.judgement import bank_between, build_banks, refused_pairs, rule_records
from zonewall.policy.findings import Location
from zonewall.policy.model import Action, Configuration, Peer, Rule
from zonewall.values.names import TenantName, ZoneName

SOON = timedelta(days=14)

MOST_REFUSED_PAIRS = 1_000
"""Pairs of tenants that lint looks between, though nothing passes there."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that a policy's author should look at.

    Attributes:
        code: ``shadowed``, ``redundant``, ``contradictory``, ``unneeded-part``, ``wide``, ``empty-zone``,
            ``expired``, ``expires-soon`` or ``incomplete``.
        subject: the rule (``tenant/tier/rule``) or zone (``tenant/zone``).
        other: the rule that decides instead or says otherwise.
        witness: a connection that shows it.
    """

    code: str
    subject: str
    location: Location
    message: str
    other: str | None = None
    witness: Witness | None = None

    def __str__(self) -> str:
        """Return ``file:line:column: code: message``, and the witness."""
        shown = f" [{self.witness}]" if self.witness else ""
        return f"{self.location}: {self.code}: {self.message}{shown}"


def lint(configuration: Configuration, at: datetime, soon: timedelta = SOON) -> tuple[Remark, ...]:
    """Return what should be looked at, in the documents' order; rules that have expired are left out."""
    directory = build_directory(configuration)
    ends = ends_of(configuration, directory, configuration.tenants)
    records = rule_records(configuration)
    expired = frozenset(name for name, record in records.items() if _ends_by(record.rule, at))
    banks = build_banks(configuration, directory, expired)
    refused = refused_pairs(configuration)
    banks |= _between(configuration, directory, expired, refused[:MOST_REFUSED_PAIRS])
    seen = survey(banks, ends, records, fleeting_rules(configuration, records))
    seen.complete &= len(refused) <= MOST_REFUSED_PAIRS
    linter = _Linter(configuration, directory, ends, records, seen, at)
    remarks = [*linter.rules(), *linter.conflicts(), *linter.empty_zones(), *_ending(records, at, soon)]
    if not seen.complete:
        message = (
            "there are more groups of ends than lint looks at; what is told is right, but more may be wrong"
        )
        remarks.append(Remark("incomplete", "configuration", Location(".", 1, 1), message))
    return tuple(sorted(remarks, key=lambda remark: (remark.location, remark.code, remark.message)))


def _between(
    configuration: Configuration,
    directory: Directory,
    expired: frozenset[str],
    pairs: Iterable[tuple[TenantName, TenantName]],
) -> dict[str, Bank]:
    """Return the banks of tenants between which nothing passes, though provider rules decide there, too."""
    found = (bank_between(configuration, directory, expired, *pair) for pair in pairs)
    return {bank.name: bank for bank in found if bank is not None}


def _joins_tenants(rule: Rule) -> bool:
    """Say whether a provider's rule is written about two tenants: that alone has their rules asked."""
    return all(any(peer.tenant for peer in peers) for peers in (rule.sources, rule.destinations))


def _ends_by(rule: Rule | None, at: datetime) -> bool:
    return rule is not None and rule.expires is not None and rule.expires <= at


def _ending(records: Mapping[str, RuleRecord], at: datetime, soon: timedelta) -> Iterator[Remark]:
    for name, record in records.items():
        rule = record.rule
        if rule is None or rule.expires is None:
            continue
        when = rule.expires.isoformat()
        if rule.expires <= at:
            yield Remark("expired", name, rule.location, f"{name} expired at {when}; remove it or renew it")
        elif rule.expires <= at + soon:
            message = f"{name} expires at {when}, within {soon.days} days; renew it if it is still needed"
            yield Remark("expires-soon", name, rule.location, message)


@dataclass(slots=True)
class _Linter:
    """Turns a survey into remarks."""

    configuration: Configuration
    directory: Directory
    ends: Mapping[TenantName, tuple[Ends, Ends]]
    records: Mapping[str, RuleRecord]
    seen: Survey
    at: datetime

    def rules(self) -> Iterator[Remark]:
        """Yield what is to be said of single rules."""
        for name, use in self.seen.rules.items():
            rule = self.records[name].rule
            if rule is None:
                continue
            if use.taken is None:
                if self.seen.complete or not _joins_tenants(rule):
                    yield from self._shadowed(name, rule, use)
                continue
            if not use.needed:
                yield from self._redundant(name, rule, use, use.taken)
                continue
            yield from self._unneeded(name, rule, use)
            yield from self._wide(name, rule, use)

    def conflicts(self) -> Iterator[Remark]:
        """Yield rules that decide the contrary of an earlier one about the same packets."""
        for (first, second), spot in self.seen.conflicts.items():
            rule = self.records[second].rule
            if rule is not None and self.seen.rules[second].taken is not None:
                message = (
                    f"{first} and {second} decide the contrary about the same packets; the first one wins"
                )
                yield self._remark("contradictory", second, rule, message, spot, first)

    def empty_zones(self) -> Iterator[Remark]:
        """Yield zones that nobody is in."""
        there = {name for sides in self.ends.values() for side in sides for name in side.examples}
        for tenant in self.configuration.tenants.values():
            for name, zone in tenant.zones.items():
                identities = self.directory.by_zone.get((tenant.name, name), ())
                if not any(identity.name in there for identity in identities):
                    message = (
                        f"nobody is in zone {name} of {tenant.name}: no endpoint, and no address outside"
                    )
                    yield Remark("empty-zone", f"{tenant.name}/{name}", zone.location, message)

    def _remark(
        self, code: str, name: str, rule: Rule, message: str, spot: Spot, other: str | None = None
    ) -> Remark:
        witness = spot.witness(self.configuration, self.at)
        return Remark(code, name, rule.location, message, other, witness)

    def _shadowed(self, name: str, rule: Rule, use: RuleUse) -> Iterator[Remark]:
        if use.matched is not None:
            message = f"{name} is never reached: what it is about is decided before, here by {use.blocker}"
            yield self._remark("shadowed", name, rule, message, use.matched, use.blocker)

    def _redundant(self, name: str, rule: Rule, use: RuleUse, spot: Spot) -> Iterator[Remark]:
        """Yield that a rule can go, unless one that is told to go as well would have to stand in for it."""
        if any(self.seen.rules[other].taken is None for other in use.successors) or _joins_tenants(rule):
            return
        others = " and ".join(sorted(use.successors)[:3])
        message = f"{name} changes nothing: without it, {others} would decide the same"
        yield self._remark("redundant", name, rule, message, spot, min(use.successors, default=None))

    def _unneeded(self, name: str, rule: Rule, use: RuleUse) -> Iterator[Remark]:
        """Yield peers and services of a rule that it never decides anything about."""
        for side, word, peers in ((0, "from", rule.sources), (1, "to", rule.destinations)):
            for peer in peers if len(peers) > 1 else ():
                who = self._identities(name, peer)
                if who & use.possible[side] and not who & use.used[side]:
                    text = peer_text(peer)
                    message = f"{name} decides nothing about {text} in `{word}`; leave it out"
                    yield Remark("unneeded-part", name, rule.location, message)
        protocols = protocols_of(rule.services)
        for term in rule.services if len(rule.services) > 1 else ():
            region = protocols.region((term,))
            if intersection(region, use.possible_services) and not intersection(region, use.services):
                message = f"{name} decides nothing about {term}; leave it out of `services`"
                yield Remark("unneeded-part", name, rule.location, message)

    def _identities(self, rule: str, peer: Peer) -> set[str]:
        """Return the identities in a zone that a rule names; of other words none."""
        owner = rule.partition("/")[0]
        if peer.zone is None or peer.tenant == "*":
            return set()
        key = (TenantName(str(peer.tenant or owner)), ZoneName(peer.zone))
        return {identity.name for identity in self.directory.by_zone.get(key, ())}

    def _wide(self, name: str, rule: Rule, use: RuleUse) -> Iterator[Remark]:
        if rule.action is Action.ALLOW and not rule.services and use.open_to is not None:
            message = f"{name} lets every service in from outside; name the services that are needed"
            yield self._remark("wide", name, rule, message, use.open_to)
