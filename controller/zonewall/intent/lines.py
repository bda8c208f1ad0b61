"""Banks as one bridge needs them: lines that an endpoint or uplink here can be an end of, by numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from zonewall.intent.banks import Bank, Crowd, Line, Outcome
from zonewall.intent.blocks import Block, blocks_of
from zonewall.intent.crowds import View, is_outside_name, mirror_crowds
from zonewall.intent.fleet import Fleet
from zonewall.intent.here import Locals
from zonewall.intent.mirrors import outlet_bits
from zonewall.intent.model import BankFrame, CrowdIntent, LimitIntent, MirrorLine, Modifier, VerdictLine
from zonewall.intent.numbering import Kind
from zonewall.intent.places import PlacedLine
from zonewall.intent.policy import Policy, domain_name
from zonewall.intent.rule_limits import PortMeters, touches
from zonewall.intent.ways import chain_name
from zonewall.placement.model import BridgeKey
from zonewall.values.names import TenantName

_VERDICTS = {Outcome.ALLOW: 1, Outcome.DROP: 2, Outcome.REJECT: 3, Outcome.ONWARD: 0}
_IPV4, _IPV6 = 0x0800, 0x86DD
_VERSIONS = {_IPV4: 4, _IPV6: 6}
_BOTH = frozenset({4, 6})


@dataclass(frozen=True, slots=True)
class BankHere:
    """A bank on a bridge, its lines not yet looked at.

    Attributes:
        sources: names of the identities here that can be its connections' first end.
        destinations: the same of the other end.
    """

    bank: Bank
    frame: BankFrame
    sources: frozenset[str]
    destinations: frozenset[str]

    def concerns(self, line: Line) -> bool:
        """Say whether a connection with an end here can match the line."""
        return touches(line.sources, self.sources) or touches(line.destinations, self.destinations)

    def same_as(self, other: BankHere) -> bool:
        """Say whether two are the same bank with the same ends here."""
        return (
            self.bank is other.bank
            and self.sources == other.sources
            and self.destinations == other.destinations
            and self.frame == other.frame
        )

    def rejects(self, policy: Policy) -> bool:
        """Say whether a line that concerns this bridge rejects."""
        return any(self.concerns(line) for line in policy.rejecting.get(self.bank.name, ()))


def banks_on(fleet: Fleet, key: BridgeKey, here: Mapping[TenantName, Locals]) -> list[BankHere]:
    """Return the banks that connections on this bridge can be judged by, sorted by name."""
    found = (bank_here(fleet, key, bank, here) for _, bank in sorted(fleet.policy.banks.items()))
    return [bank for bank in found if bank is not None]


def bank_here(fleet: Fleet, key: BridgeKey, bank: Bank, here: Mapping[TenantName, Locals]) -> BankHere | None:
    """Return a bank as it is on this bridge, None where no connection here can be judged by it."""
    policy = fleet.policy
    ends = [end for end in dict.fromkeys((bank.source, bank.destination)) if end in here]
    crossing = bank.source != bank.destination
    if not ends or (crossing and not any(here[end].count for end in ends)):
        return None
    index = policy.number(Kind.BRIDGE_ON_HOST, key.bridge, scope=key.host)
    domain = policy.number(Kind.DOMAIN, domain_name(bank.source, bank.destination))
    reverse = f"{bank.destination}>{bank.source}" if crossing else bank.name
    number = policy.number(Kind.BANK, bank.name)
    sources = _names_here(fleet, key, bank.source, here)
    destinations = _names_here(fleet, key, bank.destination, here)
    last = len(bank.sections)
    misses = tuple(last if section.miss is None else section.miss for section in bank.sections)
    frame = BankFrame(
        number=number,
        name=bank.name,
        reverse=policy.number(Kind.BANK, reverse) if reverse in policy.banks else number,
        zone=index << 12 | domain,
        families=_families(fleet, key, [(end, here[end]) for end in ends]),
        misses=(*misses, None),
        mirrors=tuple(_mirror_lines(policy, bank, sources, destinations)),
    )
    return BankHere(bank, frame, sources, destinations)


def verdict_lines(policy: Policy, here: BankHere) -> tuple[tuple[VerdictLine, ...], ...]:
    """Return each section's lines that concern this bridge."""
    return tuple(
        tuple(made for placed in section if (made := verdict_line(policy, here, placed)) is not None)
        for section in policy.placed[here.bank.name]
    )


def modifiers_of(fleet: Fleet, key: BridgeKey, banks: Iterable[BankHere]) -> tuple[Modifier, ...]:
    """Return what the rules that can decide on this bridge ask beside allow."""
    policy = fleet.policy
    if not policy.modified:
        return ()
    bits = outlet_bits(policy.configuration)
    result = []
    meters = PortMeters(fleet, key)
    here = {bank.bank.name: bank for bank in banks}
    for name, rule in policy.modified:
        allowing = [
            (here[bank].bank.source, line)
            for bank, line in policy.allowing.get(name, ())
            if bank in here and here[bank].concerns(line)
        ]
        if not allowing:
            continue
        mirror = 0
        for target in rule.mirror:
            mirror |= 1 << bits[target, None]
        chain = policy.number(Kind.CHAIN, chain_name(rule.through)) if rule.through else 0
        limits: tuple[LimitIntent, ...] = ()
        if rule.limit is not None:
            meter = policy.number(Kind.LIMIT, name)
            limits = (LimitIntent(rule.limit, meter),)
            if rule.limit.per_endpoint:
                limits = tuple(meters.of(rule.limit, meter, allowing))
        logged = rule.log == "connections"
        if mirror or chain or limits or logged:
            result.append(Modifier(policy.number(Kind.RULE, name), mirror, chain, limits, logged))
    return tuple(result)


