"""Whom an endpoint may talk to under a configuration, service by service, as the evaluator says."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from zonewall.intent.ends import ranges_in_view
from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.membership import is_member, named_prefixes
from zonewall.policy.model import Action, Configuration, Rule, Tenant
from zonewall.values.addresses import IpAddress, IpPrefix
from zonewall.values.names import EndpointKey, TenantName
from zonewall.values.services import PORT_PROTOCOLS, Protocol

_ECHO = {4: (Protocol.ICMP, 8), 6: (Protocol.ICMPV6, 128)}
_ELSEWHERE = {4: ipaddress.ip_network("192.0.2.0/24"), 6: ipaddress.ip_network("2001:db8::/32")}
"""Where an address that no zone names is looked for (RFC 5737, RFC 3849)."""

_UNNAMED_PROTOCOL = 253  # for experiments, RFC 3692
_NAMES = {int(one): one.name.lower() for one in Protocol}


@dataclass(frozen=True, slots=True)
class Reachable:
    """Something that may be said between an endpoint and others.

    Attributes:
        peers: endpoints as ``tenant/name``, or outside addresses as prefixes; alike in all that rules ask.
        outgoing: the endpoint begins; else the peers do.
        services: such as ``tcp/443`` or ``tcp/8000-8999``.
        rule: by which, and ``at`` where that is written.
    """

    peers: tuple[str, ...]
    outgoing: bool
    services: tuple[str, ...]
    rule: str
    at: str | None
    monitored: bool = False


@dataclass(frozen=True, slots=True)
class _Service:
    name: str
    protocol: int
    ports: tuple[int, int] | None = None
    icmp: tuple[int, int] | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class _Peers:
    names: tuple[str, ...]
    asked: EndpointKey | IpAddress
    addresses: tuple[IpAddress, ...]


def reach(
    configuration: Configuration, endpoint: EndpointKey, when: datetime, peers: frozenset[str] | None = None
) -> Iterator[Reachable]:
    """Yield what is allowed to and from an endpoint at a time.

    Source ports are not asked for: what a rule allows from certain source ports only is not shown.

    Args:
        peers: only these endpoints; None is all, and what is outside.
    """
    declared = configuration.inventory.endpoints[endpoint]
    services = tuple(_services(configuration))
    for group in _groups(configuration, declared, peers):
        for outgoing in (True, False):
            found: dict[tuple[str, str | None, bool], list[_Service]] = {}
            for own, other in _pairs(declared.ips, group.addresses):
                for service in services:
                    if service.version not in (None, own.version):
                        continue
                    probe = _probe(declared, group, own, other, service, outgoing, when)
                    judged = verdict(configuration, probe)
                    if isinstance(judged, Verdict) and judged.verdict is Action.ALLOW:
                        allowed = found.setdefault((judged.rule, judged.at, judged.monitored), [])
                        if service not in allowed:
                            allowed.append(service)
            for (rule, at, monitored), allowed in found.items():
                yield Reachable(group.names, outgoing, _names(allowed), rule, at, monitored)


def _probe(
    declared: EndpointDeclaration,
    group: _Peers,
    own: IpAddress,
    other: IpAddress,
    service: _Service,
    outgoing: bool,
    when: datetime,
) -> Probe:
    ends = ((declared.key, own), (group.asked, other))
    (source, source_ip), (destination, destination_ip) = ends if outgoing else ends[::-1]
    return Probe(
        source,
        destination,
        service.protocol,
        tenant=declared.tenant,
        destination_port=None if service.ports is None else max(service.ports[0], 1),
        icmp=service.icmp,
        source_ip=source_ip if isinstance(source, str) else None,
        destination_ip=destination_ip if isinstance(destination, str) else None,
        time=when,
    )


def _pairs(own: Iterable[IpAddress], others: Iterable[IpAddress]) -> Iterator[tuple[IpAddress, IpAddress]]:
    """Yield one pair of each family that both have."""
    for version in (4, 6):
        mine = next((ip for ip in own if ip.version == version), None)
        theirs = next((ip for ip in others if ip.version == version), None)
        if mine is not None and theirs is not None:
            yield mine, theirs


def _groups(
    configuration: Configuration, declared: EndpointDeclaration, wanted: frozenset[str] | None
) -> Iterator[_Peers]:
    """Yield the other endpoints, those together that are in the same zones; and what is outside."""
    together: dict[tuple[object, ...], list[EndpointDeclaration]] = {}
    for key, other in configuration.inventory.endpoints.items():
        if key == declared.key or (wanted is not None and key not in wanted):
            continue
        tenant = configuration.tenants.get(other.tenant)
        zones = () if tenant is None else _zones(tenant, other)
        versions = tuple(sorted({ip.version for ip in other.ips}))
        together.setdefault((other.tenant, zones, versions), []).append(other)
    for alike in together.values():
        first = alike[0]
        yield _Peers(tuple(str(one.key) for one in alike), first.key, first.ips)
    if wanted is None:
        yield from _outside(configuration, declared.tenant)


def _zones(tenant: Tenant, endpoint: EndpointDeclaration) -> tuple[str, ...]:
    return tuple(
        name for name, zone in sorted(tenant.zones.items()) if is_member(tenant, zone.selector, endpoint)
    )


def _outside(configuration: Configuration, name: TenantName) -> Iterator[_Peers]:
    """Yield an address out of each prefix that a zone of the tenant names, and one that none does."""
    tenant = configuration.tenants.get(name)
    if tenant is None:
        return
    prefixes = sorted(named_prefixes(tenant), key=str)
    taken = {ip for other in configuration.inventory.endpoints.values() for ip in other.ips}
    theirs = ranges_in_view(configuration).get(name, frozenset())
    for prefix in prefixes:
        inner = [
            one for one in prefixes if one != prefix and one.version == prefix.version and _in(one, prefix)
        ]
        inner += [one for one in theirs if one.version == prefix.version]
        address = _free(prefix, inner, taken)
        if address is not None:
            yield _Peers((str(prefix),), address, (address,))
    for version, elsewhere in _ELSEWHERE.items():
        address = _free(elsewhere, [one for one in (*prefixes, *theirs) if one.version == version], taken)
        if address is not None:
            yield _Peers((f"any other IPv{version} address",), address, (address,))


def _in(one: IpPrefix, other: IpPrefix) -> bool:
    return one.prefixlen >= other.prefixlen and one.network_address in other


def _free(prefix: IpPrefix, inner: list[IpPrefix], taken: set[IpAddress]) -> IpAddress | None:
    """Return the first address of a prefix that is in no inner one and no endpoint's."""
    number, last = int(prefix.network_address), int(prefix.broadcast_address)
    make = ipaddress.IPv4Address if prefix.version == 4 else ipaddress.IPv6Address
    while number <= last:
        address = make(number)
        within = [one for one in inner if address in one]
        if within:
            number = max(int(one.broadcast_address) for one in within) + 1
        elif address in taken:
            number += 1
        else:
            return address
    return None


