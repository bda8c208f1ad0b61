"""Fleets to measure with: a function of a seed and a size, so that two runs mean the same.

docs/benchmarks.md says what is modelled. Everything is made as values; no document is written or read.
"""

from __future__ import annotations

import ipaddress
import random
from dataclasses import dataclass, replace

from zonewall.placement.model import Binding, BridgeKey, Link, Placement
from zonewall.policy.findings import Location
from zonewall.policy.inventory import (
    Attachment,
    BridgeDeclaration,
    EndpointDeclaration,
    HostDeclaration,
    Inventory,
    PortDeclaration,
    PortRole,
)
from zonewall.policy.model import Action, Configuration, Peer, Provider, Rule, Selector, Tenant, Tier, Zone
from zonewall.values.addresses import IpAddress, MacAddress
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort, TenantName, ZoneName
from zonewall.values.services import PortRange, Protocol, ServiceTerm, merge_ranges

SEED = 20260301
BRIDGE = BridgeName("br-int")
HERE = Location("bench.yaml", 1, 1)
FABRIC_PORT = OfPort(60000)
SPINES = 4

_WELL_KNOWN = (22, 53, 80, 123, 389, 443, 636, 1433, 2379, 3306, 5432, 6379, 8080, 8443, 9092, 9100, 9200)


@dataclass(frozen=True, slots=True)
class FleetSize:
    """How large a fleet is.

    Attributes:
        largest: the largest tenant's share of the endpoints; the others' fall off from there.
        zones: the zones of a tenant with many endpoints; a small one has fewer.
        families: 4, 6 or both.
    """

    endpoints: int
    hosts: int
    tenants: int
    rules: int
    largest: float = 0.05
    zones: int = 12
    families: tuple[int, ...] = (4,)


SIZES = {
    100: FleetSize(100, 4, 3, 60, largest=0.5),
    1_000: FleetSize(1_000, 20, 10, 300, largest=0.25),
    10_000: FleetSize(10_000, 200, 50, 1_000, largest=0.1),
    100_000: FleetSize(100_000, 200, 500, 5_000, largest=0.05),
}
"""The fleets that are measured, by their endpoints."""


