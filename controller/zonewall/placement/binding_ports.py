"""What the fleet writes down beside the endpoints' records: ports, hosts, what is still to come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from zonewall.placement.binding import Lookup, PortFacts, identify
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.binding_record import EndpointRecord, PortRef
from zonewall.placement.model import BridgeKey
from zonewall.values.names import EndpointKey, OfPort

TICKS_PER_S = 4


class Remembered(NamedTuple):
    """Where an endpoint was when the controller stopped.

    Attributes:
        window_until: a reading of the machine's monotonic clock, which goes on when a process ends.
    """

    endpoint: EndpointKey
    port: PortRef
    ofport: OfPort
    window_until: float | None = None

    def window_at(self, at: float, window_s: float) -> float | None:
        """Return until when connections may still be taken up; None if not at all, or after a reboot."""
        until = self.window_until
        return until if until is not None and at < until <= at + window_s else None


@dataclass(frozen=True, slots=True)
class SeenPort:
    """A port as its host last reported it."""

    ofport: int | None
    external_ids: Mapping[str, str]
    generation: int
    facts: PortFacts


_NO_PORTS: FrozenMap[PortRef, None] = FrozenMap()
_NO_NUMBERS: FrozenMap[PortRef, OfPort] = FrozenMap()


@dataclass(frozen=True, slots=True)
class HostView:
    """A host's ports; ``unverified`` are remembered from before a restart and not reported since.

    Both are as sets are, of which one with a port more costs no more on a host of many. ``waiting`` are those
    that are reported with a number that another port still has, and that number.
    """

    alive: bool = True
    ports: FrozenMap[PortRef, None] = field(default_factory=lambda: _NO_PORTS)
    unverified: FrozenMap[PortRef, None] = field(default_factory=lambda: _NO_PORTS)
    waiting: FrozenMap[PortRef, OfPort] = field(default_factory=lambda: _NO_NUMBERS)

    def holding(self, port: PortRef, remembered: bool) -> HostView:
        """Return with a port, reported or merely remembered; this very one where it says so already."""
        ports = self.ports.put(port, None)
        unverified = self.unverified.put(port, None) if remembered else self.unverified.drop(port)
        same = ports is self.ports and unverified is self.unverified
        return self if same else HostView(self.alive, ports, unverified, self.waiting)

    def awaiting(self, port: PortRef, number: OfPort | None) -> HostView:
        """Return with a port that waits for its number, None: for none; this very one where it does so."""
        if self.waiting.get(port) == number:
            return self
        waiting = self.waiting.drop(port) if number is None else self.waiting.put(port, number)
        return HostView(self.alive, self.ports, self.unverified, waiting)

    def without(self, port: PortRef) -> HostView:
        """Return without a port."""
        view = self.awaiting(port, None)
        return HostView(view.alive, view.ports.drop(port), view.unverified.drop(port), view.waiting)


def remembered_place(endpoint: EndpointKey, record: EndpointRecord) -> Remembered | None:
    """Return where an endpoint is held, None if that is nowhere: it has to outlast the controller."""
    holder = record.holder
    if holder is None or holder.ofport is None:
        return None
    return Remembered(endpoint, holder.port, holder.ofport, record.window_until)


def without_ofport(
    by_ofport: FrozenMap[tuple[BridgeKey, OfPort], PortRef],
    port: PortRef,
    known: SeenPort | None,
    now: OfPort | None = None,
) -> FrozenMap[tuple[BridgeKey, OfPort], PortRef]:
    """Return the ofports without a known port's, unless it keeps that; what another port has by now stays."""
    number = known.facts.ofport if known is not None else None
    if number in (None, now) or by_ofport.get((port.bridge, number)) != port:
        return by_ofport
    return by_ofport.drop((port.bridge, number))


def is_unchanged(lookup: Lookup, port: PortRef, seen: SeenPort) -> bool:
    """Say whether a port is the same endpoint's as before, by another inventory; of a port of none, no."""
    return seen.facts.endpoint is not None and seen.facts == identify(
        lookup, port.bridge, port.name, seen.ofport, seen.external_ids
    )


def still_unconfirmed(
    known: FrozenMap[BridgeKey, frozenset[PortRef]], before: EndpointRecord, after: EndpointRecord
) -> FrozenMap[BridgeKey, frozenset[PortRef]]:
    """Return the ports to be confirmed after a change of one record."""
    done = {place.port for place in before.places}
    waiting = {place.port for place in after.places if place.ofport is not None and not place.confirmed}
    for port in sorted(done | waiting):
        others = known.get(port.bridge, frozenset()) - {port}
        known = known.put(port.bridge, others | {port} if port in waiting else others)
    return known


def with_due(
    due: Mapping[int, frozenset[EndpointKey]], endpoint: EndpointKey, at: float | None
) -> Mapping[int, frozenset[EndpointKey]]:
    """Return the ticks that are wanted, with one more; a tick too many does no harm."""
    if at is None:
        return due
    quarter = math.ceil(at * TICKS_PER_S)
    if endpoint in due.get(quarter, frozenset()):
        return due
    return {**due, quarter: due.get(quarter, frozenset()) | {endpoint}}