def _services(configuration: Configuration) -> Iterator[_Service]:
    """Yield services such that all others are judged like one of them."""
    terms = [term for rule in _rules(configuration) for term in rule.services]
    for protocol in sorted(PORT_PROTOCOLS):
        cuts = {0, 65536}
        for term in terms:
            if term.protocol in (None, protocol):
                for first, last in term.ports:
                    cuts |= {first, last + 1}
        edges = sorted(cuts)
        for first, after in pairwise(edges):
            yield _Service(_ports(protocol, first, after - 1), protocol, (first, after - 1))
    for version, (protocol, echo) in _ECHO.items():
        types = {term.icmp_type for term in terms if term.protocol == protocol and term.icmp_type is not None}
        for kind in sorted(types | {echo}):
            name = "ping" if kind == echo else f"{_NAMES[protocol]}/{kind}"
            yield _Service(name, protocol, icmp=(kind, 0), version=version)
    named = {term.protocol for term in terms if term.protocol is not None}
    for number in sorted(named - {*PORT_PROTOCOLS, Protocol.ICMP, Protocol.ICMPV6}):
        yield _Service(f"protocol {number}", number)
    yield _Service("other protocols", _UNNAMED_PROTOCOL)


def _names(services: list[_Service]) -> tuple[str, ...]:
    """Return what services are called, neighbouring ports together."""
    joined: list[_Service] = []
    for one in sorted(services, key=lambda service: (service.protocol, service.ports or (0, 0))):
        last = joined[-1] if joined else None
        if (
            last
            and last.ports
            and one.ports
            and (last.protocol, last.ports[1] + 1)
            == (
                one.protocol,
                one.ports[0],
            )
        ):
            ports = (last.ports[0], one.ports[1])
            joined[-1] = replace(last, ports=ports, name=_ports(one.protocol, *ports))
        else:
            joined.append(one)
    return tuple(dict.fromkeys(service.name for service in joined))


def _ports(protocol: int, first: int, last: int) -> str:
    if (first, last) == (0, 65535):
        return _NAMES[protocol]
    return f"{_NAMES[protocol]}/{first}" + ("" if first == last else f"-{last}")


def _rules(configuration: Configuration) -> Iterator[Rule]:
    provider = configuration.provider
    tiers = [*provider.before, *provider.after]
    for tenant in configuration.tenants.values():
        tiers += tenant.tiers
    for tier in tiers:
        yield from tier.rules
