"""What follows from the configuration alone, worked out once for all bridges: identities, banks, numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from zonewall.intent.banks import Bank, Line, Outcome, RuleRecord
from zonewall.intent.blocks import FEW, layout
from zonewall.intent.identity import Directory, build_directory
from zonewall.intent.judgement import banks_and_lines, linked_pairs
from zonewall.intent.made_lines import MadeLines
from zonewall.intent.model import EVERY_JOINED, Address
from zonewall.intent.numbering import Kind, Numbering, NumberingBuilder
from zonewall.intent.passing import NOTHING_PASSES, Passing
from zonewall.intent.places import PlacedLine, bank_sections, place_lines
from zonewall.intent.records import Records, records_of
from zonewall.intent.ways import chains_of, number_chain
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Configuration, Rule
from zonewall.policy.visibility import hidden_from
from zonewall.values.addresses import IpPrefix, MacAddress, host_prefix
from zonewall.values.limits import Limit
from zonewall.values.names import EndpointKey, TenantName
from zonewall.values.sameness import having

_OUTCOME = attrgetter("outcome")


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """An endpoint wherever it is.

    Attributes:
        addresses: what it may send from, with identity numbers.
        link_local: identity of its link-local address.
        identities: names of every identity that it can have.
        versions: the IP versions of its addresses.
        hidden_from: numbers of joined tenants that cannot reach it.
        unseen_by: the same, as of ``LocalEndpoint``.
        claims, learns, unaddressed: as of ``LocalEndpoint``.
    """

    key: EndpointKey
    tenant: TenantName
    number: int
    mac: MacAddress
    addresses: tuple[Address, ...]
    link_local: int
    roles: frozenset[str]
    identities: frozenset[str]
    versions: frozenset[int]
    claims: tuple[IpPrefix, ...] = ()
    learns: bool = False
    unaddressed: bool = False
    limit: Limit | None = None
    hidden_from: frozenset[int] = frozenset()
    unseen_by: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """All that depends on the configuration (and the rules that hold at the moment), not on placement.

    Attributes:
        placed: the lines of each bank's sections, those of its end last.
        endpoints: every endpoint with its numbers.
        beyond: for each tenant, the banks of its connections to other tenants' endpoints.
        banks_of: for each tenant, the banks that it is either end of.
        outside: each tenant's longest-prefix table of outside addresses, by identity numbers.
        modified: rules that ask for more than a verdict, by name, in the documents' order.
        identities: number of each identity by its name.
        outside_versions: the IP versions of the outside prefixes that have an identity, by its name.
        outside_numbers: every number that an outside identity of a tenant has or had, sorted.
        bridges: fabric destination of each bridge.
        limits_ports: a rule limits each endpoint for itself.
        allowing: the lines, each with its bank's name, by which such a rule allows.
        rejecting: each bank's lines that reject.
        inactive: rules that do not hold at the moment.
        made_lines: what the next ``prepare`` may take over.
        passing: what of it ends by itself.
    """

    configuration: Configuration
    directory: Directory
    banks: Mapping[str, Bank]
    records: Mapping[str, RuleRecord]
    numbering: Numbering
    placed: Mapping[str, tuple[tuple[PlacedLine, ...], ...]]
    endpoints: Mapping[EndpointKey, EndpointFacts]
    beyond: Mapping[TenantName, tuple[Bank, ...]]
    banks_of: Mapping[TenantName, tuple[Bank, ...]]
    outside: Mapping[TenantName, tuple[tuple[IpPrefix, int], ...]]
    modified: tuple[tuple[str, Rule], ...]
    identities: Mapping[str, int]
    outside_versions: Mapping[str, frozenset[int]]
    outside_numbers: Mapping[TenantName, tuple[int, ...]]
    bridges: Mapping[BridgeKey, int]
    limits_ports: bool
    allowing: Mapping[str, tuple[tuple[str, Line], ...]]
    rejecting: Mapping[str, tuple[Line, ...]]
    inactive: frozenset[str]
    made_lines: MadeLines
    passing: Passing = NOTHING_PASSES

    def number(self, kind: Kind, name: str, scope: str = "") -> int:
        """Return a number given by ``prepare``; a missing one is a programming error (KeyError)."""
        return self.numbering.numbers[f"{kind.word}/{scope}" if scope else kind.word][name]

    def identity(self, name: str) -> int:
        """Return the number of an identity by its name."""
        return self.identities[name]


def prepare(
    configuration: Configuration,
    numbering: Numbering,
    inactive: frozenset[str] = frozenset(),
    passing: Passing = NOTHING_PASSES,
    before: Policy | None = None,
) -> Policy:
    """Return everything that follows from the configuration alone; ``numbering`` in it is the new one.

    ``before``: what was prepared last. Of it is taken what has not changed; the result is the same without.
    """
    builder = NumberingBuilder(numbering)
    before = before if before is not None and before.numbering is numbering else None
    views = before if before is not None and same_views(before.configuration, configuration) else None
    directory = build_directory(configuration, (views.configuration, views.directory) if views else None)
    ends = views if views is not None and directory is views.directory else None
    alike = views if views is not None and (ends or directory.all == views.directory.all) else None
    made = alike.made_lines if alike is not None and alike.inactive == inactive else {}
    banks, made_lines = banks_and_lines(configuration, directory, inactive, made)
    known = None if before is None else (before.configuration, Records(before.records, before.modified))
    records, modified = records_of(configuration, known)
    if ends is None:
        _number_ends(builder, configuration, directory)
    _number_rules(builder, configuration, banks, (records, before.records if before else {}), modified)
    placed = place_lines(builder, banks, passing, before.placed if before is not None else {})
    beyond, banks_of = _by_tenant(banks)
    allowing, rejecting = _lines_to_find(banks, frozenset(name for name, _ in modified))
    return Policy(
        configuration=configuration,
        directory=directory,
        banks=banks,
        records=records,
        numbering=builder.freeze(),
        placed=placed,
        endpoints=_all_facts(builder, configuration, directory, before) if ends is None else ends.endpoints,
        beyond=beyond,
        banks_of=banks_of,
        outside=_outside(builder, directory) if alike is None else alike.outside,
        modified=modified,
        identities=_identities(builder, directory) if alike is None else alike.identities,
        outside_versions=_outside_versions(directory) if alike is None else alike.outside_versions,
        outside_numbers=_outside_numbers(builder) if alike is None else alike.outside_numbers,
        bridges={key: builder.number(Kind.DESTINATION, f"bridge:{key}") for key in bridges_of(configuration)},
        limits_ports=any(rule.limit is not None and rule.limit.per_endpoint for _, rule in modified),
        allowing=allowing,
        rejecting=rejecting,
        inactive=inactive,
        made_lines=made_lines,
        passing=passing,
    )


_BanksOf = dict[TenantName, tuple[Bank, ...]]


def _by_tenant(banks: Mapping[str, Bank]) -> tuple[_BanksOf, _BanksOf]:
    """Return, for each tenant, the banks from it to another one, and all that it is an end of."""
    beyond: dict[TenantName, list[Bank]] = {}
    banks_of: dict[TenantName, list[Bank]] = {}
    for bank in banks.values():
        if bank.source != bank.destination:
            beyond.setdefault(bank.source, []).append(bank)
        for end in {bank.source, bank.destination}:
            banks_of.setdefault(end, []).append(bank)
    return (
        {tenant: tuple(found) for tenant, found in beyond.items()},
        {tenant: tuple(found) for tenant, found in banks_of.items()},
    )


def same_views(one: Configuration, other: Configuration) -> bool:
    """Say whether both have the same zones in the same tenants, and the same tenants joined."""
    if one.tenants.keys() != other.tenants.keys() or one.provider != other.provider:
        return False
    return all(
        tenant is other.tenants[name]
        or (
            tenant.zones == other.tenants[name].zones
            and tenant.exports == other.tenants[name].exports
            and tenant.imports == other.tenants[name].imports
        )
        for name, tenant in one.tenants.items()
    )


def _all_facts(
    builder: NumberingBuilder, configuration: Configuration, directory: Directory, before: Policy | None
) -> dict[EndpointKey, EndpointFacts]:
    """Return every endpoint's facts: the same objects as before where they are equal."""
    known = before.endpoints if before is not None else {}
    linked = linked_pairs(configuration)
    hidden = hidden_from(configuration, linked)
    joined = Counter(owner for _, owner in linked)
    found, nobody = {}, frozenset[int]()
    for key, endpoint in configuration.inventory.endpoints.items():
        last, viewers = known.get(key), hidden.get(key)
        unseen: frozenset[int] = nobody
        unseen_by: tuple[int, ...] = ()
        if viewers:
            unseen = frozenset(builder.number(Kind.TENANT, viewer) for viewer in viewers)
            is_every = len(unseen) == joined[endpoint.tenant]
            unseen_by = (EVERY_JOINED,) if is_every else tuple(sorted(unseen))
        if (
            before is not None
            and last is not None
            and before.configuration.inventory.endpoints[key] is endpoint
            and before.directory.endpoints[key] is directory.endpoints[key]
            and last.hidden_from == unseen
            and last.unseen_by == unseen_by
        ):
            found[key] = last
            continue
        facts = _facts(builder, endpoint, directory, (unseen, unseen_by))
        found[key] = last if last is not None and last == facts else facts
    return found