def fleet(size: FleetSize, seed: int = SEED) -> tuple[Configuration, Placement]:
    """Return a fleet of tenants of very different sizes, spread over all hosts at random."""
    draw = random.Random(seed)
    counts = tenant_sizes(size)
    hosts = [HostName(f"hv{number:03}") for number in range(size.hosts)]
    rules = _shares(size.rules, [max(count, 1) ** 0.5 for count in counts])
    tenants: dict[TenantName, Tenant] = {}
    endpoints: dict[EndpointKey, EndpointDeclaration] = {}
    for number, (count, own_rules) in enumerate(zip(counts, rules, strict=True)):
        name = TenantName(f"t{number:03}")
        zones = min(size.zones, max(2, count // 4))
        tenants[name] = policy(name, zones, own_rules, draw)
        for index in range(count):
            made = endpoint(name, len(endpoints), index, zones, size.families, draw)
            endpoints[made.key] = made
    placed = {key: hosts[draw.randrange(len(hosts))] for key in endpoints}
    return _configuration(hosts, tenants, endpoints), _placement(hosts, placed)


def tenant_sizes(size: FleetSize) -> list[int]:
    """Return the endpoints of each tenant: the largest has its share, the others fall off as 1/rank."""
    first = round(size.endpoints * size.largest)
    weights = [1 / rank**0.7 for rank in range(2, size.tenants + 1)]
    rest = [min(each, first) for each in _shares(size.endpoints - first, weights)]
    left = size.endpoints - first - sum(rest)
    for index in range(len(rest)):
        more = min(first - rest[index], left)
        rest[index] += more
        left -= more
    return [first, *rest]


def _shares(total: int, weights: list[float]) -> list[int]:
    """Return whole shares that add up to the total, each at least one where there is enough."""
    floor = 1 if total >= len(weights) else 0
    spare, whole = total - floor * len(weights), sum(weights)
    shares = [floor + int(spare * weight / whole) for weight in weights]
    for index in range(total - sum(shares)):
        shares[index % len(shares)] += 1
    return shares


def policy(name: TenantName, zones: int, rules: int, draw: random.Random) -> Tenant:
    """Return a tenant whose zones go by labels, some of which many endpoints change often."""
    roles = [ZoneName(f"role{number}") for number in range(zones)]
    made = {role: Zone(role, Selector(labels={"role": (role,)}), HERE) for role in roles}
    made[ZoneName("dev")] = Zone(ZoneName("dev"), Selector(labels={"stage": ("dev",)}), HERE)
    made[ZoneName("office")] = Zone(
        ZoneName("office"), Selector(cidrs=(ipaddress.IPv4Network("192.0.2.0/24"),)), HERE
    )
    return Tenant(name, HERE, made, (Tier("application", tuple(_rules(list(made), rules, draw)), HERE),))


def _rules(zones: list[ZoneName], count: int, draw: random.Random) -> list[Rule]:
    result = []
    for number in range(count):
        sources = draw.sample(zones, min(len(zones), draw.choice((1, 1, 1, 2))))
        destinations = draw.sample(zones[:-1], min(len(zones) - 1, draw.choice((1, 1, 1, 2))))
        result.append(
            Rule(
                f"r{number}",
                tuple(Peer("zone", zone) for zone in sources),
                tuple(Peer("zone", zone) for zone in destinations),
                (services(draw),),
                Action.DROP if draw.random() < 0.1 else Action.ALLOW,
                HERE,
            )
        )
    return result


def services(draw: random.Random) -> ServiceTerm:
    """Return a list of ports as people write them: one port, a few, a range."""
    kind = draw.random()
    ranges: list[PortRange]
    if kind < 0.6:
        port = draw.choice(_WELL_KNOWN)
        ranges = [(port, port)]
    elif kind < 0.8:
        ranges = [(port, port) for port in draw.sample(_WELL_KNOWN, 3)]
    else:
        first = draw.randrange(1024, 60000)
        ranges = [(first, first + draw.randrange(1, 200))]
    return ServiceTerm(Protocol.UDP if draw.random() < 0.2 else Protocol.TCP, merge_ranges(ranges))


def endpoint(
    tenant: TenantName,
    number: int,
    index: int,
    zones: int,
    families: tuple[int, ...],
    draw: random.Random,
) -> EndpointDeclaration:
    """Return an endpoint; tenants use the same addresses, MACs are the fleet's own."""
    labels = {"role": f"role{draw.randrange(zones)}", "stage": "dev" if draw.random() < 0.2 else "prod"}
    ips: list[IpAddress] = []
    if 4 in families:
        ips.append(ipaddress.IPv4Address(0x0A000000 + index + 1))
    if 6 in families:
        ips.append(ipaddress.IPv6Address((0xFD00 << 112) + index + 1))
    name = f"vm{index:05}"
    return EndpointDeclaration(
        name, tenant, MacAddress(0x525400000000 + number), HERE,
        iface_id=f"{tenant}-{name}", ips=tuple(ips), labels=labels,
    )  # fmt: skip


def _configuration(
    hosts: list[HostName],
    tenants: dict[TenantName, Tenant],
    endpoints: dict[EndpointKey, EndpointDeclaration],
    uplinks: tuple[str, ...] = (),
) -> Configuration:
    bridges: dict[HostName, HostDeclaration] = {}
    for name in [*hosts, *_spines(hosts)]:
        links = SPINES if name in hosts else len(hosts)
        ports = {f"fab{i}": PortDeclaration(f"fab{i}", PortRole.FABRIC, HERE) for i in range(links)}
        vlans = {100 + number: tenant for number, tenant in enumerate(tenants)}
        for uplink in uplinks:
            ports[uplink] = PortDeclaration(uplink, PortRole.UPLINK, HERE, vlans=vlans)
        declared = BridgeDeclaration(BRIDGE, Attachment.FABRIC, ports, HERE)
        bridges[name] = HostDeclaration(name, name, name, {BRIDGE: declared}, HERE)
    return Configuration(Inventory(bridges, endpoints, {}, {}), Provider(), tenants)


def _spines(hosts: list[HostName]) -> list[HostName]:
    return [HostName(f"spine{number}") for number in range(SPINES)] if len(hosts) > 1 else []


def _placement(hosts: list[HostName], placed: dict[EndpointKey, HostName]) -> Placement:
    """Return the endpoints at ports counted up on each host, every host linked to every spine."""
    ofports = dict.fromkeys(hosts, 0)
    bindings = {}
    for key, host in placed.items():
        ofports[host] += 1
        bindings[key] = (Binding(key, BridgeKey(host, BRIDGE), OfPort(ofports[host])),)
    ports: dict[tuple[BridgeKey, str], OfPort] = {}
    links = set()
    for spine_number, spine in enumerate(_spines(hosts)):
        for host_number, host in enumerate(hosts):
            here = BridgeKey(host, BRIDGE), OfPort(FABRIC_PORT + spine_number)
            there = BridgeKey(spine, BRIDGE), OfPort(host_number + 1)
            ports[here[0], f"fab{spine_number}"] = here[1]
            ports[there[0], f"fab{host_number}"] = there[1]
            links.add(Link(here, there))
    return Placement(bindings, ports, frozenset(links))


def one_host(
    endpoints: int = 1_000,
    zones: int = 20,
    rules: int = 5_000,
    families: tuple[int, ...] = (4,),
    seed: int = SEED,
) -> tuple[Configuration, Placement]:
    """Return the workload that OVN was measured on: one tenant, zone-to-zone rules of port ranges."""
    draw = random.Random(seed)
    tenant = TenantName("acme")
    names = [ZoneName(f"zone{number}") for number in range(zones)]
    made = {name: Zone(name, Selector(labels={"zone": (name,)}), HERE) for name in names}
    written = []
    for number in range(rules):
        first = draw.randrange(1024, 60000)
        term = ServiceTerm(Protocol.TCP, ((first, first + draw.randrange(0, 16)),))
        ends = draw.sample(names, 2)
        written.append(
            Rule(
                f"r{number}", (Peer("zone", ends[0]),), (Peer("zone", ends[1]),), (term,), Action.ALLOW, HERE
            )
        )
    declared: dict[EndpointKey, EndpointDeclaration] = {}
    for index in range(endpoints):
        one = endpoint(tenant, index, index, zones, families, draw)
        one = replace(one, labels={"zone": f"zone{index % zones}"})
        declared[one.key] = one
    hosts = [HostName("hv000")]
    tenants = {tenant: Tenant(tenant, HERE, made, (Tier("application", tuple(written), HERE),))}
    return _configuration(hosts, tenants, declared), _placement(hosts, dict.fromkeys(declared, hosts[0]))
