"""One endpoint's life, in each story that placement.md tells of its boot and its moves."""

from __future__ import annotations

import pytest

from support.placement_steps import (
    ACTIVE,
    MIGRATING,
    MOVED,
    ONE,
    A,
    B,
    C,
    confirmed,
    kinds,
    plugged,
    run,
    states,
)
from support.placement_walk import BLANK, MAC, NOW, RARP, port
from zonewall.placement.binding_events import (
    Announced,
    Confirmed,
    EffectKind,
    OfportChanged,
    Plugged,
    Tick,
    Unplugged,
)
from zonewall.placement.binding_record import State, bindings, state
from zonewall.placement.migration import step
from zonewall.placement.model import BindingState
from zonewall.values.names import OfPort

# First boot -------------------------------------------------------------------------------------------


def test_a_new_port_waits_until_its_bridge_has_confirmed_the_policy() -> None:
    record, effects = step(BLANK, plugged(A, 1))

    assert state(record) is State.PENDING
    assert states(record) == {"hv1": BindingState.PENDING}
    assert kinds(effects) == [(EffectKind.ENFORCE, A)]

    record, effects = step(record, confirmed(A, 1))

    assert state(record) is State.ACTIVE
    assert kinds(effects) == [(EffectKind.ACTIVATE, A), (EffectKind.REPATH, A), (EffectKind.READY, A)]
    assert not bindings(record)[0].midstream


@pytest.mark.parametrize("ofport", [None])
def test_a_port_without_an_ofport_is_normal_and_has_no_binding(ofport: OfPort | None) -> None:
    record = run(BLANK, Plugged(A, ofport, 1, NOW, MAC))

    assert state(record) is State.PENDING
    assert bindings(record) == ()
    assert states(run(record, OfportChanged(A, ONE, 1, NOW))) == {"hv1": BindingState.PENDING}


def test_a_confirmation_for_an_old_ofport_or_generation_activates_nothing() -> None:
    record = run(BLANK, plugged(A, 5))

    for stale in (Confirmed(A, OfPort(2), 5, NOW), Confirmed(A, ONE, 4, NOW)):
        after, effects = step(record, stale)
        assert after == record
        assert kinds(effects) == [(EffectKind.IGNORED, A)]


def test_what_was_active_before_a_restart_of_the_controller_stays_active() -> None:
    record = run(BLANK, plugged(B, 1), Plugged(A, ONE, 2, NOW, MAC, "vm-1", remembered=True))

    assert states(record) == {"hv1": BindingState.ACTIVE, "hv2": BindingState.PENDING}


# Migration --------------------------------------------------------------------------------------------


def test_the_target_of_a_migration_waits_with_its_policy() -> None:
    assert state(MIGRATING) is State.MIGRATING
    assert states(MIGRATING) == {"hv1": BindingState.ACTIVE, "hv2": BindingState.PENDING}


def test_the_first_announcement_moves_the_endpoint_new_place_first_then_paths_then_old_place() -> None:
    record, effects = step(MIGRATING, Announced(B, RARP, NOW))

    assert state(record) is State.LEAVING
    assert states(record) == {"hv1": BindingState.LEAVING, "hv2": BindingState.ACTIVE}
    assert kinds(effects) == [
        (EffectKind.ACTIVATE, B),
        (EffectKind.REPATH, B),
        (EffectKind.REFUSE, A),
        (EffectKind.MOVED, B),
    ]
    assert effects[0].midstream


def test_an_announcement_repeated_at_qemus_times_is_idempotent() -> None:
    record = MOVED
    for later in (0.05, 0.2, 0.45, 0.8):
        record, effects = step(record, Announced(B, RARP, NOW + later))
        assert effects == ()
    assert record == MOVED


def test_the_old_port_goes_and_the_move_is_over() -> None:
    record, effects = step(MOVED, Unplugged(A, 1, NOW + 1))

    assert state(record) is State.ACTIVE
    assert kinds(effects) == [(EffectKind.REMOVE, A)]
    assert effects[0].generation == 1


