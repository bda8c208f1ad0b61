"""What a change of a record asks of the bridges, read off the bindings before and after."""

from __future__ import annotations

from dataclasses import replace

from zonewall.placement.binding_events import Confirmed, Effect, EffectKind, PlacementEvent
from zonewall.placement.binding_record import (
    EndpointRecord,
    Place,
    PortRef,
    State,
    placed_bindings,
    quarantine_reason,
    state,
)
from zonewall.placement.model import Binding, BindingState
from zonewall.values.names import OfPort

_EFFECT_OF = {
    BindingState.PENDING: EffectKind.ENFORCE,
    BindingState.ACTIVE: EffectKind.ACTIVATE,
    BindingState.QUARANTINED: EffectKind.ISOLATE,
    BindingState.LEAVING: EffectKind.REFUSE,
}
_ORDER = {kind: position for position, kind in enumerate(EffectKind)}


def effects_of(
    before: EndpointRecord, after: EndpointRecord, event: PlacementEvent, ignored: str
) -> tuple[Effect, ...]:
    """Return what follows, in the order of ``EffectKind``: new place, paths, old place."""
    if ignored:
        port = getattr(event, "port", None)
        return (Effect(EffectKind.IGNORED, after.endpoint, port, reason=ignored),)
    if before == after:
        return ()
    found = _binding_effects(before, after) + _endpoint_effects(before, after)
    if isinstance(event, Confirmed):
        found.append(
            Effect(EffectKind.READY, after.endpoint, event.port, event.ofport, generation=event.generation)
        )
    return tuple(sorted(found, key=lambda effect: _ORDER[effect.kind]))


def _binding_effects(before: EndpointRecord, after: EndpointRecord) -> list[Effect]:
    """Return what each port's bridge has to do."""
    old = {place.port: (place, binding) for place, binding in placed_bindings(before)}
    new = {place.port: (place, binding) for place, binding in placed_bindings(after)}
    found = []
    for port, (place, binding) in new.items():
        was = old[port][1] if port in old else None
        if was != binding:
            kind = EffectKind.CLOSE_WINDOW if _only_closes(was, binding) else _EFFECT_OF[binding.state]
            found.append(_effect(kind, place, binding))
    found += [_effect(EffectKind.REMOVE, *old[port]) for port in old if port not in new]
    return found


def _only_closes(was: Binding | None, binding: Binding) -> bool:
    return was is not None and was.midstream and binding == replace(was, midstream=False)


def _effect(kind: EffectKind, place: Place, binding: Binding) -> Effect:
    return Effect(
        kind,
        binding.endpoint,
        place.port,
        binding.ofport,
        generation=place.generation,
        midstream=binding.midstream,
        reason=binding.reason,
    )


def _endpoint_effects(before: EndpointRecord, after: EndpointRecord) -> list[Effect]:
    """Return what the other bridges have to do, and what the journal has to know."""
    found = []
    endpoint, seat = after.endpoint, after.holder
    if _seat_of(before) != _seat_of(after):
        port, ofport = (seat.port, seat.ofport) if seat is not None else (None, None)
        found.append(Effect(EffectKind.REPATH, endpoint, port, ofport))
    if seat is not None and after.moved_at is not None and after.moved_at != before.moved_at:
        found.append(Effect(EffectKind.MOVED, endpoint, seat.port, seat.ofport, generation=seat.generation))
    if state(after) is State.QUARANTINED:
        reason = quarantine_reason(after)
        if state(before) is not State.QUARANTINED or reason != quarantine_reason(before):
            found.append(Effect(EffectKind.QUARANTINED, endpoint, reason=reason))
    elif state(before) is State.QUARANTINED:
        found.append(Effect(EffectKind.RELEASED, endpoint, reason=quarantine_reason(before)))
    return found


def _seat_of(record: EndpointRecord) -> tuple[PortRef, OfPort | None] | None:
    holder = record.holder
    return None if holder is None else (holder.port, holder.ofport)
