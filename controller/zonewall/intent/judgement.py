"""Documents to banks: which rules judge a connection, in which order, and whom each is about."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType

from zonewall.intent.banks import (
    BETWEEN_TENANTS,
    EVERYBODY,
    Bank,
    Crowd,
    Line,
    Outcome,
    RuleRecord,
    Section,
)
from zonewall.intent.crowds import (
    View,
    agreed_identities,
    both,
    crowd,
    inside,
    named_zones,
)
from zonewall.intent.identity import Directory
from zonewall.intent.made_lines import MadeLines, MadeTier, tier_of
from zonewall.intent.monitoring import lines_under_mode, lines_watched
from zonewall.policy.model import Action, Configuration, Mode, Peer, Rule, Tenant, Tier
from zonewall.values.names import TenantName

_ACTION = attrgetter("action")
_OUTCOMES = {Action.ALLOW: Outcome.ALLOW, Action.DROP: Outcome.DROP, Action.REJECT: Outcome.REJECT}

_Tiers = tuple[tuple[Tenant | None, Tier], ...]
_Peers = tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class _Phase:
    """Tiers in a row, each with its author; where allows lead (None: allowed), and what nothing decided."""

    tiers: tuple[tuple[Tenant | None, Tier], ...]
    allow_leads_to: int | None = None
    misses_to: int | None = None


def build_banks(
    configuration: Configuration, directory: Directory, inactive: frozenset[str] = frozenset()
) -> dict[str, Bank]:
    """Return every bank by name: one for each tenant, one for each ordered pair that may have a way across.

    Args:
        configuration: the documents.
        directory: the identities made of them.
        inactive: rules by name that do not hold at the moment (hours, expiry).
    """
    return banks_and_lines(configuration, directory, inactive, {})[0]


def banks_and_lines(
    configuration: Configuration, directory: Directory, inactive: frozenset[str], before: MadeLines
) -> tuple[dict[str, Bank], MadeLines]:
    """Return what ``build_banks`` does, and the lines made of each rule, for the next time.

    ``before``: such lines, made with the very same directory, rules out of force and zones.
    """
    builder = _Builder(configuration, directory, inactive, before)
    banks = [builder.within(tenant) for tenant in configuration.tenants.values()]
    banks.extend(builder.between(*pair) for pair in linked_pairs(configuration))
    return {bank.name: bank for bank in banks}, builder.made


def bank_between(
    configuration: Configuration,
    directory: Directory,
    inactive: frozenset[str],
    source: TenantName,
    destination: TenantName,
) -> Bank | None:
    """Return the bank for a pair that nothing lets across; None where not even a provider rule names both."""
    tenants = configuration.tenants
    builder = _Builder(configuration, directory, inactive)
    if source not in tenants or destination not in tenants:
        return None
    if not builder.named_by_provider(tenants[source], tenants[destination]):
        return None
    return builder.between(source, destination)


def rule_records(
    configuration: Configuration, before: Mapping[str, RuleRecord] = MappingProxyType({})
) -> dict[str, RuleRecord]:
    """Return what is known of each rule, default and built-in, by its name; those of ``before`` that hold."""
    records = {BETWEEN_TENANTS: RuleRecord(BETWEEN_TENANTS, None, None)}
    for owner, tier in tiers_of(configuration):
        prefix = f"{owner}/{tier.name}/"
        for rule in tier.rules:
            name = prefix + rule.name
            known = before.get(name)
            same = known is not None and known.rule is rule
            records[name] = known if same and known else RuleRecord(name, rule.location, rule)
    for tenant in configuration.tenants.values():
        name = f"{tenant.name}/default"
        records[name] = RuleRecord(name, tenant.default_location, None)
    return records


def linked_pairs(configuration: Configuration) -> list[tuple[TenantName, TenantName]]:
    """Return the ordered pairs of tenants between which something could be allowed, sorted."""
    pairs: set[tuple[TenantName, TenantName]] = set()
    tenants = configuration.tenants
    for tenant in tenants.values():
        for one in tenant.imports:
            other = tenants.get(one.tenant)
            if other is not None and any(e.zone == one.zone and tenant.name in e.to for e in other.exports):
                pairs |= {(tenant.name, other.name), (other.name, tenant.name)}
    for tier in configuration.provider.before + configuration.provider.after:
        for rule in tier.rules:
            if rule.action is not Action.ALLOW:
                continue
            for pair in _named(tier, rule, tenants):
                pairs |= {pair, pair[::-1]}  # answers need the way back
    return sorted(pairs)


def refused_pairs(configuration: Configuration) -> list[tuple[TenantName, TenantName]]:
    """Return the ordered pairs of tenants that only rules name that let nothing across, sorted."""
    pairs: set[tuple[TenantName, TenantName]] = set()
    for tier in configuration.provider.before + configuration.provider.after:
        for rule in tier.rules:
            pairs.update(_named(tier, rule, configuration.tenants))
    return sorted(pairs.difference(linked_pairs(configuration)))


def _named(
    tier: Tier, rule: Rule, tenants: Mapping[TenantName, Tenant]
) -> Iterator[tuple[TenantName, TenantName]]:
    """Yield the pairs of tenants that a provider's rule names."""
    for source in _owners(rule.sources, tenants):
        for destination in _owners(rule.destinations, tenants):
            if source != destination and (tier.tenants is None or {source, destination} & set(tier.tenants)):
                yield source, destination


