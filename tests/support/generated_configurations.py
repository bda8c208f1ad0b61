"""Generated configurations and probes: small, full of edges, and valid.

Either the tenants use the same addresses and MACs, and then nothing may lead from one to another; or their
addresses differ, and exports, imports and provider rules join them. So no address is reachable in two ways.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from functools import lru_cache

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from support.choosing import one_of, some_of, yes_or_no
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
from zonewall.values.addresses import IpAddress, MacAddress
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
class Scene:
    """What rules of one author may name."""

    zones: tuple[str, ...]
    is_provider: bool = False


@st.composite
def configurations(draw: DrawFn, linked: bool | None = None) -> Configuration:
    """Return a configuration of one to three tenants; ``linked`` says whether something joins them."""
    if linked is None:
        linked = yes_or_no(draw)
    names = NAMES[: one_of(draw, (2, 3) if linked else (1, 2, 3))]
    endpoints = [one for place, name in enumerate(names) for one in _endpoints(draw, name, place, linked)]
    zones = {name: _zones(draw, endpoints, name) for name in names}
    agreements = _agreements(draw, names, zones) if linked else ()
    tenants = [_tenant(draw, name, zones[name], agreements) for name in names]
    provider = _provider(draw, names, zones, linked) if yes_or_no(draw) else NO_PROVIDER
    return configure(*endpoints, *tenants, provider=provider)


@st.composite
def probes(draw: DrawFn, configuration: Configuration) -> Probe:
    """Return a probe that can be judged: addresses of one family, all headers, no group address."""
    tenant = one_of(draw, sorted(configuration.tenants))
    endpoints = [one for one in configuration.inventory.endpoints.values() if one.ips]
    first = one_of(draw, [*(one for one in endpoints if one.tenant == tenant), None])
    others: list[EndpointDeclaration | None] = [None, *(one for one in endpoints if one is not first)]
    if first is None:
        others = [None, *(one for one in endpoints if one.tenant == tenant)]
    second = one_of(draw, others)
    pairs = _address_pairs(first, second)
    pair = one_of(draw, pairs or [(OUTSIDE[0], OUTSIDE[4])])
    ends = [one if one is None else one.key for one in (first, second)]
    if not pairs:
        ends = [None, None]
    if yes_or_no(draw):
        ends, pair = ends[::-1], pair[::-1]
    headers = _headers(draw, pair[0].version)
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


def _headers(draw: DrawFn, version: int) -> Probe:
    """Return a probe of which only protocol, ports and ICMP type are meant."""
    anywhere = OUTSIDE[0]
    kind = one_of(draw, ("tcp", "tcp", "udp", "sctp", "icmp", "other"))
    if kind == "icmp":
        return Probe(anywhere, anywhere, 1 if version == 4 else 58, icmp=one_of(draw, ICMP_PROBES[version]))
    if kind == "other":
        return Probe(anywhere, anywhere, one_of(draw, (47, 89)))
    return Probe(
        anywhere,
        anywhere,
        {"tcp": 6, "udp": 17, "sctp": 132}[kind],
        source_port=one_of(draw, PORTS),
        destination_port=one_of(draw, PORTS),
    )


def _endpoints(draw: DrawFn, name: str, place: int, linked: bool) -> list[EndpointDeclaration]:
    """Return a tenant's endpoints; tenants that nothing joins have the same addresses and MACs."""
    space = place if linked else 0
    found = []
    for index in range(1, one_of(draw, range(1, MOST_ENDPOINTS + 1)) + 1):
        forms = some_of(draw, _ADDRESSED_BY_INDEX, most=3)
        labels = {"role": one_of(draw, ROLES)}
        stage = one_of(draw, (None, "dev", "prod"))
        found.append(
            EndpointDeclaration(
                name=f"vm{index}",
                tenant=TenantName(name),
                mac=MacAddress(0x525400000000 | space << 8 | index),
                location=at(file="inventory.yaml"),
                iface_id=f"{name}-vm{index}",
                ips=tuple(ipaddress.ip_address(form.format(tenant=space, index=index)) for form in forms),
                labels=labels if stage is None else {**labels, "stage": stage},
            )
        )
    return found


def _zones(draw: DrawFn, endpoints: list[EndpointDeclaration], name: str) -> list[Zone]:
    """Return zones that overlap; a union names zones before it only."""
    mine = [one for one in endpoints if one.tenant == name]
    zones: list[Zone] = []
    for index in range(one_of(draw, range(1, 6))):
        selector = selected(draw, mine, [zone.name for zone in zones])
        mode = one_of(draw, [Mode.ENFORCE] * 7 + [Mode.MONITOR])
        zones.append(Zone(ZoneName(f"z{index}"), selector, at(), mode=mode))
    return zones


def selected(
    draw: DrawFn, mine: list[EndpointDeclaration], before: list[ZoneName], depth: int = 0
) -> Selector:
    """Return what a zone selects: of a tenant's endpoints, of zones before it, or addresses."""
    kinds = ["labels", "labels", "cidrs", "cidrs", "endpoints", "macs"] + ["zones", "zones"] * bool(before)
    chosen = some_of(draw, kinds, most=2)
    keys: dict[str, object] = {}
    if "labels" in chosen:
        roles, stage = some_of(draw, ROLES, most=2), one_of(draw, (("dev",), ("prod",), ("*",)))
        keys["labels"] = one_of(draw, ({"role": roles}, {"stage": stage}, {"role": roles, "stage": stage}))
    if "cidrs" in chosen:
        keys["cidrs"] = some_of(draw, PREFIXES, most=3)
        keys["outside"] = one_of(draw, (False, False, False, True))
    if "endpoints" in chosen:
        keys["endpoints"] = tuple(one.name for one in some_of(draw, mine, most=2))
    if "macs" in chosen:
        keys["macs"] = (one_of(draw, mine).mac,)
    if "zones" in chosen:
        keys["zones"] = some_of(draw, before, most=2)
    if depth == 0 and one_of(draw, range(3)) == 0:
        keys["excluded"] = selected(draw, mine, before, 1)
    return Selector(**keys)  # type: ignore[arg-type]


