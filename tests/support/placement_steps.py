"""Steps in one endpoint's life, and the records that stories begin with."""

from __future__ import annotations

from support.placement_walk import BLANK, MAC, NOW, RARP, port
from zonewall.placement.binding_events import (
    Announced,
    Confirmed,
    Effect,
    EffectKind,
    PlacementEvent,
    Plugged,
)
from zonewall.placement.binding_record import EndpointRecord, PortRef, bindings
from zonewall.placement.migration import step
from zonewall.placement.model import BindingState
from zonewall.values.names import OfPort

A, B, C = port("hv1"), port("hv2"), port("hv3")
ONE = OfPort(1)
SETTLED = NOW + 10


def run(record: EndpointRecord, *happenings: PlacementEvent) -> EndpointRecord:
    """Return the record after what happened."""
    for event in happenings:
        record, _ = step(record, event)
    return record


def plugged(ref: PortRef, generation: int, at: float = NOW, vm_id: str | None = "vm-1") -> Plugged:
    """Return that a port of the endpoint's came."""
    return Plugged(ref, ONE, generation, at, MAC, vm_id)


def confirmed(ref: PortRef, generation: int, at: float = NOW) -> Confirmed:
    """Return that the port's bridge has the policy."""
    return Confirmed(ref, ONE, generation, at)


def states(record: EndpointRecord) -> dict[str, BindingState]:
    """Return the state of each binding, by host."""
    return {binding.bridge.host: binding.state for binding in bindings(record)}


def kinds(effects: tuple[Effect, ...]) -> list[tuple[EffectKind, PortRef | None]]:
    """Return what is to be done, in order, and for which port."""
    return [(effect.kind, effect.port) for effect in effects]


ACTIVE = run(BLANK, plugged(A, 1), confirmed(A, 1))
MIGRATING = run(ACTIVE, plugged(B, 2), confirmed(B, 2))
MOVED = run(MIGRATING, Announced(B, RARP, NOW))
