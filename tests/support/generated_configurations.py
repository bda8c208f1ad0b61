"""Generated configurations and probes: small, full of edges, and valid.

Either the tenants use the same addresses and MACs, and then nothing may lead from one to another; or their
addresses differ, and exports, imports and provider rules join them. So no address is reachable in two ways.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from support.configurations import NO_PROVIDER, at, configure, peer, service
from zonewall.intent.semantics import Probe
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import (
    Action,
    Configuration,
    Export,
    Import,
    MirrorRule,
    Mode,
    Peer,
    Provider,
    Rule,
    Selector,
    Tenant,
    Tier,
    Zone,
)
from zonewall.values.addresses import IpAddress, IpPrefix, MacAddress
from zonewall.values.names import TenantName, ZoneName
from zonewall.values.services import ServiceTerm

NAMES = ("acme", "blue", "ops")
ROLES = ("web", "db", "batch")
MOST_ENDPOINTS = 4
PORTS = (0, 1, 53, 79, 80, 81, 1023, 1024, 65534, 65535)
OUTSIDE = tuple(
    map(
        ipaddress.ip_address,
        [
            "203.0.113.0",
            "203.0.113.127",
            "203.0.113.128",
            "203.0.113.255",
            "198.51.100.7",
            "10.0.0.250",
            "10.1.0.250",
            "2001:db8::1",
            "2001:db8:1::1",
            "2001:db8:1:ffff:ffff:ffff:ffff:ffff",
            "fd00::250",
            "fd00:0:0:1::250",
        ],
    )
)
PREFIXES = tuple(
    map(
        ipaddress.ip_network,
        [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.0.0.0/24",
            "10.0.0.0/30",
            "10.0.0.2/31",
            "10.0.0.1/32",
            "10.1.0.0/24",
            "10.1.0.2/31",
            "203.0.113.0/24",
            "203.0.113.128/25",
            "203.0.113.127/32",
            "::/0",
            "fd00::/16",
            "fd00::/64",
            "fd00::2/127",
            "fd00:0:0:1::/64",
            "2001:db8::/32",
            "2001:db8:1::/48",
        ],
    )
)
SERVICES = (
    *("tcp", "tcp/80", "tcp/79-81", "tcp/0", "tcp/65535", "tcp/1024-65535", "tcp/80 from 1024-65535"),
    *("udp", "udp/53", "udp/1-65534", "udp from 53", "sctp", "sctp/80-1023", "any", "ip/47", "ip/89"),
    *("icmp", "icmp/8", "icmp/3/1", "icmpv6", "icmpv6/128", "icmpv6/1/4"),
)
ICMP_PROBES = {4: ((8, 0), (3, 1), (3, 4), (13, 0)), 6: ((128, 0), (1, 4), (1, 0), (3, 0))}

_ADDRESSED_BY_INDEX = ("10.{tenant}.0.{index}", "fd00:0:0:{tenant}::{index}", "10.{tenant}.9.{index}")


@dataclass(frozen=True, slots=True)
class _Scene:
    """What rules of one author may name."""

    zones: tuple[str, ...]
    is_provider: bool = False


@st.composite
def configurations(draw: DrawFn, linked: bool | None = None) -> Configuration:
    """Return a configuration of one to three tenants; ``linked`` says whether something joins them."""
    if linked is None:
        linked = draw(st.booleans())
    names = NAMES[: draw(st.integers(2 if linked else 1, 3))]
    endpoints = [one for place, name in enumerate(names) for one in draw(_endpoints(name, place, linked))]
    zones = {name: draw(_zones(endpoints, name)) for name in names}
    agreements = draw(_agreements(names, zones)) if linked else []
    tenants = [draw(_tenants(name, zones[name], agreements)) for name in names]
    provider = draw(st.just(NO_PROVIDER) | _providers(names, zones, linked))
    return configure(*endpoints, *tenants, provider=provider)


@st.composite
def probes(draw: DrawFn, configuration: Configuration) -> Probe:
    """Return a probe that can be judged: addresses of one family, all headers, no group address."""
    tenant = draw(st.sampled_from(sorted(configuration.tenants)))
    endpoints = [one for one in configuration.inventory.endpoints.values() if one.ips]
    first = draw(st.sampled_from([*(one for one in endpoints if one.tenant == tenant), None]))
    others: list[EndpointDeclaration | None] = [None, *(one for one in endpoints if one is not first)]
    if first is None:
        others = [None, *(one for one in endpoints if one.tenant == tenant)]
    second = draw(st.sampled_from(others))
    pair = draw(st.sampled_from(_address_pairs(first, second) or [(OUTSIDE[0], OUTSIDE[4])]))
    ends = [one if one is None else one.key for one in (first, second)]
    if len(_address_pairs(first, second)) == 0:
        ends = [None, None]
    if draw(st.booleans()):
        ends, pair = ends[::-1], pair[::-1]
    headers = draw(_headers(pair[0].version))
    return Probe(
        source=ends[0] or pair[0],
        destination=ends[1] or pair[1],
        tenant=tenant,
        source_ip=pair[0] if ends[0] else None,
        destination_ip=pair[1] if ends[1] else None,
        protocol=headers.protocol,
        source_port=headers.source_port,
        destination_port=headers.destination_port,
        icmp=headers.icmp,
    )


@st.composite
def worlds(draw: DrawFn, linked: bool | None = None, most: int = 12) -> tuple[Configuration, list[Probe]]:
    """Return a configuration and some probes of it."""
    configuration = draw(configurations(linked))
    return configuration, draw(st.lists(probes(configuration), min_size=1, max_size=most))


def _address_pairs(
    first: EndpointDeclaration | None, second: EndpointDeclaration | None
) -> list[tuple[IpAddress, IpAddress]]:
    ours, theirs = (OUTSIDE if one is None else one.ips for one in (first, second))
    return [(a, b) for a in ours for b in theirs if a.version == b.version and a != b]


@st.composite
def _headers(draw: DrawFn, version: int) -> Probe:
    """Return a probe of which only protocol, ports and ICMP type are meant."""
    anywhere = OUTSIDE[0]
    kind = draw(st.sampled_from(["tcp", "tcp", "udp", "sctp", "icmp", "other"]))
    if kind == "icmp":
        return Probe(
            anywhere, anywhere, 1 if version == 4 else 58, icmp=draw(st.sampled_from(ICMP_PROBES[version]))
        )
    if kind == "other":
        return Probe(anywhere, anywhere, draw(st.sampled_from([47, 89])))
    ports = st.sampled_from(PORTS)
    return Probe(
        anywhere,
        anywhere,
        {"tcp": 6, "udp": 17, "sctp": 132}[kind],
        source_port=draw(ports),
        destination_port=draw(ports),
    )


@st.composite
def _endpoints(draw: DrawFn, name: str, place: int, linked: bool) -> list[EndpointDeclaration]:
    """Return a tenant's endpoints; tenants that nothing joins have the same addresses and MACs."""
    space = place if linked else 0
    found = []
    for index in range(1, draw(st.integers(1, MOST_ENDPOINTS)) + 1):
        forms = draw(st.lists(st.sampled_from(_ADDRESSED_BY_INDEX), min_size=1, max_size=3, unique=True))
        found.append(
            EndpointDeclaration(
                name=f"vm{index}",
                tenant=TenantName(name),
                mac=MacAddress(0x525400000000 | space << 8 | index),
                location=at(file="inventory.yaml"),
                iface_id=f"{name}-vm{index}",
                ips=tuple(ipaddress.ip_address(form.format(tenant=space, index=index)) for form in forms),
                labels=draw(
                    st.fixed_dictionaries(
                        {"role": st.sampled_from(ROLES)}, optional={"stage": st.sampled_from(["dev", "prod"])}
                    )
                ),
            )
        )
    return found


