"""``classbench/*``: filter sets of hundreds to thousands of prefixes, with headers and who decides each.

Every prefix is a zone by ``cidrs``, every filter a rule; both ends are outside addresses of one tenant. Each
set comes twice: as it is, without the headers sent to multicast or broadcast addresses (a class of their own
in zonewall), and whole with each IPv4 address mapped into one IPv6 prefix, where none of them is a group's.
A filter's action is what its headers say; TCP flags are no part of it, as in the source's own search.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conformance.case import ALLOWED, DROPPED, Case, Expectation, directory
from support.configurations import at, configure, tenant, tier
from zonewall.intent.semantics import Probe
from zonewall.policy.model import Action, Configuration, Peer, Rule, Selector, Zone
from zonewall.values.addresses import IpAddress, IpPrefix
from zonewall.values.names import TenantName, ZoneName
from zonewall.values.services import PORT_PROTOCOLS, PortRange, Protocol, ServiceTerm, merge_ranges

TENANT = TenantName("bench")
SEED = 20250301
_MAPPED = int(ipaddress.IPv6Address("2001:db8:0:1::"))
_VERDICTS = {"allow": ALLOWED, "drop": DROPPED}


@dataclass(frozen=True, slots=True)
class _Filter:
    source: ipaddress.IPv4Network
    destination: ipaddress.IPv4Network
    source_ports: PortRange
    destination_ports: PortRange
    protocol: int | None


@dataclass(frozen=True, slots=True)
class _Header:
    source: ipaddress.IPv4Address
    destination: ipaddress.IPv4Address
    source_port: int
    destination_port: int
    protocol: int
    decided_by: int
    action: str


def cases(sample: int | None = 1000) -> list[Case]:
    """Return every filter set in both families, with so many headers drawn (None: all of them)."""
    paths = sorted((directory() / "classbench").glob("*.rules"))
    if not paths:
        raise FileNotFoundError("no filter sets among the conformance cases")
    return [case for path in paths for case in _both_families(path, sample)]


def _both_families(path: Path, sample: int | None) -> Iterator[Case]:
    filters = [_parse_filter(line) for line in path.read_text(encoding="ascii").splitlines()]
    lines = path.with_suffix(".headers.tsv").read_text(encoding="ascii").splitlines()[1:]
    headers = [_parse_header(line) for line in lines]
    actions = {header.decided_by: header.action for header in headers}
    drawn = headers if sample is None else random.Random(SEED).sample(headers, min(sample, len(headers)))
    for family, kept in ((4, [one for one in drawn if not _goes_to_group(one)]), (6, drawn)):
        case_id = f"classbench/{path.stem}/ipv{family}"
        expectations = tuple(_expectation(header, family) for header in kept)
        yield Case(case_id, _configuration(filters, actions, family), expectations, case_id)


def _parse_filter(line: str) -> _Filter:
    source, destination, source_ports, destination_ports, protocol = line.removeprefix("@").split("\t")[:5]
    number, mask = (int(part, 16) for part in protocol.split("/"))
    return _Filter(
        ipaddress.IPv4Network(source),
        ipaddress.IPv4Network(destination),
        _parse_ports(source_ports),
        _parse_ports(destination_ports),
        number if mask else None,
    )


def _parse_ports(text: str) -> PortRange:
    first, last = (int(part) for part in text.split(":"))
    return first, last


def _parse_header(line: str) -> _Header:
    source, destination, *numbers, action, _ = line.split("\t")
    source_port, destination_port, protocol, decided_by = map(int, numbers)
    return _Header(
        ipaddress.IPv4Address(source),
        ipaddress.IPv4Address(destination),
        source_port,
        destination_port,
        protocol,
        decided_by,
        action,
    )


def _goes_to_group(header: _Header) -> bool:
    return header.destination.is_multicast or str(header.destination) == "255.255.255.255"


def _expectation(header: _Header, family: int) -> Expectation:
    protocol = _protocol(header.protocol, family)
    has_ports = protocol in PORT_PROTOCOLS
    asked = Probe(
        source=_address(header.source, family),
        destination=_address(header.destination, family),
        protocol=protocol,
        tenant=TENANT,
        source_port=header.source_port if has_ports else None,
        destination_port=header.destination_port if has_ports else None,
        icmp={Protocol.ICMP: (8, 0), Protocol.ICMPV6: (128, 0)}.get(protocol),  # type: ignore[call-overload]
    )
    name = f"{TENANT}/filters/f{header.decided_by}" if header.decided_by else f"{TENANT}/default"
    return Expectation(asked, _VERDICTS[header.action], name)


def _configuration(filters: list[_Filter], actions: dict[int, str], family: int) -> Configuration:
    prefixes = sorted({prefix for one in filters for prefix in (one.source, one.destination)})
    names = {prefix: ZoneName(f"z{number}") for number, prefix in enumerate(prefixes)}
    zones = [Zone(name, Selector(cidrs=(_prefix(prefix, family),)), at()) for prefix, name in names.items()]
    rules = [
        Rule(
            f"f{number}",
            (Peer("zone", names[one.source]),),
            (Peer("zone", names[one.destination]),),
            _services(one, family),
            Action(actions.get(number, "drop")),
            at(number, "filters.yaml"),
        )
        for number, one in enumerate(filters, 1)
    ]
    return configure(tenant(TENANT, tier("filters", *rules), zones=zones))


def _services(one: _Filter, family: int) -> tuple[ServiceTerm, ...]:
    ports = merge_ranges([one.destination_ports])
    source_ports = merge_ranges([one.source_ports])
    if one.protocol is None:
        if ports or source_ports:
            raise ValueError("a filter of ports for every protocol is not translated")
        return ()
    return (ServiceTerm(_protocol(one.protocol, family), ports, source_ports),)


def _protocol(number: int, family: int) -> int:
    return Protocol.ICMPV6 if (number, family) == (Protocol.ICMP, 6) else number


def _address(address: ipaddress.IPv4Address, family: int) -> IpAddress:
    return address if family == 4 else ipaddress.IPv6Address(_MAPPED | int(address))


def _prefix(prefix: ipaddress.IPv4Network, family: int) -> IpPrefix:
    if family == 4:
        return prefix
    return ipaddress.IPv6Network((_MAPPED | int(prefix.network_address), 96 + prefix.prefixlen))
