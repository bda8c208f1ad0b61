"""Mirror targets: what bits stand for them, and where their ports are, seen from one bridge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from zonewall.errors import CompileError
from zonewall.intent.fleet import Fleet
from zonewall.intent.model import Destination, MirrorSink
from zonewall.intent.numbering import Kind
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import PortDeclaration
from zonewall.policy.model import Configuration

MOST_OUTLETS = 8
_WHOLE = 1 << 16

Outlet = tuple[str, int | None]
"""A target, and how many bytes of a packet it gets; None is all."""


def mirror_bits(configuration: Configuration) -> dict[Outlet, int]:
    """Return the bit that stands for each target and length; of one target the longest comes first.

    Raises:
        CompileError: more than there are bits.
    """
    outlets: set[Outlet] = {(name, None) for name in configuration.inventory.mirror_targets}
    for tenant in configuration.tenants.values():
        for mirror in tenant.mirrors:
            outlets.update((target, mirror.truncate) for target in mirror.targets)
    if len(outlets) > MOST_OUTLETS:
        raise CompileError(
            f"{len(outlets)} mirror targets, each length that a target gets counted: "
            f"{MOST_OUTLETS} is the most there can be"
        )
    ordered = sorted(outlets, key=lambda outlet: (outlet[0], -(outlet[1] or _WHOLE)))
    return {outlet: bit for bit, outlet in enumerate(ordered)}


def mirror_sinks(
    fleet: Fleet, key: BridgeKey, destinations: Callable[[], Iterable[Destination]]
) -> tuple[MirrorSink, ...]:
    """Return where copies made on this bridge go: a port here if there is one, else the first elsewhere.

    ``destinations`` finds the ways to elsewhere; it is asked only where a copy is cut before it goes there.
    """
    bits = mirror_bits(fleet.policy.configuration)
    cut = any(max_len is not None for _, max_len in bits)
    ways = {way.number: way for way in destinations()} if cut else {}
    places: dict[str, tuple[BridgeKey, PortDeclaration, int]] = {}
    for bridge, port, ofport in sorted(fleet.declared.targets, key=lambda place: place[0] != key):
        places.setdefault(str(port.target), (bridge, port, ofport))
    result = []
    for (target, max_len), bit in bits.items():
        if target not in places:
            continue
        bridge, port, ofport = places[target]
        mask = sum(1 << other for (name, _), other in bits.items() if name == target)
        if bridge == key:
            result.append(_here(fleet, port, ofport, bit, mask, max_len))
        else:
            number = fleet.policy.number(Kind.DESTINATION, f"mirror:{target}@{bridge}")
            way = None if max_len is None else ways.get(number)
            result.append(MirrorSink(bit, None, number, mask, max_len, way=way))
    return tuple(result)


def sinks_here(fleet: Fleet, key: BridgeKey) -> tuple[MirrorSink, ...]:
    """Return every mirror target on this bridge with the destination that copies for it come in by."""
    return tuple(_arriving(fleet, key))


def _arriving(fleet: Fleet, key: BridgeKey) -> Iterator[MirrorSink]:
    for port, ofport in fleet.ports.get(key, ()):
        if port.target is not None:
            number = fleet.policy.number(Kind.DESTINATION, f"mirror:{port.target}@{key}")
            yield _here(fleet, port, ofport, 0, 0, None, number)


def _here(
    fleet: Fleet, port: PortDeclaration, ofport: int, bit: int, mask: int, max_len: int | None,
    destination: int | None = None,
) -> MirrorSink:  # fmt: skip
    target = fleet.policy.configuration.inventory.mirror_targets[str(port.target)]
    return MirrorSink(bit, ofport, destination, mask, max_len, target.vlan, target.remote)
