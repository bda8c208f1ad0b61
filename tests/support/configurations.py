"""Configurations in a few words, as values: what the documents say, without the documents."""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.policy.findings import Location
from zonewall.policy.inventory import (
    EndpointDeclaration,
    HostDeclaration,
    Inventory,
    MirrorTarget,
    ServiceFunction,
)
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
from zonewall.values.names import EndpointKey, HostName, TenantName, ZoneName
from zonewall.values.services import ICMP_TYPES, ICMPV6_TYPES, Protocol, ServiceTerm, merge_ranges

NO_PROVIDER = Provider()
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}


def at(line: int = 1, file: str = "test.yaml") -> Location:
    """Return a place in a document."""
    return Location(file, line, 1)


def endpoint(key: str, *ips: str, **fields: Any) -> EndpointDeclaration:
    """Return ``tenant/name`` with its addresses; ``labels``, ``mac`` and ``ranges`` where they matter."""
    tenant_name, name = key.split("/")
    return EndpointDeclaration(
        name=name,
        tenant=TenantName(tenant_name),
        mac=MacAddress(fields.get("mac", 0x525400000000 | zlib.crc32(key.encode()))),
        location=at(file="inventory.yaml"),
        iface_id=fields.get("iface_id", f"{tenant_name}-{name}"),
        ips=tuple(ipaddress.ip_address(ip) for ip in ips),
        ranges=tuple(ipaddress.ip_network(prefix) for prefix in fields.get("ranges", ())),
        labels=fields.get("labels"),
        roles=frozenset(fields.get("roles", ())),
    )


def selector(**keys: Any) -> Selector:
    """Return a selector; a label's alternatives may be one word, prefixes are text."""
    labels = keys.get("labels")
    return Selector(
        labels=None if labels is None else {key: _tuple(value) for key, value in labels.items()},
        endpoints=_optional(keys.get("endpoints")),
        macs=_optional(keys.get("macs")),
        cidrs=None if keys.get("cidrs") is None else tuple(map(ipaddress.ip_network, keys["cidrs"])),
        zones=_optional(keys.get("zones")),
        outside=keys.get("outside", False),
        excluded=keys.get("excluded"),
    )


def zone(name: str, mode: Mode = Mode.ENFORCE, **keys: Any) -> Zone:
    """Return a zone with the selector that the keys say."""
    return Zone(ZoneName(name), selector(**keys), at(), mode=mode)


def peer(text: str) -> Peer:
    """Return ``any``, ``external``, ``self``, ``zone``, ``tenant/zone`` or ``*/any``."""
    tenant_name, _, name = text.rpartition("/")
    owner = TenantName(tenant_name) if tenant_name else None
    if name in ("any", "external", "self"):
        return Peer(name, tenant=owner)  # type: ignore[arg-type]
    return Peer("zone", ZoneName(name), owner)


def service(text: str) -> ServiceTerm:
    """Return ``tcp/80``, ``tcp/8000-8099``, ``udp``, ``icmp/8/0``, ``icmp/echo-request``, ``ip/47``, ``any``.

    ``tcp/80 from 1024-65535`` asks for a source port as well.
    """
    text, _, source_ports = text.partition(" from ")
    word, *rest = text.split("/")
    if word == "any":
        return ServiceTerm()
    if word == "ip":
        return ServiceTerm(int(rest[0]))
    if word in ("icmp", "icmpv6"):
        names = ICMP_TYPES if word == "icmp" else ICMPV6_TYPES
        numbers = [names.get(part, -1) if not part.isdigit() else int(part) for part in rest] + [None, None]
        return ServiceTerm(PROTOCOLS[word], icmp_type=numbers[0], icmp_code=numbers[1])
    return ServiceTerm(
        PROTOCOLS[word], ports=_ranges(rest[0] if rest else ""), source_ports=_ranges(source_ports)
    )


def rule(name: str, sources: str, destinations: str, action: str = "allow", **fields: Any) -> Rule:
    """Return a rule; peers are words with spaces between, services a list of texts."""
    services = tuple(service(text) for text in _tuple(fields.pop("services", ())))
    return Rule(
        name=name,
        sources=tuple(peer(word) for word in sources.split()),
        destinations=tuple(peer(word) for word in destinations.split()),
        services=services,
        action=Action(action),
        location=fields.pop("location", at()),
        **fields,
    )