def _outside(
    builder: NumberingBuilder, directory: Directory
) -> dict[TenantName, tuple[tuple[IpPrefix, int], ...]]:
    return {
        tenant: tuple((prefix, builder.number(Kind.OUTSIDE, identity.name)) for prefix, identity in table)
        for tenant, table in directory.outside.items()
    }


def _outside_versions(directory: Directory) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for table in directory.outside.values():
        for prefix, identity in table:
            found.setdefault(identity.name, set()).add(prefix.version)
    return {name: frozenset(versions) for name, versions in found.items()}


def _outside_numbers(builder: NumberingBuilder) -> dict[TenantName, tuple[int, ...]]:
    found: dict[TenantName, list[int]] = {}
    for name, number in builder.numbers_of(Kind.OUTSIDE).items():
        found.setdefault(TenantName(name.partition("!{")[0]), []).append(number)
    return {tenant: tuple(sorted(numbers)) for tenant, numbers in found.items()}


def _identities(builder: NumberingBuilder, directory: Directory) -> dict[str, int]:
    return {
        identity.name: builder.number(Kind.OUTSIDE if identity.outside else Kind.IDENTITY, identity.name)
        for identity in directory.all
    }


def _lines_to_find(
    banks: Mapping[str, Bank], modified: frozenset[str]
) -> tuple[dict[str, tuple[tuple[str, Line], ...]], dict[str, tuple[Line, ...]]]:
    """Return the lines by which modified rules allow, and each bank's lines that reject."""
    allowing: dict[str, list[tuple[str, Line]]] = {}
    rejecting: dict[str, list[Line]] = {}
    for name, bank in banks.items():
        for lines in bank_sections(bank):
            found = having(lines, _OUTCOME, Outcome.REJECT)
            if found:
                rejecting.setdefault(name, []).extend(found)
            for line in lines if modified else ():
                if line.outcome is Outcome.ALLOW and line.rule in modified:
                    allowing.setdefault(line.rule, []).append((name, line))
    return (
        {rule: tuple(found) for rule, found in allowing.items()},
        {bank: tuple(found) for bank, found in rejecting.items()},
    )