@st.composite
def _zones(draw: DrawFn, endpoints: list[EndpointDeclaration], name: str) -> list[Zone]:
    """Return zones that overlap; a union names zones before it only."""
    mine = [one for one in endpoints if one.tenant == name]
    zones: list[Zone] = []
    for index in range(draw(st.integers(1, 5))):
        selector = draw(_selectors(mine, [zone.name for zone in zones]))
        mode = draw(st.sampled_from([Mode.ENFORCE] * 7 + [Mode.MONITOR]))
        zones.append(Zone(ZoneName(f"z{index}"), selector, at(), mode=mode))
    return zones


@st.composite
def _selectors(
    draw: DrawFn, mine: list[EndpointDeclaration], before: list[ZoneName], depth: int = 0
) -> Selector:
    kinds = ["labels", "labels", "cidrs", "cidrs", "endpoints", "macs"] + ["zones", "zones"] * bool(before)
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=2, unique=True))
    keys: dict[str, object] = {}
    if "labels" in chosen:
        role = st.lists(st.sampled_from(ROLES), min_size=1, max_size=2, unique=True).map(tuple)
        stage = st.sampled_from([("dev",), ("prod",), ("*",)])
        keys["labels"] = draw(st.fixed_dictionaries({}, optional={"role": role, "stage": stage}).filter(bool))
    if "cidrs" in chosen:
        prefixes: SearchStrategy[IpPrefix] = st.sampled_from(PREFIXES)
        keys["cidrs"] = tuple(draw(st.lists(prefixes, min_size=1, max_size=3, unique=True)))
        keys["outside"] = draw(st.sampled_from([False, False, False, True]))
    if "endpoints" in chosen:
        keys["endpoints"] = tuple(
            draw(
                st.lists(st.sampled_from(mine), min_size=1, max_size=2, unique_by=lambda one: one.name).map(
                    lambda found: [one.name for one in found]
                )
            )
        )
    if "macs" in chosen:
        keys["macs"] = (draw(st.sampled_from(mine)).mac,)
    if "zones" in chosen:
        keys["zones"] = tuple(draw(st.lists(st.sampled_from(before), min_size=1, max_size=2, unique=True)))
    if depth == 0 and draw(st.integers(0, 2)) == 0:
        keys["excluded"] = draw(_selectors(mine, before, 1))
    return Selector(**keys)  # type: ignore[arg-type]