Agreements = tuple[tuple[str, ZoneName, str], ...]


def _agreements(draw: DrawFn, names: tuple[str, ...], zones: dict[str, list[Zone]]) -> Agreements:
    """Return (exporter, zone, importer) triples, no zone twice to the same importer."""
    ordered = [(a, b) for a in names for b in names if a != b]
    choices = [(a, zone.name, b) for a, b in ordered for zone in zones[a]]
    return some_of(draw, choices, most=3, least=0)


def _tenant(draw: DrawFn, name: str, zones: list[Zone], agreements: Agreements) -> Tenant:
    imports = [
        Import(TenantName(whose), zone, ZoneName(f"{whose}-{zone}"), at())
        for whose, zone, to in agreements
        if to == name
    ]
    exports = [
        Export(zone, (TenantName(to),), at())
        for whose, zone, to in agreements
        if whose == name and one_of(draw, range(6))  # else it was taken back
    ]
    scene = Scene((*(zone.name for zone in zones), *[one.local_name for one in imports] * 2))
    return Tenant(
        name=TenantName(name),
        location=at(file=f"{name}.yaml"),
        zones={zone.name: zone for zone in zones},
        tiers=tuple(_unique(draw(st.lists(a_tier(scene), max_size=3)))),
        default=one_of(draw, (Action.DROP, Action.DROP, Action.REJECT, Action.ALLOW)),
        default_location=at(99, f"{name}.yaml"),
        mode=one_of(draw, [Mode.ENFORCE] * 9 + [Mode.MONITOR]),
        mirrors=tuple(_unique(draw(st.lists(_mirrors(scene), max_size=2)))),
        exports=tuple(exports),
        imports=tuple(imports),
    )


def _provider(draw: DrawFn, names: tuple[str, ...], zones: dict[str, list[Zone]], linked: bool) -> Provider:
    words = ["*/any", *(f"{name}/any" for name in names)]
    words += [f"{name}/{zone.name}" for name in names for zone in zones[name]]
    scene = Scene(tuple(words), is_provider=True)
    before = _unique(draw(st.lists(a_tier(scene), max_size=2)))
    after = _unique(draw(st.lists(a_tier(scene), max_size=1)), start=len(before))
    made = [
        replace(tier, tenants=some_of(draw, names, most=2) if yes_or_no(draw) else None)
        for tier in before + after
    ]
    if not linked:
        made = [replace(tier, rules=tuple(map(_not_across, tier.rules))) for tier in made]
    return Provider(before=tuple(made[: len(before)]), after=tuple(made[len(before) :]))


def _not_across(rule: Rule) -> Rule:
    """Return the rule so that it opens no way between tenants."""
    if rule.action is not Action.ALLOW:
        return rule
    return replace(
        rule, destinations=tuple(one for one in rule.destinations if not one.tenant) or (peer("any"),)
    )


@lru_cache(maxsize=256)
@st.composite
def a_tier(draw: DrawFn, scene: Scene) -> Tier:
    """Return a tier of rules of the scene's author."""
    made = draw(st.lists(a_rule(scene), min_size=1, max_size=4))
    return Tier("t", tuple(_unique(made)), at(), mode=one_of(draw, _MODES))


@lru_cache(maxsize=256)
@st.composite
def a_rule(draw: DrawFn, scene: Scene) -> Rule:
    """Return a rule of the scene's author."""
    action = one_of(draw, (Action.ALLOW, Action.ALLOW, Action.DROP, Action.REJECT, Action.PASS))
    is_allow = action is Action.ALLOW
    return Rule(
        name="r",
        sources=_peers(draw, scene),
        destinations=_peers(draw, scene, is_destination=True),
        services=_services(draw),
        action=action,
        location=at(one_of(draw, range(1, 91))),
        log=one_of(draw, ("none", "connections")),
        mirror=one_of(draw, ((), ("ids",), ("tap",))) if is_allow else (),
        through=one_of(draw, ((), (), (), ("waf",), ("waf", "ips"))) if is_allow else (),
        mode=one_of(draw, _MODES) if action in (Action.DROP, Action.REJECT) else None,
    )


@lru_cache(maxsize=256)
@st.composite
def _mirrors(draw: DrawFn, scene: Scene) -> MirrorRule:
    return MirrorRule(
        name="m",
        sources=_peers(draw, scene),
        destinations=_peers(draw, scene, is_destination=True),
        services=_services(draw),
        targets=(one_of(draw, ("ids", "tap")),),
        when=one_of(draw, ("before", "allowed", "dropped")),
        location=at(),
        truncate=one_of(draw, (None, 64, 128)),
    )


def _peers(draw: DrawFn, scene: Scene, is_destination: bool = False) -> tuple[Peer, ...]:
    words = ["any", "any", "external", *scene.zones, *scene.zones] + ["self"] * is_destination
    return tuple(map(peer, some_of(draw, words, most=2)))


def _services(draw: DrawFn) -> tuple[ServiceTerm, ...]:
    return tuple(map(service, some_of(draw, SERVICES, most=2))) if yes_or_no(draw) else ()


_MODES: tuple[Mode | None, ...] = (*[None] * 10, Mode.MONITOR, Mode.ENFORCE)


def _unique(items: list, start: int = 0) -> list:  # type: ignore[type-arg]
    """Return the items with a number behind each name."""
    return [replace(one, name=f"{one.name}{number}") for number, one in enumerate(items, start)]
