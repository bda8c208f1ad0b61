"""One endpoint's life: the whole table, and then each story that placement.md tells."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import get_args

import pytest

from support.placement_walk import BLANK, FORGED, MAC, NOW, OTHER_MAC, RARP, events, port, records_by_state
from zonewall.placement.announcement import Announcement, AnnouncementKind
from zonewall.placement.binding_events import (
    Announced,
    ConfigurationChanged,
    Confirmed,
    Effect,
    EffectKind,
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
from zonewall.placement.binding_record import EndpointRecord, PortRef, Role, State, bindings, state
from zonewall.placement.migration import ROWS, step
from zonewall.placement.model import BindingState
from zonewall.values.names import HostName, OfPort

A, B, C = port("hv1"), port("hv2"), port("hv3")
ONE = OfPort(1)
SETTLED = NOW + 10


def run(record: EndpointRecord, *happenings: PlacementEvent) -> EndpointRecord:
    for event in happenings:
        record, _ = step(record, event)
    return record


def plugged(ref: PortRef, generation: int, at: float = NOW, vm_id: str | None = "vm-1") -> Plugged:
    return Plugged(ref, ONE, generation, at, MAC, vm_id)


def confirmed(ref: PortRef, generation: int, at: float = NOW) -> Confirmed:
    return Confirmed(ref, ONE, generation, at)


def states(record: EndpointRecord) -> dict[str, BindingState]:
    return {binding.bridge.host: binding.state for binding in bindings(record)}


def kinds(effects: tuple[Effect, ...]) -> list[tuple[EffectKind, PortRef | None]]:
    return [(effect.kind, effect.port) for effect in effects]


ACTIVE = run(BLANK, plugged(A, 1), confirmed(A, 1))
MIGRATING = run(ACTIVE, plugged(B, 2), confirmed(B, 2))
MOVED = run(MIGRATING, Announced(B, RARP, NOW))


# The table --------------------------------------------------------------------------------------------


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


# Who is not believed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(Announced(B, FORGED, NOW), id="forged: another MAC inside"),
        pytest.param(
            Announced(B, Announcement(AnnouncementKind.RARP, OTHER_MAC, None), NOW),
            id="another endpoint's MAC",
        ),
        pytest.param(Announced(C, RARP, NOW), id="from a port that is no candidate"),
        pytest.param(
            Announced(B, Announcement(AnnouncementKind.GARP, MAC, ipaddress.ip_address("10.0.0.99")), NOW),
            id="another's address",
        ),
        pytest.param(
            Announced(B, Announcement(AnnouncementKind.NA, MAC, ipaddress.ip_address("fe80::1")), NOW),
            id="another's link-local address",
        ),
    ],
)
def test_an_announcement_that_is_not_the_endpoints_moves_nothing(event: Announced) -> None:
    before = replace(MIGRATING, prefixes=(ipaddress.ip_network("10.0.0.10/32"),))
    record, effects = step(before, event)

    assert record == before
    assert kinds(effects) == [(EffectKind.IGNORED, event.port)]


@pytest.mark.parametrize("address", ["10.0.0.10", "fe80::5054:ff:fe12:3456"])
def test_its_own_and_its_link_local_address_move_it(address: str) -> None:
    before = replace(MIGRATING, prefixes=(ipaddress.ip_network("10.0.0.10/32"),))
    announcement = Announcement(AnnouncementKind.NA, MAC, ipaddress.ip_address(address))

    assert state(run(before, Announced(B, announcement, NOW))) is State.LEAVING


def test_an_older_generation_never_undoes_a_newer_one() -> None:
    record = run(MOVED, plugged(A, 3))

    for stale in (Unplugged(A, 1, NOW), plugged(A, 1), OfportChanged(A, None, 1, NOW)):
        after, effects = step(record, stale)
        assert after == record
        assert kinds(effects) == [(EffectKind.IGNORED, A)]


def test_a_port_with_another_mac_is_quarantined_with_the_reason() -> None:
    record, effects = step(BLANK, Plugged(A, ONE, 1, NOW, OTHER_MAC))

    assert state(record) is State.QUARANTINED
    assert [(b.state, b.reason) for b in bindings(record)] == [(BindingState.QUARANTINED, effects[-1].reason)]
    assert "MAC differs: the port has 52:54:00:aa:bb:cc" in effects[-1].reason


def test_quarantine_for_a_wrong_mac_ends_when_the_port_says_the_right_one() -> None:
    record = run(BLANK, Plugged(A, ONE, 1, NOW, OTHER_MAC))
    record, effects = step(record, Plugged(A, ONE, 1, NOW, MAC))

    assert state(record) is State.ACTIVE
    assert EffectKind.RELEASED in [effect.kind for effect in effects]


def test_another_vm_with_the_same_iface_id_is_a_clone_and_never_wins() -> None:
    record = run(ACTIVE, plugged(B, 2, vm_id="vm-2"), confirmed(B, 2), Announced(B, RARP, NOW))

    assert states(record) == {"hv1": BindingState.ACTIVE, "hv2": BindingState.LEAVING}
    assert "clone" in bindings(record)[1].reason


def test_a_clone_takes_the_place_once_the_first_is_gone() -> None:
    record = run(ACTIVE, plugged(B, 2, vm_id="vm-2"), confirmed(B, 2), Unplugged(A, 1, NOW))

    assert states(record) == {"hv2": BindingState.ACTIVE}


def test_a_vm_id_that_the_inventory_does_not_give_is_quarantined() -> None:
    record = run(replace(BLANK, vm_id="vm-9"), plugged(A, 1), confirmed(A, 1))

    assert state(record) is State.QUARANTINED


def test_an_old_port_that_speaks_after_the_hand_over_is_a_clone_and_the_newcomer_is_quarantined() -> None:
    record, effects = step(MOVED, Announced(A, RARP, SETTLED))

    assert state(record) is State.QUARANTINED
    assert states(record) == {"hv1": BindingState.LEAVING, "hv2": BindingState.QUARANTINED}
    assert effects[-1].kind is EffectKind.QUARANTINED
    assert (
        effects[-1].reason
        == "clone: speaks at hv2/br-int/tap0 and still at hv1/br-int/tap0, which it had left"
    )


@pytest.mark.parametrize(
    ("gone", "left"), [(Unplugged(A, 1, SETTLED), "hv2"), (Unplugged(B, 2, SETTLED), "hv1")]
)
def test_quarantine_of_a_clone_ends_when_one_of_the_two_is_gone(gone: Unplugged, left: str) -> None:
    record = run(MOVED, Announced(A, RARP, SETTLED), gone)

    assert states(record) == {left: BindingState.ACTIVE}


def test_a_clone_that_an_operator_released_is_not_quarantined_again_by_the_same_port() -> None:
    record = run(MOVED, Announced(A, RARP, SETTLED), Release(SETTLED), Announced(A, RARP, SETTLED + 1))

    assert states(record) == {"hv1": BindingState.LEAVING, "hv2": BindingState.ACTIVE}


# Hosts, quarantine, configuration ---------------------------------------------------------------------


def test_a_host_that_cannot_be_heard_keeps_its_bindings() -> None:
    record, effects = step(ACTIVE, HostLost(HostName("hv1"), NOW))

    assert bindings(record) == bindings(ACTIVE)
    assert effects == ()
    assert run(record, plugged(B, 2), confirmed(B, 2)).holder == record.holder


def test_a_host_whose_switch_restarted_takes_up_connections_again() -> None:
    record = run(ACTIVE, HostLost(HostName("hv1"), NOW), HostBack(HostName("hv1"), NOW, restarted=True))

    assert [binding.midstream for binding in bindings(record)] == [True]


def test_quarantine_by_hand_holds_everywhere_and_through_a_move_until_released() -> None:
    record = run(MIGRATING, Quarantine("by hand", NOW), Announced(B, RARP, NOW))

    assert states(record) == {"hv1": BindingState.LEAVING, "hv2": BindingState.QUARANTINED}
    assert states(run(record, Release(NOW, "something else"))) == states(record)
    assert states(run(record, Release(NOW, "by hand")))["hv2"] is BindingState.ACTIVE


def test_an_absent_endpoint_can_be_quarantined_before_it_appears() -> None:
    record = run(BLANK, Quarantine("by hand", NOW), plugged(A, 1), confirmed(A, 1))

    assert states(record) == {"hv1": BindingState.QUARANTINED}


def test_a_host_that_is_no_longer_trusted_quarantines_and_trust_releases() -> None:
    distrust = ConfigurationChanged(MAC, None, (), ((A, ("hv1 is not trusted",)),), NOW)
    record = run(ACTIVE, distrust)

    assert [(b.state, b.reason) for b in bindings(record)] == [
        (BindingState.QUARANTINED, "hv1 is not trusted")
    ]
    assert run(record, ConfigurationChanged(MAC, None, (), (), NOW)) == ACTIVE


def test_an_announcement_from_an_untrusted_host_never_moves() -> None:
    untrusted = Plugged(B, ONE, 2, NOW, MAC, "vm-1", faults=("hv2 is not trusted",))
    record = run(ACTIVE, untrusted, confirmed(B, 2), Announced(B, RARP, NOW))

    assert states(record) == {"hv1": BindingState.ACTIVE, "hv2": BindingState.LEAVING}
    assert states(run(record, Unplugged(A, 1, NOW))) == {"hv2": BindingState.QUARANTINED}


def test_an_ofport_that_changes_under_a_holder_keeps_it_active() -> None:
    record, effects = step(ACTIVE, OfportChanged(A, OfPort(7), 1, NOW))

    assert [(b.ofport, b.state) for b in bindings(record)] == [(7, BindingState.ACTIVE)]
    assert kinds(effects) == [(EffectKind.ACTIVATE, A), (EffectKind.REPATH, A)]


def test_an_ofport_that_is_lost_sends_the_endpoint_to_its_other_port() -> None:
    record = run(MIGRATING, OfportChanged(A, None, 1, NOW))

    assert states(record) == {"hv2": BindingState.ACTIVE}
    assert [place.role for place in record.places] == [Role.WAITING, Role.HOLDER]


def test_times_are_the_callers_to_choose() -> None:
    record, _ = step(MIGRATING, Announced(B, RARP, NOW), Timing(window_s=3.0))

    assert record.window_until == NOW + 3
