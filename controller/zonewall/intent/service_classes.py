"""Classes of packets that no service of some rules tells apart, and sets of them as bits of an integer.

Every packet is in exactly one class, and all packets of a class behave alike for every term the classes were
made of; so a question about all services is a question about one sample of each class.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from zonewall.values.services import (
    ALL_PORTS,
    PORT_PROTOCOLS,
    PortRange,
    Protocol,
    ServiceTerm,
    merge_ranges,
)

_ICMP = (Protocol.ICMP, Protocol.ICMPV6)
_KNOWN = tuple(int(protocol) for protocol in Protocol)
_USUAL_SOURCE_PORT = 40000
_OTHER_FAMILY = {4: Protocol.ICMPV6, 6: Protocol.ICMP}

Signature = frozenset[int]


@dataclass(frozen=True, slots=True)
class Sample:
    """What of one packet's headers services go by.

    Attributes:
        protocol: IP protocol number.
        sport, dport: ports, for TCP, UDP and SCTP.
        icmp: (type, code), for ICMP and ICMPv6.
    """

    protocol: int
    sport: int | None = None
    dport: int | None = None
    icmp: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ServiceClass:
    """Packets that no term tells apart.

    Attributes:
        protocol: IP protocol number; None is every protocol that no class names.
        ports: all destination ports of the class, merged; empty means every port, or that there are none.
        source_ports: the same for source ports.
        icmp_type: None is every type that no other class of the protocol names.
        icmp_code: None is every code that no other class of the type names.
        sample: one of the packets; its ports are not 0 where that can be.
    """

    protocol: int | None
    sample: Sample
    ports: tuple[PortRange, ...] = ()
    source_ports: tuple[PortRange, ...] = ()
    icmp_type: int | None = None
    icmp_code: int | None = None


@dataclass(frozen=True)
class ServiceClasses:
    """All classes that some terms make, in a fixed order; a set of them is an integer, one bit each."""

    classes: tuple[ServiceClass, ...]
    _terms: dict[ServiceTerm, int]

    @staticmethod
    def of(terms: Iterable[ServiceTerm]) -> ServiceClasses:
        """Return the classes that the terms make; a function of the set of terms alone."""
        distinct = sorted(set(terms), key=_order)
        masks = [0] * len(distinct)
        classes: list[ServiceClass] = []
        for one, signature in _all_classes(distinct):
            for term in signature:
                masks[term] |= 1 << len(classes)
            classes.append(one)
        return ServiceClasses(tuple(classes), dict(zip(distinct, masks, strict=True)))

    @cached_property
    def everything(self) -> int:
        """Return the set of all classes."""
        return (1 << len(self.classes)) - 1

    @cached_property
    def of_protocol(self) -> dict[int | None, int]:
        """Return each protocol's classes, in the classes' order."""
        found: dict[int | None, int] = {}
        for place, one in enumerate(self.classes):
            found[one.protocol] = found.get(one.protocol, 0) | 1 << place
        return found

    def mask(self, services: tuple[ServiceTerm, ...]) -> int:
        """Return the classes of a rule's services; none are every service.

        Raises:
            KeyError: one of them is not among the terms that the classes were made of.
        """
        if not services:
            return self.everything
        found = 0
        for term in services:
            found |= self._terms[term]
        return found

    def of_family(self, version: int) -> int:
        """Return the classes that exist between addresses of IP version 4 or 6 (ICMP is one's only)."""
        return self.everything & ~self.of_protocol.get(_OTHER_FAMILY[version], 0)

    def members(self, mask: int) -> Iterator[ServiceClass]:
        """Yield the classes of a set, in order."""
        while mask:
            low = mask & -mask
            yield self.classes[low.bit_length() - 1]
            mask ^= low

    def place(self, packet: Sample) -> int:
        """Return the number of the class that a packet is in; with ports, it needs both."""
        named = {one.protocol for one in self.classes}
        alike = [
            (place, one)
            for place, one in enumerate(self.classes)
            if one.protocol == (packet.protocol if packet.protocol in named else None)
        ]
        if packet.protocol in PORT_PROTOCOLS:
            return next(
                place
                for place, one in alike
                if _is_in(packet.dport, one.ports) and _is_in(packet.sport, one.source_ports)
            )
        if packet.protocol in _ICMP and packet.icmp is not None:
            exact = {(one.icmp_type, one.icmp_code): place for place, one in alike}
            kind, code = packet.icmp
            found = exact.get((kind, code), exact.get((kind, None)))
            return exact[None, None] if found is None else found
        return alike[0][0]


def _order(term: ServiceTerm) -> tuple[object, ...]:
    numbers = (term.protocol, term.icmp_type, term.icmp_code)
    return (*(-1 if number is None else number for number in numbers), term.ports, term.source_ports)


def _is_in(port: int | None, ranges: tuple[PortRange, ...]) -> bool:
    return not ranges or (port is not None and any(first <= port <= last for first, last in ranges))


def _all_classes(terms: list[ServiceTerm]) -> Iterator[tuple[ServiceClass, Signature]]:
    """Yield each class with the places of the terms that are about it."""
    named = sorted({*_KNOWN, *(term.protocol for term in terms if term.protocol is not None)})
    for protocol in named:
        mine = {place: term for place, term in enumerate(terms) if term.protocol in (None, protocol)}
        if protocol in PORT_PROTOCOLS:
            yield from _port_classes(protocol, mine)
        elif protocol in _ICMP:
            yield from _icmp_classes(protocol, mine)
        else:
            yield ServiceClass(protocol, Sample(protocol)), _plain(mine)
    unnamed = next((number for number in range(256) if number not in named), None)
    if unnamed is not None:
        everywhere = {place: term for place, term in enumerate(terms) if term.protocol is None}
        yield ServiceClass(None, Sample(unnamed)), _plain(everywhere)


def _plain(terms: dict[int, ServiceTerm]) -> Signature:
    """Return the terms that ask for neither ports nor types."""
    return frozenset(
        place
        for place, term in terms.items()
        if not (term.ports or term.source_ports) and term.icmp_type is None
    )


def _port_classes(protocol: int, terms: dict[int, ServiceTerm]) -> Iterator[tuple[ServiceClass, Signature]]:
    """Yield classes by destination port, each cut by the source ports that its own terms ask for."""
    with_ports = {place: term.ports for place, term in terms.items() if term.icmp_type is None}
    for about, ports in _split(with_ports):
        asked = {place: terms[place].source_ports for place in about}
        for matched, source_ports in _split(asked):
            sample = Sample(protocol, _pick(source_ports, _USUAL_SOURCE_PORT), _pick(ports, 1))
            yield ServiceClass(protocol, sample, ports, source_ports), matched


def _split(asked: dict[int, tuple[PortRange, ...]]) -> list[tuple[Signature, tuple[PortRange, ...]]]:
    """Return the ports that the same askers ask for, with these askers; an empty tuple asks for all."""
    always = {place for place, ranges in asked.items() if not ranges}
    begins: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for place, ranges in asked.items():
        for first, last in ranges:
            begins.setdefault(first, []).append(place)
            ends.setdefault(last + 1, []).append(place)
    cuts = sorted({0, *begins, *ends} - {ALL_PORTS[1] + 1})
    current = set(always)
    found: dict[Signature, list[PortRange]] = {}
    for first, following in zip(cuts, [*cuts[1:], ALL_PORTS[1] + 1], strict=True):
        current.difference_update(ends.get(first, ()))
        current.update(begins.get(first, ()))
        found.setdefault(frozenset(current), []).append((first, following - 1))
    return [(signature, merge_ranges(ranges)) for signature, ranges in found.items()]


def _pick(ranges: tuple[PortRange, ...], wanted: int) -> int:
    """Return the wanted port if it is among them, else the first that is not 0 unless there is no other."""
    if _is_in(wanted, ranges):
        return wanted
    return next((max(first, 1) for first, last in ranges if last > 0), 0)


def _icmp_classes(protocol: int, terms: dict[int, ServiceTerm]) -> Iterator[tuple[ServiceClass, Signature]]:
    codes: dict[int, set[int]] = {}
    for term in terms.values():
        if term.icmp_type is not None:
            codes.setdefault(term.icmp_type, set()).update(
                () if term.icmp_code is None else (term.icmp_code,)
            )
    for kind, named in sorted(codes.items()):
        other = next((code for code in range(256) if code not in named), None)
        places = [(code, code) for code in sorted(named)] + ([] if other is None else [(None, other)])
        for written, code in places:
            signature = frozenset(
                place
                for place, term in terms.items()
                if term.icmp_type in (None, kind)
                and term.icmp_code in (None, code)
                and not (term.ports or term.source_ports)
            )
            sample = Sample(protocol, icmp=(kind, code))
            yield ServiceClass(protocol, sample, icmp_type=kind, icmp_code=written), signature
    other_kind = next((kind for kind in range(256) if kind not in codes), None)
    if other_kind is not None:
        yield ServiceClass(protocol, Sample(protocol, icmp=(other_kind, 0))), _plain(terms)
