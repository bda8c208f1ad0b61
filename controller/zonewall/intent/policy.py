"""What follows from the configuration alone, worked out once for all bridges: identities, banks, numbers."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from zonewall.intent.banks import Bank, Line, Outcome, RuleRecord
from zonewall.intent.identity import Directory, build_directory
from zonewall.intent.judgement import build_banks, linked_pairs, rule_records
from zonewall.intent.model import Address
from zonewall.intent.numbering import Kind, Numbering, NumberingBuilder
from zonewall.intent.passing import NOTHING_PASSES, Passing, sections_with_outliving
from zonewall.intent.priority import allocate_priorities
from zonewall.placement.model import BridgeKey
from zonewall.policy.model import Configuration, EndpointDeclaration, Limit, Rule
from zonewall.policy.visibility import hidden_from
from zonewall.values.addresses import IpPrefix, MacAddress, host_prefix
from zonewall.values.names import EndpointKey, TenantName


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """An endpoint wherever it is.

    Attributes:
        addresses: what it may send from, with identity numbers.
        link_local: identity of its link-local address.
        identities: names of every identity that it can have.
        versions: the IP versions of its addresses.
        hidden_from: numbers of tenants that mean another endpoint by one of its addresses.
        claims, learns: as of ``LocalEndpoint``.
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
    limit: Limit | None = None
    hidden_from: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class PlacedLine:
    """A line of a bank with its numbers."""

    line: Line
    priority: int
    rule: int
    conjunction: int
    ends_at: int = 0


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
        bridges: fabric destination of each bridge.
        limits_ports: a rule limits each endpoint for itself.
        allowing: the lines, each with its bank's name, by which such a rule allows.
        rejecting: each bank's lines that reject.
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
    bridges: Mapping[BridgeKey, int]
    limits_ports: bool
    allowing: Mapping[str, tuple[tuple[str, Line], ...]]
    rejecting: Mapping[str, tuple[Line, ...]]
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
) -> Policy:
    """Return everything that follows from the configuration alone; ``numbering`` in it is the new one."""
    builder = NumberingBuilder(numbering)
    directory = build_directory(configuration)
    banks = build_banks(configuration, directory, inactive)
    records = rule_records(configuration)
    _number_names(builder, configuration, directory, banks, records)
    placed = _place_lines(builder, banks, passing)
    hidden = hidden_from(configuration, linked_pairs(configuration))
    endpoints = {
        key: _facts(builder, endpoint, directory, hidden.get(key, frozenset()))
        for key, endpoint in configuration.inventory.endpoints.items()
    }
    beyond: dict[TenantName, list[Bank]] = {}
    banks_of: dict[TenantName, list[Bank]] = {}
    for bank in banks.values():
        if bank.source != bank.destination:
            beyond.setdefault(bank.source, []).append(bank)
        for end in {bank.source, bank.destination}:
            banks_of.setdefault(end, []).append(bank)
    outside = {
        tenant: tuple((prefix, builder.number(Kind.OUTSIDE, identity.name)) for prefix, identity in table)
        for tenant, table in directory.outside.items()
    }
    modified = tuple(
        (name, record.rule)
        for name, record in records.items()
        if record.rule is not None and (record.rule.mirror or record.rule.through or record.rule.limit)
    )
    allowing, rejecting = _lines_to_find(banks, frozenset(name for name, _ in modified))
    return Policy(
        configuration,
        directory,
        banks,
        records,
        builder.freeze(),
        placed,
        endpoints,
        {tenant: tuple(found) for tenant, found in beyond.items()},
        {tenant: tuple(found) for tenant, found in banks_of.items()},
        outside,
        modified,
        {
            identity.name: builder.number(Kind.OUTSIDE if identity.outside else Kind.IDENTITY, identity.name)
            for identity in directory.all
        },
        {
            bridge: builder.number(Kind.DESTINATION, f"bridge:{bridge}")
            for bridge in bridges_of(configuration)
        },
        any(rule.limit is not None and rule.limit.per_endpoint for _, rule in modified),
        allowing,
        rejecting,
        passing,
    )


def _lines_to_find(
    banks: Mapping[str, Bank], modified: frozenset[str]
) -> tuple[dict[str, tuple[tuple[str, Line], ...]], dict[str, tuple[Line, ...]]]:
    """Return the lines by which modified rules allow, and each bank's lines that reject."""
    allowing: dict[str, list[tuple[str, Line]]] = {}
    rejecting: dict[str, list[Line]] = {}
    for name, bank in banks.items():
        for lines in bank_sections(bank):
            for line in lines:
                if line.outcome is Outcome.REJECT:
                    rejecting.setdefault(name, []).append(line)
                elif line.outcome is Outcome.ALLOW and line.rule in modified:
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


