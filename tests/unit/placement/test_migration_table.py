"""One endpoint's life: every cell of the table."""

from __future__ import annotations

from typing import get_args

import pytest

from support.placement_walk import events, records_by_state
from zonewall.placement.binding_events import (
    Announced,
    Confirmed,
    HostBack,
    HostLost,
    PlacementEvent,
    Quarantine,
    Release,
    Tick,
)
from zonewall.placement.binding_record import State, bindings, state
from zonewall.placement.migration import ROWS, step
from zonewall.placement.model import BindingState


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[type, State], set[State]]:
    """What followed when every event happened to many records in every state."""
    met: dict[tuple[type, State], set[State]] = {}
    for before, records in records_by_state(per_state=120, steps=16000).items():
        for record in records:
            for event in events(record):
                after, _ = step(record, event)
                met.setdefault((type(event), before), set()).add(state(after))
    return met


def test_the_table_has_a_cell_for_every_state_and_every_event() -> None:
    assert set(ROWS) == set(get_args(PlacementEvent))
    assert all(set(row.then) == set(State) for row in ROWS.values())


def test_every_cell_is_walked_and_ends_only_where_it_says(
    outcomes: dict[tuple[type, State], set[State]],
) -> None:
    assert set(outcomes) == {(event, before) for event in ROWS for before in State}
    wrong = {
        (event.__name__, before.value): [after.value for after in met - ROWS[event].then[before]]
        for (event, before), met in outcomes.items()
        if not met <= ROWS[event].then[before]
    }
    assert wrong == {}


def test_no_event_is_listed_with_a_change_that_it_never_makes(
    outcomes: dict[tuple[type, State], set[State]],
) -> None:
    """Whatever changes one state only is asked exactly; changes out of quarantine need luck to be met."""
    plain = [before for before in State if before is not State.QUARANTINED]
    for event in (Announced, Confirmed, HostLost, HostBack, Tick, Quarantine, Release):
        for before in plain:
            by_luck = event is Announced and before is State.MIGRATING
            rare = {State.QUARANTINED} if by_luck else set()
            assert ROWS[event].then[before] - rare <= outcomes[event, before], (event, before)


def test_at_most_one_binding_takes_part_in_any_record() -> None:
    for records in records_by_state(per_state=200).values():
        for record in records:
            parts = [
                b for b in bindings(record) if b.state in (BindingState.ACTIVE, BindingState.QUARANTINED)
            ]
            assert len(parts) <= 1


def test_every_event_told_twice_is_told_once() -> None:
    for records in records_by_state(per_state=40).values():
        for record in records:
            for event in events(record):
                once, _ = step(record, event)
                assert step(once, event)[0] == once
