"""What a change of the fleet is recorded as: read off its effects, with where the endpoint is after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from zonewall.journal.record import Entry, Kind, canonical
from zonewall.placement.binding_events import Effect, EffectKind
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_record import placed_bindings, quarantine_reason, state

KIND_OF = {
    EffectKind.ENFORCE: Kind.PLACED,
    EffectKind.ACTIVATE: Kind.PLACED,
    EffectKind.ISOLATE: Kind.PLACED,
    EffectKind.REFUSE: Kind.PLACED,
    EffectKind.REMOVE: Kind.REMOVED,
    EffectKind.MOVED: Kind.MOVED,
    EffectKind.QUARANTINED: Kind.QUARANTINED,
    EffectKind.RELEASED: Kind.RELEASED,
    EffectKind.UNKNOWN_PORT: Kind.UNKNOWN_PORT,
}
"""Effects that are recorded; of the others, bridges are told only."""

WITH_PLACES = frozenset({Kind.PLACED, Kind.REMOVED, Kind.MOVED, Kind.QUARANTINED, Kind.RELEASED})
"""Kinds whose records say in what state the endpoint is from then on, and at which places."""


def placement_entries(
    fleet: FleetState, effects: Iterable[Effect], cause: str, at_us: int
) -> Iterator[Entry]:
    """Yield an entry for each effect that tells something of an endpoint or a port.

    Args:
        fleet: as it is after the change.
    """
    for effect in effects:
        kind = KIND_OF.get(effect.kind)
        if kind is None:
            continue
        details: dict[str, Any] = {}
        if effect.port is not None:
            details |= {
                "bridge": effect.port.bridge.bridge,
                "port": effect.port.name,
                "ofport": effect.ofport,
            }
        if effect.reason:
            details["reason"] = effect.reason
        endpoint = effect.endpoint or ""
        if effect.endpoint is not None:
            details |= standing(fleet, effect)
        yield Entry(
            at_us,
            kind,
            cause,
            endpoint.partition("/")[0],
            endpoint,
            "" if effect.port is None else effect.port.bridge.host,
            canonical(details),
        )


def standing(fleet: FleetState, effect: Effect) -> dict[str, Any]:
    """Return how the endpoint of an effect stands: its state, and each place with what it counts for."""
    record = fleet.records.get(effect.endpoint) if effect.endpoint is not None else None
    if record is None:
        return {"state": "absent", "places": []}
    places = [
        {
            "host": binding.bridge.host,
            "bridge": binding.bridge.bridge,
            "port": place.port.name,
            "ofport": binding.ofport,
            "state": binding.state.value,
        }
        for place, binding in placed_bindings(record)
    ]
    found: dict[str, Any] = {"state": state(record).value, "places": places}
    reason = quarantine_reason(record)
    return found | {"quarantine": reason} if reason else found