@st.composite
def _agreements(
    draw: DrawFn, names: tuple[str, ...], zones: dict[str, list[Zone]]
) -> list[tuple[str, ZoneName, str]]:
    """Return (exporter, zone, importer) triples, no zone twice to the same importer."""
    ordered = [(a, b) for a in names for b in names if a != b]
    choices = [(a, zone.name, b) for a, b in ordered for zone in zones[a]]
    return draw(st.lists(st.sampled_from(choices), max_size=3, unique=True))


@st.composite
def _tenants(
    draw: DrawFn, name: str, zones: list[Zone], agreements: list[tuple[str, ZoneName, str]]
) -> Tenant:
    imports = [
        Import(TenantName(whose), zone, ZoneName(f"{whose}-{zone}"), at())
        for whose, zone, to in agreements
        if to == name
    ]
    exports = [Export(zone, (TenantName(to),), at()) for whose, zone, to in agreements if whose == name]
    scene = _Scene((*(zone.name for zone in zones), *[one.local_name for one in imports] * 2))
    return Tenant(
        name=TenantName(name),
        location=at(file=f"{name}.yaml"),
        zones={zone.name: zone for zone in zones},
        tiers=tuple(_unique(draw(st.lists(_tiers(scene), max_size=3)))),
        default=draw(st.sampled_from([Action.DROP, Action.DROP, Action.REJECT, Action.ALLOW])),
        default_location=at(99, f"{name}.yaml"),
        mode=draw(st.sampled_from([Mode.ENFORCE] * 9 + [Mode.MONITOR])),
        mirrors=tuple(_unique(draw(st.lists(_mirrors(scene), max_size=2)))),
        exports=tuple(exports),
        imports=tuple(imports),
    )


