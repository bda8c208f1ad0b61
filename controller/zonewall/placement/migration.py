"""The life of one endpoint as a table: every state, every event, what follows.

``ROWS`` says which states may follow; ``docs/placement.md`` draws it. How a port's claim is judged is in
``binding_record``; here is what each event does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zonewall.placement.announcement import Forged
from zonewall.placement.binding_effects import effects_of
from zonewall.placement.binding_events import (
    Announced,
    ConfigurationChanged,
    Confirmed,
    Effect,
    HostBack,
    HostLost,
    OfportChanged,
    PlacementEvent,
    Plugged,
    Quarantine,
    Release,
    Tick,
    Timing,
    Unplugged,
)
from zonewall.placement.binding_record import (
    EndpointRecord,
    Hold,
    Place,
    PortRef,
    Role,
    State,
    faults,
    is_live,
    with_place,
)
from zonewall.values.changed import changed as replace
from zonewall.values.names import OfPort

DEFAULT_TIMING = Timing()

Outcome = tuple[EndpointRecord, str]
"""The new record, and why the event changed nothing (empty when it did, or had nothing to change)."""


def step(
    record: EndpointRecord, event: PlacementEvent, timing: Timing = DEFAULT_TIMING
) -> tuple[EndpointRecord, tuple[Effect, ...]]:
    """Return the record after an event, and what has to be done for it, in that order.

    The same event twice has no further effect, and an event of an older generation has none at all.
    """
    after, ignored = ROWS[type(event)].does(record, event, timing)
    return after, effects_of(record, after, event, ignored)


def next_deadline(record: EndpointRecord) -> float | None:
    """Return when the record wants its next tick, in the events' seconds."""
    return record.window_until


# What each event does ---------------------------------------------------------------------------------


def _plug(record: EndpointRecord, event: Plugged, timing: Timing) -> Outcome:
    known = record.place(event.port)
    if known is not None and known.generation > event.generation:
        return record, _stale(event.port)
    if known is not None and known.generation < event.generation:
        record = _drop(record, known, event.at)
        known = None
    place = known or Place(event.port, event.ofport, event.generation)
    if place.ofport != event.ofport:
        place = _with_ofport(place, event.ofport)
    place = replace(place, attached_mac=event.attached_mac, vm_id=event.vm_id, faults=event.faults)
    record = with_place(record, place)
    if event.remembered and record.holder is None and is_live(record, place):
        record = replace(record, window_until=event.window_until)
        return with_place(record, replace(place, role=Role.HOLDER, confirmed=True)), ""
    return _seat(record, event.at, timing), ""


def _unplug(record: EndpointRecord, event: Unplugged, timing: Timing) -> Outcome:
    known = record.place(event.port)
    if known is None:
        return record, ""
    if known.generation > event.generation:
        return record, _stale(event.port)
    return _seat(_drop(record, known, event.at), event.at, timing), ""


def _change_ofport(record: EndpointRecord, event: OfportChanged, timing: Timing) -> Outcome:
    known = record.place(event.port)
    if known is None or known.generation != event.generation:
        return record, _stale(event.port)
    if known.ofport == event.ofport:
        return record, ""
    if event.ofport is None and known.role is Role.HOLDER:
        record = replace(record, left=(known.port.bridge, event.at))
    record = with_place(record, _with_ofport(known, event.ofport))
    return _seat(record, event.at, timing), ""


def _confirm(record: EndpointRecord, event: Confirmed, timing: Timing) -> Outcome:
    known = record.place(event.port)
    if known is None or known.generation != event.generation or known.ofport != event.ofport:
        return record, _stale(event.port)
    if known.confirmed:
        return record, ""
    record = with_place(record, replace(known, confirmed=True))
    return _seat(record, event.at, timing), ""


def _announce(record: EndpointRecord, event: Announced, timing: Timing) -> Outcome:
    place = record.place(event.port)
    if isinstance(event.announcement, Forged):
        return record, "forged: the address inside is not the sender's"
    if place is None:
        return record, "no port of the endpoint"
    if not record.owns(event.announcement):
        return record, "announces an address that is not the endpoint's"
    if place.role is Role.HOLDER:
        return record, ""
    if not is_live(record, place):
        return record, "; ".join(faults(record, place)) or "the port has no ofport"
    if place.role is Role.LEAVING:
        return _announce_from_old_place(record, place, event.at, timing)
    return _seat(with_place(record, replace(place, announced=True)), event.at, timing), ""


