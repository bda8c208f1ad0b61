"""Sets of service classes as an operator would write them: ``tcp/443``, ``any except tcp/22``."""

from __future__ import annotations

from zonewall.intent.service_classes import ServiceClass, ServiceClasses
from zonewall.values.services import (
    ALL_PORTS,
    ICMP_TYPES,
    ICMPV6_TYPES,
    PORT_PROTOCOLS,
    PortRange,
    Protocol,
    merge_ranges,
)

_WORDS = {int(protocol): protocol.name.lower() for protocol in Protocol}
_TYPES = {
    int(Protocol.ICMP): {number: name for name, number in ICMP_TYPES.items()},
    int(Protocol.ICMPV6): {number: name for name, number in ICMPV6_TYPES.items()},
}


def service_texts(services: ServiceClasses, classes: int, within: int | None = None) -> tuple[str, ...]:
    """Return the services of a set of classes, few and readable; exactly the set, nothing is rounded.

    Args:
        services: what the classes were made by.
        classes: the set.
        within: what there could be, such as all services of one IP version; all classes unless said.
    """
    there = services.everything if within is None else within
    classes &= there
    if not classes:
        return ()
    if classes == there:
        return ("any",)
    if classes & services.of_protocol.get(None, 0):
        missing = _protocols(services, there & ~classes, there)
        return (f"any except {', '.join(missing)}",)
    return tuple(_protocols(services, classes, there))


def _protocols(services: ServiceClasses, classes: int, there: int) -> list[str]:
    found: list[str] = []
    for protocol, own in services.of_protocol.items():
        chosen, existing = classes & own, there & own
        if not chosen:
            continue
        if protocol is None:
            named = (
                number for number, of in services.of_protocol.items() if of & there and number is not None
            )
            found.append(f"ip (no {', '.join(map(_word, named))})")
        elif chosen == existing:
            found.append(_word(protocol))
        elif protocol in PORT_PROTOCOLS:
            found += _ports(_word(protocol), list(services.members(chosen)))
        else:
            found += _types(protocol, list(services.members(chosen)), list(services.members(existing)))
    return found


def _word(protocol: int) -> str:
    return _WORDS.get(protocol, f"ip/{protocol}")


def _ports(word: str, members: list[ServiceClass]) -> list[str]:
    """Return the ports of classes: those with any source port first, then each set of source ports."""
    sources: dict[tuple[PortRange, ...], list[PortRange]] = {}
    for one in members:
        sources.setdefault(one.ports, []).extend(one.source_ports or (ALL_PORTS,))
    ports: dict[tuple[PortRange, ...], list[PortRange]] = {}
    for destination, ranges in sources.items():
        ports.setdefault(merge_ranges(ranges), []).extend(destination or (ALL_PORTS,))
    texts = []
    for source_ports, ranges in sorted(ports.items()):
        suffix = f" from {_ranges(source_ports)}" if source_ports else ""
        merged = merge_ranges(ranges)
        holes = _complement(merged)
        if not merged:
            texts.append(f"{word}{suffix}")
        elif len(holes) < len(merged):
            texts.append(f"{word} except {_ranges(holes)}{suffix}")
        else:
            texts += [f"{word}/{_ranges((one,))}{suffix}" for one in merged]
    return texts


def _complement(ranges: tuple[PortRange, ...]) -> tuple[PortRange, ...]:
    found, at = [], 0
    for first, last in ranges:
        if first > at:
            found.append((at, first - 1))
        at = last + 1
    return (*found, (at, ALL_PORTS[1])) if at <= ALL_PORTS[1] else tuple(found)


def _ranges(ranges: tuple[PortRange, ...]) -> str:
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def _types(protocol: int, members: list[ServiceClass], existing: list[ServiceClass]) -> list[str]:
    if any(one.icmp_type is None for one in members):
        missing = [one for one in existing if one not in members]
        return [f"{_word(protocol)} except {', '.join(_types(protocol, missing, existing))}"]
    kinds: dict[int, list[ServiceClass]] = {}
    for one in members:
        kinds.setdefault(one.icmp_type if one.icmp_type is not None else -1, []).append(one)
    texts = []
    for kind, codes in kinds.items():
        name = f"{_word(protocol)}/{_TYPES[protocol].get(kind, kind)}"
        all_codes = [one for one in existing if one.icmp_type == kind]
        if len(codes) == len(all_codes):
            texts.append(name)
        elif any(one.icmp_code is None for one in codes):
            missing_codes = sorted(str(one.icmp_code) for one in all_codes if one not in codes)
            texts.append(f"{name} except code {','.join(missing_codes)}")
        else:
            texts += [f"{name}/{one.icmp_code}" for one in codes]
    return texts