def _ends(
    policy: Policy,
    sources: Crowd,
    destinations: Crowd,
    source_here: frozenset[str],
    destination_here: frozenset[str],
) -> tuple[CrowdIntent, CrowdIntent] | None:
    """Return both sides by number, less who cannot be an end here; None where neither has anybody here."""
    here = touches(sources, source_here)
    there = touches(destinations, destination_here)
    if not here and not there:
        return None
    if not there:
        sources = _only(sources, source_here)
    if not here:
        destinations = _only(destinations, destination_here)
    return _numbers(policy, sources), _numbers(policy, destinations)


def _numbers(policy: Policy, crowd_: Crowd) -> CrowdIntent:
    known = policy.identities
    inside = tuple(sorted([known[name] for name in crowd_.identities if not is_outside_name(name)]))
    return CrowdIntent(
        crowd_.everybody, crowd_.inside, crowd_.outside, inside, _blocks(policy, crowd_.identities)
    )


def _blocks(policy: Policy, names: frozenset[str]) -> tuple[Block, ...]:
    """Return the outside ones among identities, all of one tenant, as blocks of numbers."""
    outside = [name for name in names if is_outside_name(name)]
    if not outside:
        return ()
    wanted = {policy.identities[name] for name in outside}
    tenant = TenantName(outside[0].partition("!{")[0])
    others = tuple(number for number in policy.outside_numbers[tenant] if number not in wanted)
    return blocks_of(tuple(sorted(wanted)), others)


def _only(crowd_: Crowd, here: frozenset[str]) -> Crowd:
    """Narrow a list of identities to who is here; what is said in one flow stays as it is."""
    return Crowd(crowd_.everybody, crowd_.inside, crowd_.outside, crowd_.identities & here)


def _names_here(
    fleet: Fleet, key: BridgeKey, tenant: TenantName, here: Mapping[TenantName, Locals]
) -> frozenset[str]:
    if tenant not in here:
        return frozenset()
    names = frozenset(here[tenant].identities)
    if key in fleet.declared.uplinks.get(tenant, ()):
        return names | {identity.name for _, identity in fleet.policy.directory.outside[tenant]}
    return names


def _families(fleet: Fleet, key: BridgeKey, ends: list[tuple[TenantName, Locals]]) -> tuple[int, ...]:
    """Return the Ethernet types that a connection with an end on this bridge can have."""
    found: set[int] = set()
    for tenant, here in ends:
        if fleet.uplinks_on(tenant, key) > 1:
            return (_IPV4, _IPV6)
        found.update(_IPV4 if version == 4 else _IPV6 for version in here.versions)
    return tuple(sorted(found))


def verdict_line(policy: Policy, here: BankHere, placed: PlacedLine) -> VerdictLine | None:
    """Return a line as this bridge needs it, None where it does not concern it."""
    line = placed.line
    ends = _ends(policy, line.sources, line.destinations, here.sources, here.destinations)
    if ends is None:
        return None
    return VerdictLine(
        priority=placed.priority,
        rule=placed.rule,
        verdict=_VERDICTS[line.outcome],
        sources=ends[0],
        destinations=ends[1],
        services=line.services,
        conjunction=placed.conjunction,
        onward=line.onward,
        monitored=line.monitored,
        outlives=line.outlives,
        ends_at=placed.ends_at,
        families=_families_between(policy, here.frame.families, line),
    )


def _families_between(policy: Policy, families: tuple[int, ...], line: Line) -> tuple[int, ...]:
    """Return which of the families a connection can have: outside prefixes are of one."""
    for crowd_ in (line.sources, line.destinations):
        if not (crowd_.everybody or crowd_.inside or crowd_.outside):
            versions: set[int] = set()
            for name in crowd_.identities:
                versions |= policy.outside_versions.get(name, _BOTH)
                if len(versions) == len(_BOTH):
                    break
            families = tuple(family for family in families if _VERSIONS[family] in versions)
    return families


def _mirror_lines(
    policy: Policy, bank: Bank, source_here: frozenset[str], destination_here: frozenset[str]
) -> Iterable[MirrorLine]:
    tenants = policy.configuration.tenants
    source, destination = tenants[bank.source], tenants[bank.destination]
    crossing = source is not destination
    readers = [source, destination] if crossing else [source]
    if not any(reader.mirrors for reader in readers):
        return
    bits = outlet_bits(policy.configuration, bank.source, bank.destination)
    for reader in readers:
        for mirror in reader.mirrors:
            views = View(reader, source, crossing), View(reader, destination, crossing)
            for sources, destinations in mirror_crowds(policy.configuration, policy.directory, mirror, views):
                ends = _ends(policy, sources, destinations, source_here, destination_here)
                if ends is None or sources.nobody or destinations.nobody:
                    continue
                mask = sum(1 << bits[target, mirror.truncate] for target in set(mirror.targets))
                yield MirrorLine(
                    ends[0],
                    ends[1],
                    mirror.services,
                    allowed=0 if mirror.when == "dropped" else mask,
                    dropped=0 if mirror.when == "allowed" else mask,
                    rule=0,
                    sample=min(mirror.sample, 1 << 16),
                )
