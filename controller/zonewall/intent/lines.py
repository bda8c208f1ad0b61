"""Banks as one bridge needs them: lines that an endpoint or uplink here can be an end of, by numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zonewall.intent.banks import Bank, Crowd, Line, Outcome
from zonewall.intent.chains import mirror_bits
from zonewall.intent.crowds import View, agreed_identities, both, crowd, is_outside_name
from zonewall.intent.fleet import Fleet, Policy, bank_sections, domain_name
from zonewall.intent.model import (
    BankIntent,
    CrowdIntent,
    LimitIntent,
    MirrorLine,
    Modifier,
    SectionIntent,
    TenantIntent,
    VerdictLine,
)
from zonewall.intent.numbering import Kind
from zonewall.placement.model import BridgeKey
from zonewall.policy.model import MirrorRule, Rule, Tenant

_VERDICTS = {Outcome.ALLOW: 1, Outcome.DROP: 2, Outcome.REJECT: 3, Outcome.ONWARD: 0}
_FIRST_PORT_METER, _LAST_METER = 40961, 65535
_IPV4, _IPV6 = 0x0800, 0x86DD


def bank_intents(fleet: Fleet, key: BridgeKey, tenants: tuple[TenantIntent, ...]) -> tuple[BankIntent, ...]:
    """Return the banks that connections on this bridge can be judged by."""
    policy = fleet.policy
    by_name = {tenant.name: tenant for tenant in tenants}
    result = []
    for name, bank in sorted(policy.banks.items()):
        ends = [by_name[end] for end in (bank.source, bank.destination) if end in by_name]
        if not ends or (bank.source != bank.destination and not any(end.locals for end in ends)):
            continue
        index = policy.number(Kind.BRIDGE_ON_HOST, key.bridge, scope=key.host)
        domain = policy.number(Kind.DOMAIN, domain_name(bank.source, bank.destination))
        reverse = f"{bank.destination}>{bank.source}" if bank.source != bank.destination else name
        source_here = _names_here(policy, by_name.get(bank.source))
        destination_here = _names_here(policy, by_name.get(bank.destination))
        narrow = _Narrowing(policy, source_here, destination_here)
        number = policy.number(Kind.BANK, name)
        result.append(
            BankIntent(
                number=number,
                name=name,
                reverse=policy.number(Kind.BANK, reverse) if reverse in policy.banks else number,
                zone=index << 12 | domain,
                families=_families(ends),
                sections=_sections(policy, bank, narrow),
                mirrors=tuple(_mirror_lines(policy, bank, narrow)),
            )
        )
    return tuple(result)


def modifiers_of(
    fleet: Fleet, key: BridgeKey, banks: tuple[BankIntent, ...], bits: Mapping[str, int]
) -> tuple[Modifier, ...]:
    """Return what the rules that can decide on this bridge ask beside allow."""
    policy = fleet.policy
    used = {
        line.rule
        for bank in banks
        for section in bank.sections
        for line in section.lines
        if line.verdict == 1
    }
    result = []
    taken: set[int] = set()
    for name, record in policy.records.items():
        rule = record.rule
        if rule is None or policy.number(Kind.RULE, name) not in used:
            continue
        mirror = 0
        for target in rule.mirror:
            mirror |= 1 << bits[target]
        chain = policy.number(Kind.CHAIN, name) if rule.through else 0
        limits = tuple(_limits(fleet, key, name, rule, taken))
        if mirror or chain or limits:
            result.append(Modifier(policy.number(Kind.RULE, name), mirror, chain, limits))
    return tuple(result)


def _limits(fleet: Fleet, key: BridgeKey, name: str, rule: Rule, taken: set[int]) -> Iterable[LimitIntent]:
    if rule.limit is None:
        return
    meter = fleet.policy.number(Kind.LIMIT, name)
    if not rule.limit.per_endpoint:
        yield LimitIntent(rule.limit, meter)
        return
    ports = sorted({binding.ofport for binding in fleet.here.get(key, ())})
    for port in ports:
        yield LimitIntent(rule.limit, _per_port_meter(meter, port, taken), port)


def _per_port_meter(meter: int, port: int, taken: set[int]) -> int:
    """Return the number of a port's own meter for a rule's limit: the same each time, unless it is taken."""
    number = (meter * 509 + port) % (_LAST_METER - _FIRST_PORT_METER)
    while _FIRST_PORT_METER + number in taken:
        number = (number + 1) % (_LAST_METER - _FIRST_PORT_METER)
    taken.add(_FIRST_PORT_METER + number)
    return _FIRST_PORT_METER + number


class _Narrowing:
    """Takes out of crowds who cannot be an end of a connection on this bridge."""

    def __init__(self, policy: Policy, source_here: frozenset[str], destination_here: frozenset[str]) -> None:
        self._policy = policy
        self._source_here = source_here
        self._destination_here = destination_here

    def ends(self, sources: Crowd, destinations: Crowd) -> tuple[CrowdIntent, CrowdIntent] | None:
        """Return both sides by number, None where neither has anybody here."""
        here = _touches(sources, self._source_here)
        there = _touches(destinations, self._destination_here)
        if not here and not there:
            return None
        if not there:
            sources = _only(sources, self._source_here)
        if not here:
            destinations = _only(destinations, self._destination_here)
        return self._numbers(sources), self._numbers(destinations)

    def _numbers(self, crowd_: Crowd) -> CrowdIntent:
        return CrowdIntent(
            crowd_.everybody,
            crowd_.inside,
            crowd_.outside,
            tuple(sorted(self._policy.identity(name) for name in crowd_.identities)),
        )


def _touches(crowd_: Crowd, here: frozenset[str]) -> bool:
    if crowd_.everybody:
        return bool(here)
    if not crowd_.identities.isdisjoint(here):
        return True
    return any((crowd_.outside if is_outside_name(name) else crowd_.inside) for name in here)


def _only(crowd_: Crowd, here: frozenset[str]) -> Crowd:
    """Narrow a list of identities to who is here; what is said in one flow stays as it is."""
    return Crowd(crowd_.everybody, crowd_.inside, crowd_.outside, crowd_.identities & here)


def _names_here(policy: Policy, tenant: TenantIntent | None) -> frozenset[str]:
    if tenant is None:
        return frozenset()
    names = {
        identity.name
        for endpoint in tenant.locals
        for identity in policy.directory.endpoints[endpoint.key].all
    }
    if tenant.uplinks:
        names.update(identity.name for _, identity in policy.directory.outside[tenant.name])
    return frozenset(names)


def _families(tenants: list[TenantIntent]) -> tuple[int, ...]:
    """Return the Ethernet types that a connection with an end on this bridge can have."""
    found: set[int] = set()
    for tenant in tenants:
        if len(tenant.uplinks) > 1:
            return (_IPV4, _IPV6)
        for endpoint in tenant.locals:
            found.update(_IPV4 if a.prefix.version == 4 else _IPV6 for a in endpoint.addresses)
    return tuple(sorted(found))


def _sections(policy: Policy, bank: Bank, narrow: _Narrowing) -> tuple[SectionIntent, ...]:
    last = len(bank.sections)
    sections = []
    for index, lines in enumerate(bank_sections(bank)):
        miss = None if index == last else bank.sections[index].miss
        if index < last and miss is None:
            miss = last
        sections.append(
            SectionIntent(
                tuple(
                    made
                    for line in lines
                    if (made := _verdict_line(policy, bank.name, index, line, narrow)) is not None
                ),
                miss,
            )
        )
    return tuple(sections)


def _verdict_line(
    policy: Policy, bank: str, index: int, line: Line, narrow: _Narrowing
) -> VerdictLine | None:
    ends = narrow.ends(line.sources, line.destinations)
    if ends is None:
        return None
    return VerdictLine(
        priority=policy.lines[bank, index, line.key],
        rule=policy.number(Kind.RULE, line.rule),
        verdict=_VERDICTS[line.outcome],
        sources=ends[0],
        destinations=ends[1],
        services=line.services,
        conjunction=policy.number(Kind.CONJUNCTION, f"{bank}/{index}/{line.key}"),
        onward=line.onward,
        monitored=line.monitored,
    )


def _mirror_lines(policy: Policy, bank: Bank, narrow: _Narrowing) -> Iterable[MirrorLine]:
    bits = mirror_bits(policy.configuration)
    tenants = policy.configuration.tenants
    source, destination = tenants[bank.source], tenants[bank.destination]
    readers = [source] if source is destination else [source, destination]
    for reader in readers:
        for mirror in reader.mirrors:
            for sources, destinations in _mirror_ends(policy, reader, mirror, source, destination):
                ends = narrow.ends(sources, destinations)
                if ends is None or sources.nobody or destinations.nobody:
                    continue
                mask = sum(1 << bits[target] for target in set(mirror.targets))
                yield MirrorLine(
                    ends[0],
                    ends[1],
                    mirror.services,
                    allowed=0 if mirror.when == "dropped" else mask,
                    dropped=0 if mirror.when == "allowed" else mask,
                    rule=0,
                )


def _mirror_ends(
    policy: Policy, reader: Tenant, mirror: MirrorRule, source: Tenant, destination: Tenant
) -> Iterable[tuple[Crowd, Crowd]]:
    crossing = source is not destination
    from_view, to_view = View(reader, source, crossing), View(reader, destination, crossing)
    plain = tuple(peer for peer in mirror.destinations if peer.kind != "self")
    pairings = [(mirror.sources, plain)] if plain else []
    if len(plain) < len(mirror.destinations):
        pairings += [((peer,), (peer,)) for peer in mirror.sources]
    seen = agreed_identities(policy.configuration, policy.directory, source, destination)
    for peers_from, peers_to in pairings:
        sources = crowd(policy.directory, from_view, peers_from)
        destinations = crowd(policy.directory, to_view, peers_to)
        if crossing:
            yield both(sources, seen[0]), destinations
            yield sources, both(destinations, seen[1])
        else:
            yield sources, destinations