def bridges_of(configuration: Configuration) -> tuple[BridgeKey, ...]:
    """Return every managed bridge, sorted."""
    return tuple(
        sorted(
            BridgeKey(host.name, bridge)
            for host in configuration.inventory.hosts.values()
            for bridge in host.bridges
        )
    )


def _number_ends(builder: NumberingBuilder, configuration: Configuration, directory: Directory) -> None:
    """Number identities and endpoints in an order that depends on the configuration alone."""
    known = builder.numbers_of(Kind.OUTSIDE).keys()
    for _, table in sorted(directory.outside.items()):
        if len(table) > FEW and known.isdisjoint(identity.name for _, identity in table):
            builder.give_block(Kind.OUTSIDE, layout(table))
    for identity in directory.all:
        builder.number(Kind.OUTSIDE if identity.outside else Kind.IDENTITY, identity.name)
    for key in sorted(configuration.inventory.endpoints):
        builder.number(Kind.ENDPOINT, key)


def _number_rules(
    builder: NumberingBuilder,
    configuration: Configuration,
    banks: Mapping[str, Bank],
    of: tuple[Mapping[str, RuleRecord], Mapping[str, RuleRecord]],
    modified: Sequence[tuple[str, Rule]],
) -> None:
    """Number everything else in an order that depends on the configuration alone.

    ``of``: the records of all rules, and of those that have numbers.
    """
    records, known = of
    for tenant in sorted(configuration.tenants):
        builder.number(Kind.TENANT, tenant)
    for name, bank in sorted(banks.items()):
        builder.number(Kind.BANK, name)
        builder.number(Kind.DOMAIN, domain_name(bank.source, bank.destination))
    if records.keys() != known.keys():
        for name in records:
            if name not in known:
                builder.number(Kind.RULE, name)
    for bridge in bridges_of(configuration):
        builder.number(Kind.BRIDGE_ON_HOST, bridge.bridge, scope=bridge.host)
        builder.number(Kind.DESTINATION, f"bridge:{bridge}")
        for port in configuration.inventory.hosts[bridge.host].bridges[bridge.bridge].ports.values():
            if port.target is not None:
                builder.number(Kind.DESTINATION, f"mirror:{port.target}@{bridge}")
    _number_modifiers(builder, modified, configuration)