def _number_names(
    builder: NumberingBuilder,
    configuration: Configuration,
    directory: Directory,
    banks: Mapping[str, Bank],
    records: Mapping[str, RuleRecord],
) -> None:
    """Number everything in an order that depends on the configuration alone."""
    for tenant in sorted(configuration.tenants):
        builder.number(Kind.TENANT, tenant)
    for name, bank in sorted(banks.items()):
        builder.number(Kind.BANK, name)
        builder.number(Kind.DOMAIN, domain_name(bank.source, bank.destination))
    for identity in directory.all:
        builder.number(Kind.OUTSIDE if identity.outside else Kind.IDENTITY, identity.name)
    for key in sorted(configuration.inventory.endpoints):
        builder.number(Kind.ENDPOINT, key)
    for name in records:
        builder.number(Kind.RULE, name)
    for bridge in bridges_of(configuration):
        builder.number(Kind.BRIDGE_ON_HOST, bridge.bridge, scope=bridge.host)
        builder.number(Kind.DESTINATION, f"bridge:{bridge}")
        for port in configuration.inventory.hosts[bridge.host].bridges[bridge.bridge].ports.values():
            if port.target is not None:
                builder.number(Kind.DESTINATION, f"mirror:{port.target}@{bridge}")
    if configuration.provider.limits.new_connections_per_tenant_per_s is not None:
        for tenant in sorted(configuration.tenants):
            builder.number(Kind.LIMIT, f"new-connections:{tenant}")
    for name, record in records.items():
        if record.rule is not None:
            _number_modifiers(builder, name, record.rule)


def _number_modifiers(builder: NumberingBuilder, name: str, rule: Rule) -> None:
    if rule.through:
        builder.number(Kind.CHAIN, name)
    for place, function in enumerate(rule.through):
        builder.number(Kind.DOMAIN, f"function:{function}")
        for side in ("enter", "leave"):
            builder.number(Kind.DESTINATION, f"leg:{name}#{place}/{side}")
    if rule.limit is not None:
        builder.number(Kind.LIMIT, name)


def _place_lines(
    builder: NumberingBuilder, banks: Mapping[str, Bank], passing: Passing
) -> dict[str, tuple[tuple[PlacedLine, ...], ...]]:
    """Give every line a priority and a conjunction number."""
    places: dict[str, tuple[tuple[PlacedLine, ...], ...]] = {}
    ends = passing.ends
    until = {one.rule: one.until or 0 for one in passing.outliving}
    for name, bank in sorted(banks.items()):
        sections = []
        for index, lines in enumerate(sections_with_outliving(bank, bank_sections(bank), passing)):
            scope = f"{name}/{index}"
            keys = [line.key for line in lines]
            priorities = allocate_priorities(keys, builder.mapping(Kind.PRIORITY, scope))
            builder.replace_mapping(Kind.PRIORITY, scope, priorities)
            sections.append(
                tuple(
                    PlacedLine(
                        line,
                        priorities[line.key],
                        builder.number(Kind.RULE, line.rule),
                        builder.number(Kind.CONJUNCTION, f"{scope}/{line.key}"),
                        ends.get(line.rule, 0) if not line.outlives else until.get(line.rule, 0),
                    )
                    for line in lines
                )
            )
        places[name] = tuple(sections)
    return places


def bank_sections(bank: Bank) -> list[tuple[Line, ...]]:
    """Return the bank's sections' lines, the lines of its end as the last."""
    return [*(section.lines for section in bank.sections), bank.end]


def domain_name(source: TenantName, destination: TenantName) -> str:
    """Return the tracking domain of connections between two views, the same in both directions."""
    first, second = sorted((source, destination))
    return first if first == second else f"{first}+{second}"


def _facts(
    builder: NumberingBuilder,
    endpoint: EndpointDeclaration,
    directory: Directory,
    hidden: frozenset[TenantName],
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
        limit=endpoint.limit,
        hidden_from=frozenset(builder.number(Kind.TENANT, viewer) for viewer in hidden),
    )


def link_local_address(mac: int) -> ipaddress.IPv6Address:
    """Return the link-local address that is made of a MAC (RFC 4291, appendix A)."""
    high, low = mac >> 24, mac & 0xFFFFFF
    return ipaddress.IPv6Address(0xFE80 << 112 | (high ^ 0x020000) << 40 | 0xFFFE << 24 | low)