def _announce_from_old_place(record: EndpointRecord, place: Place, at: float, timing: Timing) -> Outcome:
    """Take a frame of the place that was left: late on its way, or the sign of two that speak."""
    if record.moved_at is not None and at - record.moved_at <= timing.settle_s:
        return record, "straggler: sent from the old place about when it was left"
    if place.muted or any(hold.clone for hold in record.holds):
        return record, "clone: already judged"
    holder = record.holder
    reason = f"clone: speaks at {holder.port if holder else '?'} and still at {place.port}, which it had left"
    return replace(record, holds=(*record.holds, Hold(reason, clone=True))), ""


def _lose_host(record: EndpointRecord, event: HostLost, timing: Timing) -> Outcome:
    return record, ""


def _hear_host(record: EndpointRecord, event: HostBack, timing: Timing) -> Outcome:
    holder = record.holder
    if event.restarted and holder is not None and holder.port.bridge.host == event.host:
        record = replace(record, window_until=event.at + timing.window_s)
    return record, ""


def _tick(record: EndpointRecord, event: Tick, timing: Timing) -> Outcome:
    if record.window_until is not None and event.at >= record.window_until:
        record = replace(record, window_until=None)
    return record, ""


def _quarantine(record: EndpointRecord, event: Quarantine, timing: Timing) -> Outcome:
    hold = Hold(event.reason)
    if hold in record.holds:
        return record, ""
    return replace(record, holds=(*record.holds, hold)), ""


def _release(record: EndpointRecord, event: Release, timing: Timing) -> Outcome:
    lifted = [hold for hold in record.holds if event.reason in (None, hold.reason)]
    holds = tuple(hold for hold in record.holds if hold not in lifted)
    places = record.places
    if any(hold.clone for hold in lifted):
        places = tuple(replace(place, muted=place.role is Role.LEAVING) for place in places)
    return replace(record, holds=holds, places=places), ""


def _reconfigure(record: EndpointRecord, event: ConfigurationChanged, timing: Timing) -> Outcome:
    judged = dict(event.faults)
    places = tuple(replace(place, faults=judged.get(place.port, ())) for place in record.places)
    record = replace(record, mac=event.mac, vm_id=event.vm_id, prefixes=event.prefixes, places=places)
    return _seat(record, event.at, timing), ""


# Who holds the endpoint ------------------------------------------------------------------------------


def _seat(record: EndpointRecord, at: float, timing: Timing) -> EndpointRecord:
    """Return the record with the right place holding the endpoint.

    A live holder yields to a confirmed place that announced itself, and to nothing else. Without one, the
    only live place that is confirmed takes over; several wait for an announcement. Where no place is live,
    one that is not believed holds the endpoint in quarantine.
    """
    holder = record.holder
    live = [place for place in record.places if is_live(record, place)]
    claims = [place for place in live if place.role is Role.WAITING and place.announced and place.confirmed]
    if claims:
        return _move(record, claims[-1], at, timing)
    if holder is None or holder not in live:
        if len(live) == 1 and live[0].confirmed:
            return _end_clone(_move(record, live[0], at, timing))
        if holder is None or holder.ofport is None:
            record = _without_holder(record, quarantine_seat=not live)
    return _end_clone(record)


def _move(record: EndpointRecord, chosen: Place, at: float, timing: Timing) -> EndpointRecord:
    """Return the record with the endpoint at ``chosen``; what began elsewhere may be taken up for a while."""
    previous = record.holder
    gone_lately = record.left is not None and (
        record.left[0] != chosen.port.bridge and at - record.left[1] <= timing.window_s
    )
    places = tuple(
        replace(place, role=_role_after_move(place, chosen), announced=False, muted=False)
        for place in record.places
    )
    record = replace(record, places=places, left=None)
    if previous is None and not gone_lately:
        return record
    return replace(record, moved_at=at, window_until=at + timing.window_s)


def _role_after_move(place: Place, chosen: Place) -> Role:
    if place.port == chosen.port:
        return Role.HOLDER
    if place.role is Role.HOLDER:
        return Role.WAITING if place.ofport is None else Role.LEAVING
    return place.role


def _without_holder(record: EndpointRecord, *, quarantine_seat: bool) -> EndpointRecord:
    """Return the record with every place waiting, or with the oldest holding it in quarantine."""
    seat = next((place for place in record.places if quarantine_seat and place.ofport is not None), None)
    places = tuple(
        replace(place, role=Role.HOLDER if place is seat else Role.WAITING) for place in record.places
    )
    return replace(record, places=places, window_until=None)