@st.composite
def _providers(draw: DrawFn, names: tuple[str, ...], zones: dict[str, list[Zone]], linked: bool) -> Provider:
    words = ["*/any", *(f"{name}/any" for name in names)]
    words += [f"{name}/{zone.name}" for name in names for zone in zones[name]]
    scene = _Scene(tuple(words), is_provider=True)
    before = _unique(draw(st.lists(_tiers(scene), max_size=2)))
    after = _unique(draw(st.lists(_tiers(scene), max_size=1)), start=len(before))
    for_whom = st.none() | st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True).map(tuple)
    tiers = [replace(tier, tenants=draw(for_whom)) for tier in before + after]
    if not linked:
        tiers = [replace(tier, rules=tuple(map(_not_across, tier.rules))) for tier in tiers]
    return Provider(before=tuple(tiers[: len(before)]), after=tuple(tiers[len(before) :]))


def _not_across(rule: Rule) -> Rule:
    """Return the rule so that it opens no way between tenants."""
    if rule.action is not Action.ALLOW:
        return rule
    return replace(
        rule, destinations=tuple(one for one in rule.destinations if not one.tenant) or (peer("any"),)
    )


@st.composite
def _tiers(draw: DrawFn, scene: _Scene) -> Tier:
    rules = draw(st.lists(_rules(scene), min_size=1, max_size=4))
    return Tier("t", tuple(_unique(rules)), at(), mode=draw(_MODES))


@st.composite
def _rules(draw: DrawFn, scene: _Scene) -> Rule:
    action = draw(st.sampled_from([Action.ALLOW, Action.ALLOW, Action.DROP, Action.REJECT, Action.PASS]))
    is_allow = action is Action.ALLOW
    targets = st.lists(st.sampled_from(["ids", "tap"]), max_size=1).map(tuple)
    functions = st.sampled_from([(), (), (), ("waf",), ("waf", "ips")])
    return Rule(
        name="r",
        sources=draw(_peers(scene)),
        destinations=draw(_peers(scene, is_destination=True)),
        services=draw(_SERVICES),
        action=action,
        location=at(draw(st.integers(1, 90))),
        log=draw(st.sampled_from(["none", "connections"])),
        mirror=draw(targets) if is_allow else (),
        through=draw(functions) if is_allow else (),
        mode=draw(_MODES) if action in (Action.DROP, Action.REJECT) else None,
    )


@st.composite
def _mirrors(draw: DrawFn, scene: _Scene) -> MirrorRule:
    return MirrorRule(
        name="m",
        sources=draw(_peers(scene)),
        destinations=draw(_peers(scene, is_destination=True)),
        services=draw(_SERVICES),
        targets=(draw(st.sampled_from(["ids", "tap"])),),
        when=draw(st.sampled_from(["before", "allowed", "dropped"])),
        location=at(),
    )


def _peers(scene: _Scene, is_destination: bool = False) -> SearchStrategy[tuple[Peer, ...]]:
    words = ["any", "any", "external", *scene.zones, *scene.zones] + ["self"] * is_destination
    chosen = st.lists(st.sampled_from(words), min_size=1, max_size=2, unique=True)
    return chosen.map(lambda found: tuple(map(peer, found)))


def _services() -> SearchStrategy[tuple[ServiceTerm, ...]]:
    return st.just(()) | st.lists(st.sampled_from(SERVICES), min_size=1, max_size=2, unique=True).map(
        lambda texts: tuple(map(service, texts))
    )


_MODES: SearchStrategy[Mode | None] = st.sampled_from([None] * 10 + [Mode.MONITOR, Mode.ENFORCE])
_SERVICES = _services()


def _unique(items: list, start: int = 0) -> list:  # type: ignore[type-arg]
    """Return the items with a number behind each name."""
    return [replace(one, name=f"{one.name}{number}") for number, one in enumerate(items, start)]


