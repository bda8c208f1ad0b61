"""Mirror targets: what bits stand for them, and where their ports are, seen from one bridge.

Each target has a bit wherever it is asked for. The lengths that a tenant's rules cut copies to have bits
among that tenant's connections alone, so that no tenant's take another one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from zonewall.intent.banks import Bank
from zonewall.intent.fleet import Fleet
from zonewall.intent.model import Destination, MirrorSink
from zonewall.intent.numbering import Kind
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import PortDeclaration
from zonewall.policy.model import Configuration
from zonewall.policy.shares import MOST_TARGETS, cut_outlets
from zonewall.values.names import TenantName

Outlet = tuple[str, int | None]
"""A target, and how many bytes of a packet it gets; None is all."""

_Place = tuple[BridgeKey, PortDeclaration, int]


def outlet_bits(configuration: Configuration, *tenants: TenantName) -> dict[Outlet, int]:
    """Return the bit of each target and, among connections of these tenants, of each length that one gets.

    Of one target the longest comes first; a connection is of one tenant or of two, in whichever direction.
    """
    bits: dict[Outlet, int] = {}
    for bit, name in enumerate(sorted(configuration.inventory.mirror_targets)):
        bits[name, None] = bit
    lengths = {outlet for name in tenants for outlet in cut_outlets(configuration.tenants[name])}
    for bit, outlet in enumerate(sorted(lengths, key=lambda one: (one[0], -one[1])), MOST_TARGETS):
        bits[outlet] = bit
    return bits


def mirror_sinks(fleet: Fleet, key: BridgeKey) -> tuple[MirrorSink, ...]:
    """Return where whole copies made here go: to a port here if there is one, else to the first elsewhere."""
    return tuple(_sinks(fleet, key, outlet_bits(fleet.policy.configuration), None, {}))


def cut_sinks(
    fleet: Fleet,
    key: BridgeKey,
    banks: Iterable[tuple[Bank, int]],
    destinations: Callable[[], Iterable[Destination]],
) -> tuple[MirrorSink, ...]:
    """Return where copies go that are cut before they are sent, for each tracking zone of connections here.

    ``banks``: those here, with the zone of their connections. ``destinations`` finds the ways to elsewhere;
    it is asked only where a copy is cut.
    """
    configuration = fleet.policy.configuration
    tenants = {name for name, tenant in configuration.tenants.items() if cut_outlets(tenant)}
    zones = {zone: bank for bank, zone in banks if not tenants.isdisjoint((bank.source, bank.destination))}
    if not zones:
        return ()
    ways = {way.number: way for way in destinations()}
    result: list[MirrorSink] = []
    for zone, bank in sorted(zones.items()):
        bits = outlet_bits(configuration, bank.source, bank.destination)
        result += _sinks(fleet, key, {one: bit for one, bit in bits.items() if one[1]}, zone, ways)
    return tuple(result)


def _sinks(
    fleet: Fleet,
    key: BridgeKey,
    bits: Mapping[Outlet, int],
    zone: int | None,
    ways: Mapping[int, Destination],
) -> Iterator[MirrorSink]:
    """Yield where the copies go that some bits stand for."""
    whole = outlet_bits(fleet.policy.configuration)
    places: dict[str, _Place] = {}
    for bridge, port, ofport in sorted(fleet.declared.targets, key=lambda place: place[0] != key):
        places.setdefault(str(port.target), (bridge, port, ofport))
    for (target, max_len), bit in bits.items():
        if target not in places:
            continue
        bridge, port, ofport = places[target]
        if bridge == key:
            yield _dressed(fleet, port, MirrorSink(bit, ofport, None, whole[target, None], zone, max_len))
        else:
            number = fleet.policy.number(Kind.DESTINATION, f"mirror:{target}@{bridge}")
            way = None if max_len is None else ways.get(number)
            yield MirrorSink(bit, None, number, whole[target, None], zone, max_len, way=way)


def sinks_here(fleet: Fleet, key: BridgeKey) -> tuple[MirrorSink, ...]:
    """Return every mirror target on this bridge with the destination that copies for it come in by."""
    return tuple(_arriving(fleet, key))


def _arriving(fleet: Fleet, key: BridgeKey) -> Iterator[MirrorSink]:
    for port, ofport in fleet.ports.get(key, ()):
        if port.target is not None:
            number = fleet.policy.number(Kind.DESTINATION, f"mirror:{port.target}@{key}")
            yield _dressed(fleet, port, MirrorSink(0, ofport, number, 0))


def _dressed(fleet: Fleet, port: PortDeclaration, sink: MirrorSink) -> MirrorSink:
    """Return the way out of a port here with what copies leave it in."""
    target = fleet.policy.configuration.inventory.mirror_targets[str(port.target)]
    return replace(sink, vlan=target.vlan, remote=target.remote)