def test_the_window_for_connections_from_elsewhere_closes_in_time() -> None:
    assert run(MOVED, Tick(NOW + 29)) == MOVED

    record, effects = step(MOVED, Tick(NOW + 30))

    assert kinds(effects) == [(EffectKind.CLOSE_WINDOW, B)]
    assert not any(binding.midstream for binding in bindings(record))


def test_the_loss_of_the_first_port_moves_the_endpoint_without_an_announcement() -> None:
    record = run(MIGRATING, Unplugged(A, 1, NOW))

    assert states(record) == {"hv2": BindingState.ACTIVE}
    assert bindings(record)[0].midstream


def test_a_cancelled_migration_leaves_everything_as_it_was() -> None:
    assert run(MIGRATING, Unplugged(B, 2, NOW)) == ACTIVE


def test_a_destination_that_dies_after_the_move_gives_the_endpoint_back() -> None:
    record, effects = step(MOVED, Unplugged(B, 2, NOW + 1))

    assert states(record) == {"hv1": BindingState.ACTIVE}
    assert kinds(effects)[:2] == [(EffectKind.ACTIVATE, A), (EffectKind.REPATH, A)]
    assert effects[0].midstream


def test_a_target_that_announces_before_its_policy_is_there_moves_when_it_is() -> None:
    record = run(ACTIVE, plugged(B, 2), Announced(B, RARP, NOW))
    assert states(record)["hv1"] is BindingState.ACTIVE

    record = run(record, confirmed(B, 2))
    assert states(record) == {"hv1": BindingState.LEAVING, "hv2": BindingState.ACTIVE}


def test_frames_of_the_old_place_that_arrive_late_change_nothing() -> None:
    record, effects = step(MOVED, Announced(A, RARP, NOW + 0.3))

    assert record == MOVED
    assert kinds(effects) == [(EffectKind.IGNORED, A)]


def test_an_endpoint_that_moves_there_and_back_again_is_followed() -> None:
    record = run(
        MOVED,
        Unplugged(A, 1, NOW + 5),
        plugged(A, 3, NOW + 60),
        confirmed(A, 3),
        Announced(A, RARP, NOW + 70),
    )

    assert states(record) == {"hv1": BindingState.ACTIVE, "hv2": BindingState.LEAVING}
    assert run(record, Unplugged(B, 2, NOW + 75)).holder == record.holder


def test_an_endpoint_may_move_on_while_its_first_port_is_still_there() -> None:
    record = run(MOVED, plugged(C, 3), confirmed(C, 3), Announced(C, RARP, NOW + 1))

    assert states(record) == {
        "hv1": BindingState.LEAVING,
        "hv2": BindingState.LEAVING,
        "hv3": BindingState.ACTIVE,
    }


def test_twice_on_one_host_is_a_migration_too() -> None:
    second = port("hv1", "tap1")
    record = run(
        ACTIVE, Plugged(second, OfPort(2), 2, NOW, MAC, "vm-1"), Confirmed(second, OfPort(2), 2, NOW)
    )
    assert state(record) is State.MIGRATING

    record = run(record, Announced(second, RARP, NOW))
    assert {b.ofport: b.state for b in bindings(record)} == {1: BindingState.LEAVING, 2: BindingState.ACTIVE}


def test_two_waiting_ports_and_no_holder_wait_for_an_announcement() -> None:
    record = run(BLANK, plugged(A, 1), plugged(B, 2), confirmed(A, 1), confirmed(B, 2))
    assert state(record) is State.PENDING

    assert states(run(record, Announced(B, RARP, NOW)))["hv2"] is BindingState.ACTIVE


def test_a_port_that_goes_shortly_before_it_appears_elsewhere_is_a_move() -> None:
    away = run(ACTIVE, Unplugged(A, 1, NOW))

    soon = run(away, plugged(B, 2, NOW + 1), confirmed(B, 2, NOW + 1))
    late = run(away, plugged(B, 2, NOW + 99), confirmed(B, 2, NOW + 99))

    assert [binding.midstream for record in (soon, late) for binding in bindings(record)] == [True, False]


def test_a_port_that_comes_back_to_its_bridge_opens_no_window() -> None:
    record = run(ACTIVE, Unplugged(A, 1, NOW), plugged(A, 2), confirmed(A, 2))

    assert not bindings(record)[0].midstream