@st.composite
def edited(draw: DrawFn, before: Configuration) -> Configuration:
    """Return the configuration after one to three edits of the kinds that operators make."""
    after = before
    for _ in range(draw(st.integers(1, 3))):
        after = draw(st.sampled_from(_EDITS))(draw, after)
    return after


def _edit_rules(draw: DrawFn, configuration: Configuration) -> Configuration:
    """Drop, add or turn a rule of one tenant, or give it other defaults."""
    tenant = configuration.tenants[draw(st.sampled_from(sorted(configuration.tenants)))]
    scene = _Scene((*tenant.zones, *(one.local_name for one in tenant.imports)))
    tiers = list(tenant.tiers)
    if bool(tiers) and draw(st.booleans()):
        place = draw(st.integers(0, len(tiers) - 1))
        rules = list(tiers[place].rules)
        rules.insert(draw(st.integers(0, len(rules))), replace(draw(_rules(scene)), name="added"))
        if draw(st.booleans()):
            rules.pop(draw(st.integers(0, len(rules) - 1)))
        rules = [one for index, one in enumerate(rules) if one.name not in {r.name for r in rules[:index]}]
        tiers[place] = replace(tiers[place], rules=tuple(rules))
    else:
        tiers = [*tiers, replace(draw(_tiers(scene)), name="added")][-3:]
        tiers = [one for index, one in enumerate(tiers) if one.name not in {t.name for t in tiers[:index]}]
    default = draw(st.sampled_from([tenant.default, Action.DROP, Action.ALLOW]))
    return _with_tenant(configuration, replace(tenant, tiers=tuple(tiers), default=default))


def _edit_zones(draw: DrawFn, configuration: Configuration) -> Configuration:
    """Select others into a zone, or watch it only."""
    tenant = configuration.tenants[draw(st.sampled_from(sorted(configuration.tenants)))]
    mine = [one for one in configuration.inventory.endpoints.values() if one.tenant == tenant.name]
    name = draw(st.sampled_from(list(tenant.zones)))
    zone = replace(
        tenant.zones[name],
        selector=draw(_selectors(mine, [])),
        mode=draw(st.sampled_from([Mode.ENFORCE, Mode.MONITOR])),
    )
    return _with_tenant(configuration, replace(tenant, zones={**tenant.zones, name: zone}))


def _edit_labels(draw: DrawFn, configuration: Configuration) -> Configuration:
    """Give an endpoint another role, take one away, or an address of it."""
    endpoints = dict(configuration.inventory.endpoints)
    key = draw(st.sampled_from(sorted(endpoints)))
    one = endpoints[key]
    kind = draw(st.sampled_from(["role", "role", "gone", "address"]))
    if kind == "gone" and sum(e.tenant == one.tenant for e in endpoints.values()) > 1:
        del endpoints[key]
    elif kind == "address":
        endpoints[key] = replace(one, ips=one.ips[1:] or one.ips)
    else:
        endpoints[key] = replace(one, labels={"role": draw(st.sampled_from(ROLES))})
    return replace(configuration, inventory=replace(configuration.inventory, endpoints=endpoints))


def _edit_links(draw: DrawFn, configuration: Configuration) -> Configuration:
    """Take an export, an import or the provider's tiers away."""
    tenant = configuration.tenants[draw(st.sampled_from(sorted(configuration.tenants)))]
    kind = draw(st.sampled_from(["exports", "mirrors", "provider"]))
    if kind == "provider":
        return replace(configuration, provider=replace(configuration.provider, after=()))
    if kind == "mirrors":
        return _with_tenant(configuration, replace(tenant, mirrors=()))
    return _with_tenant(configuration, replace(tenant, exports=tenant.exports[1:]))


def _with_tenant(configuration: Configuration, tenant: Tenant) -> Configuration:
    return replace(configuration, tenants={**configuration.tenants, tenant.name: tenant})


_EDITS = (_edit_rules, _edit_rules, _edit_zones, _edit_labels, _edit_links)
