"""Services as they are written: ``tcp/443``, ``icmp/3/1``, ``{proto: udp, ports: [53]}``, a name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zonewall.policy.notes import quoted, suggestion
from zonewall.policy.written import parse_name, parse_whole, text_of
from zonewall.values.services import (
    ANY_SERVICE,
    ICMP_TYPES,
    ICMPV6_TYPES,
    PORT_PROTOCOLS,
    PortRange,
    Protocol,
    ServiceTerm,
    merge_ranges,
)

WITH_PORTS = {"tcp": Protocol.TCP, "udp": Protocol.UDP, "sctp": Protocol.SCTP}
WITH_TYPES = {"icmp": (Protocol.ICMP, ICMP_TYPES), "icmpv6": (Protocol.ICMPV6, ICMPV6_TYPES)}
BUILT_IN = frozenset({"any", "ip", *WITH_PORTS, *WITH_TYPES})
"""Words that a service of one's own cannot be called."""

_HOW = "write tcp/443, tcp/8000-8099, udp/53, icmp/echo-request, ip/47, any, or a service's name"
_PORTS = re.compile(r"([0-9]+)(-([0-9]+))?")
_MAPPING_KEYS = ("proto", "ports", "source-ports")


@dataclass(frozen=True, slots=True)
class ServiceName:
    """A reference to a service of the same document."""

    name: str


ServiceEntry = ServiceTerm | ServiceName


def parse_service(value: object) -> ServiceEntry:
    """Return one alternative of a service.

    Raises:
        ValueError: it is none; says what would be.
    """
    if isinstance(value, dict):
        return _parse_mapping(value)
    text = text_of(value)
    word, slash, rest = text.partition("/")
    if not slash and word not in BUILT_IN:
        try:
            return ServiceName(parse_name(word))
        except ValueError:
            raise ValueError(f"{quoted(text)} is no service; {_HOW}") from None
    if word in WITH_PORTS:
        ports = merge_ranges([parse_port_range(rest)]) if slash else ()
        return ServiceTerm(WITH_PORTS[word], ports)
    if word in WITH_TYPES:
        return _parse_types(word, rest) if slash else ServiceTerm(WITH_TYPES[word][0])
    if word == "ip" and slash:
        return ServiceTerm(parse_whole(rest, 0, 255))
    if word == "any" and not slash:
        return ANY_SERVICE
    hint = suggestion(word, BUILT_IN, "protocols") if slash and word != "any" else _HOW
    raise ValueError(f"{quoted(text)} is no service; {hint}")


def parse_port_range(value: object) -> PortRange:
    """Return the first and last port of ``80`` or ``8000-8099``."""
    text = text_of(value)
    parts = _PORTS.fullmatch(text)
    if not parts:
        raise ValueError(f"{quoted(text)} is neither a port nor a range; write 80 or 8000-8099")
    first = parse_whole(parts[1], 0, 65535)
    last = parse_whole(parts[3], 0, 65535) if parts[3] else first
    if last < first:
        raise ValueError(f"{quoted(text)} ends before it begins; write {last}-{first}")
    return first, last


def _parse_types(word: str, rest: str) -> ServiceTerm:
    protocol, types = WITH_TYPES[word]
    name, slash, code = rest.partition("/")
    if name in types:
        number = types[name]
    elif name.isascii() and name.isdigit():
        number = parse_whole(name, 0, 255)
    else:
        raise ValueError(f"{quoted(name)} is no {word} type; {suggestion(name, types, 'types')}")
    return ServiceTerm(protocol, icmp_type=number, icmp_code=parse_whole(code, 0, 255) if slash else None)


def _parse_mapping(value: dict[object, object]) -> ServiceTerm:
    for key in value:
        if key not in _MAPPING_KEYS:
            hint = suggestion(str(key), _MAPPING_KEYS, "keys")
            raise ValueError(f"unknown key {quoted(str(key))} in a service; {hint}")
    word = text_of(value.get("proto", ""))
    if word in WITH_PORTS:
        protocol: int = WITH_PORTS[word]
    elif word in WITH_TYPES:
        protocol = WITH_TYPES[word][0]
    elif word.isascii() and word.isdigit():
        protocol = parse_whole(word, 0, 255)
    else:
        raise ValueError(
            f"`proto` is {quoted(word)}; write tcp, udp, sctp, icmp, icmpv6 or a number from 0 to 255"
        )
    ports, source_ports = (_parse_ports(value.get(key)) for key in ("ports", "source-ports"))
    if (ports or source_ports) and protocol not in PORT_PROTOCOLS:
        raise ValueError(
            f"{word} has no ports; leave `ports` and `source-ports` out, or write tcp, udp or sctp"
        )
    return ServiceTerm(protocol, ports, source_ports)


def _parse_ports(value: object) -> tuple[PortRange, ...]:
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("the list of ports is empty; leave the key out for every port")
    return merge_ranges([parse_port_range(item) for item in items])