def _owners(peers: Sequence[Peer], tenants: Mapping[TenantName, Tenant]) -> set[TenantName]:
    owners: set[TenantName] = set()
    for peer in peers:
        if peer.tenant == "*":
            owners.update(tenants)
        elif peer.tenant is not None and peer.tenant in tenants:
            owners.add(peer.tenant)
    return owners


def tiers_of(configuration: Configuration) -> Iterator[tuple[str, Tier]]:
    """Yield every tier with its author's name, the provider's first."""
    for tier in configuration.provider.before + configuration.provider.after:
        yield "provider", tier
    for tenant in configuration.tenants.values():
        for tier in tenant.tiers:
            yield tenant.name, tier


class _Builder:
    """Makes banks of one configuration."""

    def __init__(
        self,
        configuration: Configuration,
        directory: Directory,
        inactive: frozenset[str],
        before: MadeLines = MappingProxyType({}),
    ) -> None:
        self._configuration = configuration
        self._directory = directory
        self._inactive = inactive
        self._before = before
        self.made: dict[Hashable, MadeTier] = {}
        self._crowds: dict[Hashable, Crowd] = {}

    def within(self, tenant: Tenant) -> Bank:
        """Return the bank for connections in one tenant's view."""
        own = _of(tenant)
        phases = [_Phase(self._provider(True, tenant.name) + own + self._provider(False, tenant.name))]
        name = f"{tenant.name}/default"
        monitored = tenant.mode is Mode.MONITOR
        default = Line(name, name, EVERYBODY, EVERYBODY, (), _OUTCOMES[tenant.default])
        end = lines_watched(self._directory, tenant, default, monitored)
        return Bank(tenant.name, tenant.name, self._sections(phases, tenant, tenant), tuple(end))

    def between(self, source_name: TenantName, destination_name: TenantName) -> Bank:
        """Return the bank for connections from one tenant's endpoints to another's."""
        source = self._configuration.tenants[source_name]
        destination = self._configuration.tenants[destination_name]
        before, after = (self._provider(first, source_name, destination_name) for first in (True, False))
        counts = [len(_groups(before)), len(_groups(_of(source))) or 1, len(_groups(_of(destination))) or 1]
        second, last = counts[0] + counts[1], sum(counts)
        phases = [
            _Phase(before),
            _Phase(_of(source), allow_leads_to=second, misses_to=last),
            _Phase(_of(destination), misses_to=last),
            _Phase(after),
        ]
        end = Line(BETWEEN_TENANTS, BETWEEN_TENANTS, EVERYBODY, EVERYBODY, (), Outcome.DROP)
        sections = self._sections(phases, source, destination)
        return Bank(source_name, destination_name, sections, (end,), last - 1)

    def _provider(self, before: bool, *ends: TenantName) -> _Tiers:
        provider = self._configuration.provider
        return tuple(
            (None, tier)
            for tier in (provider.before if before else provider.after)
            if tier.tenants is None or any(end in tier.tenants for end in ends)
        )

    def _sections(self, phases: list[_Phase], source: Tenant, destination: Tenant) -> tuple[Section, ...]:
        groups_of = [_sections_of(phase) for phase in phases]
        total = sum(len(groups) for groups in groups_of)
        sections: list[Section] = []
        for phase, groups in zip(phases, groups_of, strict=True):
            for place, group in enumerate(groups):
                here = len(sections)
                after = here + 1
                if place == len(groups) - 1 and phase.misses_to is not None:
                    after = phase.misses_to
                lines: list[Line] = []
                tiers: list[tuple[str, int]] = []
                for tier in group:
                    tiers.append((f"{tier[0].name if tier[0] else 'provider'}/{tier[1].name}", len(lines)))
                    lines += self._tier_lines(phase, tier, source, destination, after)
                sections.append(Section(tuple(lines), after if after < total else None, tuple(tiers)))
        return tuple(sections)

    def _tier_lines(
        self,
        phase: _Phase,
        place: tuple[Tenant | None, Tier],
        source: Tenant,
        destination: Tenant,
        after: int,
    ) -> list[Line]:
        """Return a tier's lines; within a tenant, those of rules that are as before are taken over."""
        reader, tier = place
        crossing = source is not destination
        context = (source.name, reader and (reader.name, reader.mode), tier.name, tier.mode, after)
        before = None if crossing else self._before.get(context)

        def lines_of(rule: Rule) -> tuple[Line, ...]:
            return tuple(self._lines(phase, place, rule, source, destination, after))

        made = tier_of(tier.rules, before, lines_of)
        if not crossing:
            self.made[context] = made
        return made.lines

    def _lines(
        self,
        phase: _Phase,
        place: tuple[Tenant | None, Tier],
        rule: Rule,
        source: Tenant,
        destination: Tenant,
        after: int,
    ) -> Iterator[Line]:
        reader, tier = place
        owner = reader.name if reader else "provider"
        name = f"{owner}/{tier.name}/{rule.name}"
        if name in self._inactive:
            return
        outcome, onward = Outcome.ONWARD, after
        if rule.action is not Action.PASS:
            outcome = _OUTCOMES[rule.action]
            if outcome is Outcome.ALLOW and phase.allow_leads_to is not None:
                outcome, onward = Outcome.ONWARD, phase.allow_leads_to
        crossing = source.name != destination.name
        from_view = View(reader, source, crossing)
        to_view = View(reader, destination, crossing)
        pairs = self._pairs(name, rule, from_view, to_view)
        if crossing:
            pairs = self._crossing_pairs(name, rule, from_view, to_view)
        for key, sources, destinations in pairs:
            if sources.nobody or destinations.nobody:
                continue
            line = Line(key, name, sources, destinations, rule.services, outcome, onward)
            if crossing:
                yield line
            else:
                yield from lines_under_mode(self._directory, reader, tier, rule, line)

    def _pairs(
        self, name: str, rule: Rule, from_view: View, to_view: View
    ) -> Iterator[tuple[str, Crowd, Crowd]]:
        for key, peers_from, peers_to in _pairings(name, rule):
            yield key, self._crowd(from_view, peers_from), self._crowd(to_view, peers_to)

    def _crowd(self, view: View, peers: _Peers) -> Crowd:
        """Return who peers are; thousands of rules name the same few."""
        asked = view.reader and view.reader.name, view.owner.name, view.crossing, peers
        known = self._crowds.get(asked)
        if known is None:
            known = self._crowds[asked] = crowd(self._directory, view, peers)
        return known

    def _crossing_pairs(
        self, name: str, rule: Rule, from_view: View, to_view: View
    ) -> Iterator[tuple[str, Crowd, Crowd]]:
        """Yield whom a rule is about between two tenants, as far as they agreed to see each other."""
        source, destination, reader = from_view.owner, to_view.owner, from_view.reader
        seen = agreed_identities(self._configuration, self._directory, source, destination)
        if reader is not None:
            for key, peers_from, peers_to in _pairings(name, rule):
                if rule.action is Action.ALLOW:
                    yield from self._allowed_by(key, peers_from, peers_to, from_view, to_view)
                else:
                    sources = crowd(self._directory, from_view, peers_from)
                    destinations = crowd(self._directory, to_view, peers_to)
                    yield f"{key}~from", both(sources, seen[0]), inside(destinations)
                    yield f"{key}~to", inside(sources), both(destinations, seen[1])
            return
        peers = rule.sources, tuple(peer for peer in rule.destinations if peer.kind != "self")
        if rule.action is Action.ALLOW:
            peers = tuple(p for p in peers[0] if p.tenant), tuple(p for p in peers[1] if p.tenant)
        sources = crowd(self._directory, from_view, peers[0])
        destinations = crowd(self._directory, to_view, peers[1])
        if rule.action is Action.ALLOW or self.named_by_provider(source, destination):
            yield name, sources, destinations
        else:
            yield f"{name}~from", both(sources, seen[0]), inside(destinations)
            yield f"{name}~to", inside(sources), both(destinations, seen[1])

    def _allowed_by(
        self, key: str, peers_from: _Peers, peers_to: _Peers, from_view: View, to_view: View
    ) -> Iterator[tuple[str, Crowd, Crowd]]:
        """Yield whom a tenant's rule allows: one of its peers must name the zone agreed on."""
        source, destination, reader = from_view.owner, to_view.owner, from_view.reader
        if reader is None:
            return
        own_is_source = reader.name == source.name
        exported, imported = named_zones(
            self._configuration, reader, destination if own_is_source else source
        )
        from_names, to_names = (exported, imported) if own_is_source else (imported, exported)
        named_from = tuple(peer for peer in peers_from if peer.zone in from_names)
        named_to = tuple(peer for peer in peers_to if peer.zone in to_names)
        sources = crowd(self._directory, from_view, peers_from)
        destinations = crowd(self._directory, to_view, peers_to)
        yield f"{key}~from", inside(crowd(self._directory, from_view, named_from)), inside(destinations)
        yield f"{key}~to", inside(sources), inside(crowd(self._directory, to_view, named_to))

    def named_by_provider(self, source: Tenant, destination: Tenant) -> bool:
        """Say whether a provider rule in force names both tenants."""
        for before in (True, False):
            for _, tier in self._provider(before, source.name, destination.name):
                for rule in tier.rules:
                    if (
                        f"provider/{tier.name}/{rule.name}" not in self._inactive
                        and _owners(rule.sources, {source.name: source})
                        and _owners(rule.destinations, {destination.name: destination})
                    ):
                        return True
        return False