def _number_modifiers(
    builder: NumberingBuilder, modified: Sequence[tuple[str, Rule]], configuration: Configuration
) -> None:
    for through in chains_of(modified):
        number_chain(builder, through, configuration.inventory)
    limited = [name for name, rule in modified if rule.limit is not None]
    if configuration.provider.limits.new_connections_per_tenant_per_s is not None:
        limited = [f"new-connections:{tenant}" for tenant in sorted(configuration.tenants)] + limited
    builder.number_all(Kind.LIMIT, limited)


def domain_name(source: TenantName, destination: TenantName) -> str:
    """Return the tracking domain of connections between two views, the same in both directions."""
    first, second = sorted((source, destination))
    return first if first == second else f"{first}+{second}"


def _facts(
    builder: NumberingBuilder,
    endpoint: EndpointDeclaration,
    directory: Directory,
    unseen: tuple[frozenset[int], tuple[int, ...]],
) -> EndpointFacts:
    identities = directory.endpoints[endpoint.key]
    single = [
        Address(host_prefix(ip), builder.number(Kind.IDENTITY, identity.name))
        for ip, identity in identities.by_address
    ]
    otherwise = builder.number(Kind.IDENTITY, identities.otherwise.name)
    known = {address.prefix for address in single}
    ranges = [Address(prefix, otherwise, True) for prefix in endpoint.ranges if prefix not in known]
    addresses = tuple(single + ranges)
    return EndpointFacts(
        key=endpoint.key,
        tenant=endpoint.tenant,
        number=builder.number(Kind.ENDPOINT, endpoint.key),
        mac=endpoint.mac,
        addresses=addresses,
        link_local=otherwise,
        roles=endpoint.roles,
        identities=frozenset(identity.name for identity in identities.all),
        versions=frozenset(address.prefix.version for address in addresses),
        claims=endpoint.claims,
        learns=endpoint.learns,
        unaddressed=endpoint.unaddressed,
        limit=endpoint.limit,
        hidden_from=unseen[0],
        unseen_by=unseen[1],
    )
