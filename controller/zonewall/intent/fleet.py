"""What is common to all bridges at one moment, worked out once: who is where, numbers, banks."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from zonewall.intent.banks import Bank, Line, RuleRecord
from zonewall.intent.identity import Directory, build_directory
from zonewall.intent.judgement import build_banks, rule_records
from zonewall.intent.model import Address
from zonewall.intent.numbering import Kind, Numbering, NumberingBuilder
from zonewall.intent.priority import allocate_priorities
from zonewall.placement.model import Binding, BindingState, BridgeKey, Placement
from zonewall.policy.model import Configuration, EndpointDeclaration, PortDeclaration, PortRole, Rule
from zonewall.values.addresses import host_prefix
from zonewall.values.names import EndpointKey, TenantName


@dataclass(frozen=True, slots=True)
class Policy:
    """All that depends on the configuration (and the rules that hold at the moment), not on placement.

    Attributes:
        lines: priority of each line by (bank, section, key).
        addresses: what each endpoint may send from, with identity numbers.
    """

    configuration: Configuration
    directory: Directory
    banks: Mapping[str, Bank]
    records: Mapping[str, RuleRecord]
    numbering: Numbering
    lines: Mapping[tuple[str, int, str], int]
    addresses: Mapping[EndpointKey, tuple[Address, ...]]

    def number(self, kind: Kind, name: str, scope: str = "") -> int:
        """Return a number given by ``prepare``; a missing one is a programming error (KeyError)."""
        return self.numbering.numbers[f"{kind.word}/{scope}" if scope else kind.word][name]

    def identity(self, name: str) -> int:
        """Return the number of an identity by its name."""
        return self.number(Kind.OUTSIDE if "!{" in name else Kind.IDENTITY, name)


@dataclass(frozen=True, slots=True)
class Fleet:
    """A policy and a placement, indexed by bridge.

    Attributes:
        here: bindings of each bridge, sorted by port.
        place: the one binding that receives an endpoint's traffic.
        present: bridges where a tenant has endpoints or uplinks.
        ports: declared ports that are there, by bridge, with their numbers.
    """

    policy: Policy
    placement: Placement
    here: Mapping[BridgeKey, tuple[Binding, ...]]
    place: Mapping[EndpointKey, Binding]
    present: Mapping[TenantName, frozenset[BridgeKey]]
    ports: Mapping[BridgeKey, tuple[tuple[PortDeclaration, int], ...]]


def prepare(
    configuration: Configuration, numbering: Numbering, inactive: frozenset[str] = frozenset()
) -> Policy:
    """Return everything that follows from the configuration alone; ``numbering`` in it is the new one."""
    builder = NumberingBuilder(numbering)
    directory = build_directory(configuration)
    banks = build_banks(configuration, directory, inactive)
    records = rule_records(configuration)
    _number_names(builder, configuration, directory, banks, records)
    lines = _place_lines(builder, banks)
    addresses = {
        key: _addresses(builder, endpoint, directory)
        for key, endpoint in configuration.inventory.endpoints.items()
    }
    return Policy(configuration, directory, banks, records, builder.freeze(), lines, addresses)


def index_fleet(policy: Policy, placement: Placement) -> Fleet:
    """Return the placement by bridge; endpoints that the configuration does not know are left out."""
    here: dict[BridgeKey, list[Binding]] = {}
    place: dict[EndpointKey, Binding] = {}
    present: dict[TenantName, set[BridgeKey]] = {}
    endpoints = policy.configuration.inventory.endpoints
    for key, bindings in placement.bindings.items():
        endpoint = endpoints.get(key)
        if endpoint is None:
            continue
        for binding in bindings:
            here.setdefault(binding.bridge, []).append(binding)
            if binding.state in (BindingState.ACTIVE, BindingState.QUARANTINED):
                place[key] = binding
            if binding.state is not BindingState.LEAVING:
                present.setdefault(endpoint.tenant, set()).add(binding.bridge)
    _add_views(policy, present)
    ports = _declared_ports(policy.configuration, placement)
    for bridge, declared in ports.items():
        for port, _ in declared:
            if port.role is PortRole.UPLINK:
                for tenant in (port.vlans or {}).values():
                    present.setdefault(tenant, set()).add(bridge)
    return Fleet(
        policy,
        placement,
        {
            bridge: tuple(sorted(found, key=lambda b: (b.ofport, b.endpoint)))
            for bridge, found in here.items()
        },
        place,
        {tenant: frozenset(bridges) for tenant, bridges in present.items()},
        ports,
    )


def _add_views(policy: Policy, present: dict[TenantName, set[BridgeKey]]) -> None:
    """Have a tenant's view wherever an endpoint is that the tenant may reach in another tenant."""
    places = {tenant: frozenset(bridges) for tenant, bridges in present.items()}
    for bank in policy.banks.values():
        if bank.source != bank.destination:
            present.setdefault(bank.source, set()).update(places.get(bank.destination, ()))