def _pairings(name: str, rule: Rule) -> Iterator[tuple[str, _Peers, _Peers]]:
    """Yield a rule's two sides, and for ``self`` each of its ``from`` peers with itself."""
    plain = tuple(peer for peer in rule.destinations if peer.kind != "self")
    if plain:
        yield name, rule.sources, plain
    if len(plain) < len(rule.destinations):
        for peer in rule.sources:
            yield f"{name}#self:{peer.tenant or ''}/{peer.zone or peer.kind}", (peer,), (peer,)


def _of(tenant: Tenant) -> _Tiers:
    return tuple((tenant, tier) for tier in tenant.tiers)


def _sections_of(phase: _Phase) -> list[list[tuple[Tenant | None, Tier]]]:
    """Return the phase's runs of tiers; a tenant without tiers decides nothing, and never is skipped."""
    return _groups(phase.tiers) or ([] if phase.misses_to is None else [[]])


def _groups(tiers: _Tiers) -> list[list[tuple[Tenant | None, Tier]]]:
    """Return tiers in runs that one section can hold: only the last of a run may have a ``pass``."""
    groups: list[list[tuple[Tenant | None, Tier]]] = []
    open_group = False
    for reader, tier in tiers:
        if open_group:
            groups[-1].append((reader, tier))
        else:
            groups.append([(reader, tier)])
        open_group = Action.PASS not in map(_ACTION, tier.rules)
    return groups