def _end_clone(record: EndpointRecord) -> EndpointRecord:
    """Return the record without the hold of a clone when only one of the two ports is left."""
    if any(place.role is Role.LEAVING and is_live(record, place) for place in record.places):
        return record
    return replace(record, holds=tuple(hold for hold in record.holds if not hold.clone))


def _drop(record: EndpointRecord, place: Place, at: float) -> EndpointRecord:
    left = (place.port.bridge, at) if place.role is Role.HOLDER else record.left
    places = tuple(known for known in record.places if known is not place)
    return replace(record, places=places, left=left)


def _with_ofport(place: Place, ofport: OfPort | None) -> Place:
    """Return the place with another ofport: its flows are new, and so is what it has announced."""
    return replace(place, ofport=ofport, confirmed=False, announced=False)


def _stale(port: PortRef) -> str:
    return f"stale: {port} has a newer generation, another ofport, or is gone"


# The table -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One event's line of the table.

    Attributes:
        means: what the event does, for the documentation.
        then: for each state before it, the states that may follow.
    """

    does: Callable[[EndpointRecord, Any, Timing], Outcome]
    means: str
    then: Mapping[State, frozenset[State]]


def _row(does: Callable[[EndpointRecord, Any, Timing], Outcome], means: str, **then: str) -> Row:
    """Return a row; a state that is not named stays as it is."""
    cells = {before: then.get(before.value, before.value).split() for before in State}
    return Row(does, means, {before: frozenset(map(State, after)) for before, after in cells.items()})


ROWS: Mapping[type[PlacementEvent], Row] = {
    Plugged: _row(
        _plug,
        "A port appears or says something new. It waits; where it is not believed and no other port is live, "
        "it holds the endpoint in quarantine. One that was active before the controller stopped stays so.",
        absent="pending active quarantined",
        pending="pending active migrating quarantined",
        active="active pending migrating leaving quarantined",
        migrating="migrating active pending leaving quarantined",
        leaving="leaving active pending migrating quarantined",
        quarantined="quarantined active pending migrating leaving",
    ),
    Unplugged: _row(
        _unplug,
        "A port goes. If it held the endpoint, the only live one left takes over as soon as it is confirmed; "
        "several wait for an announcement.",
        pending="pending absent active quarantined",
        active="active absent pending migrating leaving quarantined",
        migrating="migrating active leaving pending",
        leaving="leaving active pending",
        quarantined="quarantined absent active pending migrating",
    ),
    OfportChanged: _row(
        _change_ofport,
        "The port has another ofport: its flows have to be confirmed anew. None is as good as gone.",
        pending="pending active quarantined",
        active="active pending migrating leaving quarantined",
        migrating="migrating active leaving pending quarantined",
        leaving="leaving active pending migrating quarantined",
        quarantined="quarantined active pending migrating",
    ),
    Confirmed: _row(
        _confirm,
        "The bridge enforces for the port. It takes over if no other one is live, or if the endpoint has "
        "announced itself there already.",
        pending="pending active migrating",
        migrating="migrating leaving",
        quarantined="quarantined active migrating leaving",
    ),
    Announced: _row(
        _announce,
        "From a waiting, confirmed port: the endpoint moves there. From a port that was left, later than a "
        "straggler can be: a clone. Forged, not the endpoint's, or from any other port: nothing.",
        pending="pending migrating",
        migrating="migrating leaving quarantined",
        leaving="leaving quarantined",
        quarantined="quarantined migrating leaving",
    ),
    HostLost: _row(_lose_host, "The host's ports stay what they are."),
    HostBack: _row(_hear_host, "The host is heard again; if it has restarted, connections may be taken up."),
    Tick: _row(_tick, "The window for connections that began elsewhere closes when its time has come."),
    Quarantine: _row(
        _quarantine,
        "The endpoint is isolated wherever it is; it goes on moving, in isolation.",
        **{before.value: "quarantined" for before in State},
    ),
    Release: _row(
        _release,
        "Holds are lifted; what is wrong with a port stays wrong. A lifted clone is not heard again.",
        quarantined="quarantined absent pending active migrating leaving",
    ),
    ConfigurationChanged: _row(
        _reconfigure,
        "Every port is judged again.",
        pending="pending active migrating quarantined",
        active="active migrating leaving quarantined",
        migrating="migrating active leaving quarantined",
        leaving="leaving active migrating quarantined",
        quarantined="quarantined active migrating leaving",
    ),
}
"""Every event, with every state: no cell is missing."""