def mirror(name: str, sources: str, destinations: str, when: str = "before", **fields: Any) -> MirrorRule:
    """Return a mirror to ``ids``, unless ``targets`` says others."""
    return MirrorRule(
        name=name,
        sources=tuple(peer(word) for word in sources.split()),
        destinations=tuple(peer(word) for word in destinations.split()),
        services=tuple(service(text) for text in _tuple(fields.get("services", ()))),
        targets=_tuple(fields.get("targets", "ids")),
        when=when,  # type: ignore[arg-type]
        location=at(),
        truncate=fields.get("truncate"),
    )


def tier(name: str, *rules: Rule, **fields: Any) -> Tier:
    """Return a tier of these rules."""
    return Tier(name, rules, at(), **fields)


def tenant(name: str, *tiers: Tier, zones: Iterable[Zone] = (), **fields: Any) -> Tenant:
    """Return a tenant; ``exports`` are (zone, tenant), ``imports`` (``tenant/zone``, local name) pairs."""
    exports = tuple(
        Export(ZoneName(exported), (TenantName(to),), at()) for exported, to in fields.pop("exports", ())
    )
    imports = tuple(
        Import(TenantName(whence.split("/")[0]), ZoneName(whence.split("/")[1]), ZoneName(local), at())
        for whence, local in fields.pop("imports", ())
    )
    return Tenant(
        name=TenantName(name),
        location=at(file=f"{name}.yaml"),
        zones={one.name: one for one in zones},
        tiers=tiers,
        default=Action(fields.pop("default", "drop")),
        exports=exports,
        imports=imports,
        **fields,
    )


def configure(
    *parts: Tenant | EndpointDeclaration,
    provider: Provider = NO_PROVIDER,
    hosts: Mapping[HostName, HostDeclaration] = MappingProxyType({}),
    mirror_targets: Iterable[str] = ("ids", "tap"),
    service_functions: Iterable[str] = ("waf", "ips"),
) -> Configuration:
    """Return the configuration of these tenants and endpoints, in this order."""
    endpoints = [part for part in parts if isinstance(part, EndpointDeclaration)]
    tenants = [part for part in parts if isinstance(part, Tenant)]
    return Configuration(
        Inventory(
            hosts=hosts,
            endpoints={one.key: one for one in endpoints},
            mirror_targets={name: MirrorTarget(name, at()) for name in mirror_targets},
            service_functions={
                name: ServiceFunction(name, "bump-in-the-wire", at()) for name in service_functions
            },
        ),
        provider,
        {one.name: one for one in tenants},
    )


def probe(source: str, destination: str, what: str = "tcp/80", **fields: Any) -> Probe:
    """Return a probe of ``tcp/80``, ``icmp/8/0`` or ``47``, with ``sport``, ``tenant`` or ``time``."""
    word, *numbers = what.split("/")
    protocol = PROTOCOLS[word] if word in PROTOCOLS else int(word)
    is_icmp = protocol in (Protocol.ICMP, Protocol.ICMPV6)
    time = fields.get("time")
    return Probe(
        source=_end(source),
        destination=_end(destination),
        protocol=protocol,
        tenant=fields.get("tenant"),
        source_port=fields.get("sport"),
        destination_port=int(numbers[0]) if numbers and not is_icmp else None,
        icmp=(int(numbers[0]), int(numbers[1])) if is_icmp and numbers else None,
        source_ip=_address(fields.get("src_ip")),
        destination_ip=_address(fields.get("dst_ip")),
        time=datetime.fromisoformat(time) if isinstance(time, str) else time,
    )


def _end(text: str) -> EndpointKey | IpAddress:
    return EndpointKey(text) if "/" in text else ipaddress.ip_address(text)


def _address(text: str | None) -> IpAddress | None:
    return None if text is None else ipaddress.ip_address(text)


def _tuple(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _optional(value: Any) -> tuple[Any, ...] | None:
    return None if value is None else _tuple(value)


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    pairs = [part.split("-") for part in text.split(",") if part]
    return merge_ranges([(int(pair[0]), int(pair[-1])) for pair in pairs])


def judge(configuration: Configuration, asked: Probe) -> Verdict:
    """Return the evaluator's verdict about a probe that can be judged."""
    answer = verdict(configuration, asked)
    assert isinstance(answer, Verdict), answer
    return answer