def bridges_of(configuration: Configuration) -> tuple[BridgeKey, ...]:
    """Return every managed bridge, sorted."""
    return tuple(
        sorted(
            BridgeKey(host.name, bridge)
            for host in configuration.inventory.hosts.values()
            for bridge in host.bridges
        )
    )


def _declared_ports(
    configuration: Configuration, placement: Placement
) -> dict[BridgeKey, tuple[tuple[PortDeclaration, int], ...]]:
    found: dict[BridgeKey, tuple[tuple[PortDeclaration, int], ...]] = {}
    for key in bridges_of(configuration):
        declared = configuration.inventory.hosts[key.host].bridges[key.bridge].ports
        found[key] = tuple(
            (port, placement.ports[key, name])
            for name, port in sorted(declared.items())
            if (key, name) in placement.ports
        )
    return found


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
            if port.role is PortRole.MIRROR_TARGET:
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


def _place_lines(builder: NumberingBuilder, banks: Mapping[str, Bank]) -> dict[tuple[str, int, str], int]:
    """Give every line a priority and a conjunction number."""
    places: dict[tuple[str, int, str], int] = {}
    for name, bank in sorted(banks.items()):
        for index, lines in enumerate(bank_sections(bank)):
            scope = f"{name}/{index}"
            keys = [line.key for line in lines]
            priorities = allocate_priorities(keys, builder.mapping(Kind.PRIORITY, scope))
            builder.replace_mapping(Kind.PRIORITY, scope, priorities)
            for key in keys:
                places[name, index, key] = priorities[key]
                builder.number(Kind.CONJUNCTION, f"{name}/{index}/{key}")
    return places


def bank_sections(bank: Bank) -> list[tuple[Line, ...]]:
    """Return the bank's sections' lines, the lines of its end as the last."""
    return [*(section.lines for section in bank.sections), bank.end]


def domain_name(source: TenantName, destination: TenantName) -> str:
    """Return the tracking domain of connections between two views, the same in both directions."""
    first, second = sorted((source, destination))
    return first if first == second else f"{first}+{second}"


def _addresses(
    builder: NumberingBuilder, endpoint: EndpointDeclaration, directory: Directory
) -> tuple[Address, ...]:
    identities = directory.endpoints[endpoint.key]
    single = [
        Address(host_prefix(ip), builder.number(Kind.IDENTITY, identity.name))
        for ip, identity in identities.by_address
    ]
    otherwise = builder.number(Kind.IDENTITY, identities.otherwise.name)
    known = {address.prefix for address in single}
    ranges = [Address(prefix, otherwise, True) for prefix in endpoint.ranges if prefix not in known]
    return tuple(single + ranges)


def link_local_address(mac: int) -> ipaddress.IPv6Address:
    """Return the link-local address that is made of a MAC (RFC 4291, appendix A)."""
    high, low = mac >> 24, mac & 0xFFFFFF
    return ipaddress.IPv6Address(0xFE80 << 112 | (high ^ 0x020000) << 40 | 0xFFFE << 24 | low)
