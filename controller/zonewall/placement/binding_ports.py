"""What the fleet writes down beside the endpoints' records: ports, hosts, what is still to come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from zonewall.placement.binding import Lookup, PortFacts, identify
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.binding_record import EndpointRecord, PortRef
from zonewall.placement.model import BridgeKey
from zonewall.values.names import EndpointKey, OfPort

TICKS_PER_S = 4


class Remembered(NamedTuple):
    """Where an endpoint was when the controller stopped."""

    endpoint: EndpointKey
    port: PortRef
    ofport: OfPort


@dataclass(frozen=True, slots=True)
class SeenPort:
    """A port as its host last reported it."""

    ofport: int | None
    external_ids: Mapping[str, str]
    generation: int
    facts: PortFacts


@dataclass(frozen=True, slots=True)
class HostView:
    """A host's ports; ``unverified`` are remembered from before a restart and not reported since."""

    alive: bool = True
    ports: frozenset[PortRef] = frozenset()
    unverified: frozenset[PortRef] = frozenset()


def remembered_holds(records: Mapping[EndpointKey, EndpointRecord]) -> tuple[tuple[EndpointKey, str], ...]:
    """Return who is isolated as a whole, and each reason, sorted: it has to outlast the controller."""
    return tuple(sorted((key, hold.reason) for key, record in records.items() for hold in record.holds))


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
