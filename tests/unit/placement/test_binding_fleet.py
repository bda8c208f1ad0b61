"""Reports of hosts, bridges and frames become a placement: moves, restarts, the whole."""

from __future__ import annotations

import time

import pytest

from support.placement_fleet import (
    ACME,
    BR_INT,
    bridge,
    configuration,
    confirmed,
    endpoint,
    ids,
    key,
    migrating,
    rarp,
    ref,
    remembered_places,
    seen,
    started,
    where,
    without,
)
from zonewall.placement.binding_events import EffectKind, Timing
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_judge import MOST_CLAIMS, MOST_OF_VM
from zonewall.placement.binding_record import State, state
from zonewall.placement.model import BindingState, Link
from zonewall.values.names import HostName, OfPort

HV1, HV2 = HostName("hv1"), HostName("hv2")


# Moves ------------------------------------------------------------------------------------------------


def test_a_migration_goes_by_announcement_from_the_second_port() -> None:
    fleet = migrating()
    assert where(fleet, "web1") == {"hv1": BindingState.ACTIVE, "hv2": BindingState.PENDING}

    fleet, effects = fleet.announced(bridge("hv2"), OfPort(6), rarp(1), 10)
    assert where(fleet, "web1") == {"hv1": BindingState.LEAVING, "hv2": BindingState.ACTIVE}
    assert [effect.kind for effect in effects][:3] == [
        EffectKind.ACTIVATE,
        EffectKind.REPATH,
        EffectKind.REFUSE,
    ]

    fleet, _ = fleet.port_gone(ref("hv1", "tap0"), 11)
    assert where(fleet, "web1") == {"hv2": BindingState.ACTIVE}
    assert fleet.placement().bindings[key("web1")][0].midstream

    fleet, effects = fleet.tick(40)
    assert [effect.kind for effect in effects] == [EffectKind.CLOSE_WINDOW]
    assert not fleet.placement().bindings[key("web1")][0].midstream
    assert fleet.tick(41) == (fleet, ())


@pytest.mark.parametrize("at_port", [5, 9], ids=["another endpoint's port", "nobody's port"])
def test_an_announcement_from_any_other_port_moves_nothing(at_port: int) -> None:
    fleet = seen(migrating(), "hv2", "tap1", 5, ids("db1", 2))
    after, effects = fleet.announced(bridge("hv2"), OfPort(at_port), rarp(1), 10)

    assert after.placement() == fleet.placement()
    assert [effect.kind for effect in effects] == [EffectKind.IGNORED]


def test_a_confirmation_counts_only_for_what_was_compiled() -> None:
    fleet = started()
    compiled = fleet.placement()
    fleet = seen(fleet, "hv1", "tap0", 5, ids("web1", 1))

    assert fleet.confirm(bridge("hv1"), compiled, 1) == (fleet, ())
    assert where(confirmed(fleet, "hv1"), "web1") == {"hv1": BindingState.ACTIVE}


def test_a_port_that_changes_hands_leaves_its_first_endpoint() -> None:
    fleet = confirmed(seen(started(), "hv1", "tap0", 5, ids("web1", 1)), "hv1")
    fleet = seen(fleet, "hv1", "tap0", 5, ids("db1", 2))

    assert where(fleet, "web1") == {}
    assert where(fleet, "db1") == {"hv1": BindingState.PENDING}


def test_an_ofport_that_another_port_took_is_not_forgotten_with_the_first() -> None:
    fleet = seen(started(), "hv1", "tap0", 5, ids("web1", 1))
    fleet = seen(fleet, "hv1", "tap1", 5, ids("db1", 2))
    fleet, _ = fleet.port_gone(ref("hv1", "tap0"), 1)

    assert fleet.by_ofport[bridge("hv1"), OfPort(5)] == ref("hv1", "tap1")


# Hosts ------------------------------------------------------------------------------------------------


def test_a_host_that_comes_back_loses_only_what_it_says_is_gone() -> None:
    fleet, _ = started().host_seen(HV1, 0)
    fleet = seen(fleet, "hv1", "tap0", 5, ids("web1", 1))
    fleet = confirmed(seen(fleet, "hv1", "tap1", 6, ids("db1", 2)), "hv1")
    fleet, _ = fleet.snapshot_complete(HV1, 1)
    fleet, _ = fleet.host_lost(HV1, 2)
    assert where(fleet, "web1") == where(fleet, "db1") == {"hv1": BindingState.ACTIVE}

    fleet, _ = fleet.host_seen(HV1, 3)
    fleet, _ = fleet.snapshot_complete(HV1, 4)
    fleet, _ = fleet.port_gone(ref("hv1", "tap1"), 4)
    assert where(fleet, "web1") == {"hv1": BindingState.ACTIVE}
    assert where(fleet, "db1") == {}


def test_a_port_that_is_remembered_and_reported_stays_and_one_that_is_not_goes() -> None:
    before = seen(started(), "hv1", "tap0", 5, ids("web1", 1))
    before = confirmed(seen(before, "hv1", "tap1", 6, ids("db1", 2)), "hv1")
    fleet = FleetState.start(configuration(), None, remembered_places(before.records))
    fleet, _ = fleet.host_seen(HV1, 0)
    fleet, effects = fleet.port_seen(HV1, BR_INT, "tap0", 5, ids("web1", 1), 0)
    fleet, _ = fleet.snapshot_complete(HV1, 1)

    assert effects == ()
    assert where(fleet, "web1") == {"hv1": BindingState.ACTIVE}
    assert where(fleet, "db1") == {}


def test_a_controller_that_restarts_in_the_middle_of_a_migration_keeps_the_first_place() -> None:
    before = migrating()
    fleet = FleetState.start(configuration(), None, remembered_places(before.records))
    assert where(fleet, "web1") == {"hv1": BindingState.ACTIVE}

    fleet, _ = fleet.host_seen(HV2, 0)
    fleet = confirmed(seen(fleet, "hv2", "tap0", 6, ids("web1", 1, "vm-1")), "hv2")
    assert where(fleet, "web1") == {"hv1": BindingState.ACTIVE, "hv2": BindingState.PENDING}

    fleet, _ = fleet.host_seen(HV1, 1)
    fleet, _ = fleet.snapshot_complete(HV1, 2)
    assert where(fleet, "web1") == {"hv2": BindingState.ACTIVE}


@pytest.mark.parametrize(
    ("restarted_at", "goes_on"),
    [
        (20.0, True),
        (39.0, True),
        pytest.param(41.0, False, id="it had ended meanwhile"),
        pytest.param(2.0, False, id="the machine's clock began anew: it was rebooted"),
    ],
)
def test_the_window_after_a_move_outlasts_a_restart_of_the_controller_and_ends_when_it_should(
    restarted_at: float, goes_on: bool
) -> None:
    """A controller that forgot it would take connections' flows away that are still to be taken up."""
    moved, _ = migrating().announced(bridge("hv2"), OfPort(6), rarp(1), 10.0)
    fleet = FleetState.start(configuration(), None, remembered_places(moved.records), restarted_at)

    (binding,) = fleet.placement().bindings[key("web1")]
    assert (str(binding.bridge.host), binding.midstream) == ("hv2", goes_on)
    fleet, _ = fleet.tick(10.0 + Timing().window_s)
    assert not fleet.placement().bindings[key("web1")][0].midstream


def test_a_configuration_that_changes_before_a_host_is_heard_keeps_what_is_remembered() -> None:
    before = confirmed(seen(started(), "hv1", "tap0", 5, ids("web1", 1)), "hv1")
    fleet = FleetState.start(configuration(), None, remembered_places(before.records))

    kept, effects = fleet.configure(configuration(endpoint("new", 40)), 1)
    assert effects == ()
    assert where(kept, "web1") == {"hv1": BindingState.ACTIVE}

    dropped, _ = fleet.configure(without(configuration(), "web1"), 1)
    assert dict(dropped.ports) == {}
    assert dict(dropped.placement().bindings) == {}


# The whole --------------------------------------------------------------------------------------------


def test_links_are_part_of_the_placement() -> None:
    link = Link((bridge("hv1"), OfPort(1)), (bridge("hv2"), OfPort(1)))

    assert started().with_links(frozenset({link})).placement().links == {link}


def test_an_earlier_fleet_stays_as_it_was() -> None:
    fleet = migrating()
    placement = fleet.placement()
    fleet.announced(bridge("hv2"), OfPort(6), rarp(1), 10)

    assert placement == fleet.placement()
    assert state(fleet.records[key("web1")]) is State.MIGRATING


def hundred_moves_s(endpoints: int) -> float:
    """Move a hundred of so many endpoints, and return the seconds of the processor that it took."""
    many = [endpoint(f"vm-{number}", 1000 + number) for number in range(endpoints)]
    fleet = FleetState.start(configuration(*many))
    for number in range(endpoints):
        said = ids(f"vm-{number}", 1000 + number, f"uuid-{number}")
        fleet = seen(fleet, "hv1", f"tap{number}", 10 + number, said)
    fleet = confirmed(fleet, "hv1")
    for number in range(100):
        said = ids(f"vm-{number}", 1000 + number, f"uuid-{number}")
        fleet = seen(fleet, "hv2", f"tap{number}", 10 + number, said)
    fleet = confirmed(fleet, "hv2")

    began = time.process_time()
    for number in range(100):
        fleet, _ = fleet.announced(bridge("hv2"), OfPort(10 + number), rarp(1000 + number), 10)
    took = time.process_time() - began

    assert where(fleet, "vm-99") == {"hv1": BindingState.LEAVING, "hv2": BindingState.ACTIVE}
    assert fleet.configuration.tenants[ACME].name == "acme"
    return took


def test_a_move_costs_no_more_in_a_large_fleet() -> None:
    """In one of 5,000 endpoints less than five times what it costs in one of 250, which is a twentieth."""
    small = min(hundred_moves_s(250) for _ in range(3))
    assert hundred_moves_s(5000) < 5 * small


# Many ports -------------------------------------------------------------------------------------------


def _crowd(hosts: tuple[str, ...], ports: int) -> FleetState:
    fleet = started()
    for number in range(ports):
        for host in hosts:
            fleet = seen(fleet, host, f"tap{number}", 10 + number, ids("web1", 1))
    return fleet


def test_one_host_makes_an_endpoint_no_more_places_than_so_many_and_isolates_the_other_ports() -> None:
    fleet = _crowd(("hv1",), 3 * MOST_CLAIMS)
    assert len(fleet.records[key("web1")].places) == MOST_CLAIMS
    assert len(fleet.unknown) == 2 * MOST_CLAIMS
    assert {port.name for port in fleet.unknown}.isdisjoint({f"tap{n}" for n in range(MOST_CLAIMS)})
    assert fleet.unknown[ref("hv1", f"tap{MOST_CLAIMS}")].endswith("say that they are acme/web1's")


def test_a_host_that_has_many_ports_of_an_endpoint_leaves_room_for_the_one_of_another() -> None:
    fleet = seen(_crowd(("hv1",), 3 * MOST_CLAIMS), "hv2", "tap0", 5, ids("web1", 1))
    assert ref("hv2", "tap0") in {place.port for place in fleet.records[key("web1")].places}


def test_a_port_that_was_one_too_many_is_believed_when_it_is_told_of_once_another_has_gone() -> None:
    late = f"tap{MOST_CLAIMS}"
    fleet = _crowd(("hv1",), MOST_CLAIMS + 1)
    fleet = seen(fleet, "hv1", late, 77, ids("web1", 1))
    assert ref("hv1", late) in fleet.unknown
    fleet, _ = fleet.port_gone(ref("hv1", "tap3"), 9)
    fleet = seen(fleet, "hv1", late, 77, ids("web1", 1))
    assert ref("hv1", late) not in fleet.unknown
    assert ref("hv1", late) in {place.port for place in fleet.records[key("web1")].places}


def test_one_host_gives_a_vm_no_more_endpoints_than_so_many_and_another_host_has_room_for_its_own() -> None:
    names = [f"vm{number}" for number in range(100, 100 + MOST_OF_VM + 3)]
    ends = [endpoint(name, number) for number, name in enumerate(names, 100)]
    fleet = FleetState.start(configuration(*ends))
    for number, name in enumerate(names, 100):
        fleet = seen(fleet, "hv1", f"tap{number}", number, ids(name, number, "one"))
    assert len(fleet.identities.of_vm("one")) == MOST_OF_VM
    late = [fleet.records[key(name)] for name in names[MOST_OF_VM:]]
    assert all(state(record) is State.QUARANTINED for record in late)
    assert all("say that they are VM one's" in record.places[0].faults[0] for record in late)
    fleet = seen(fleet, "hv2", "tap1", 5, ids("web1", 1, "one"))
    assert fleet.records[key("web1")].places[0].vm_id == "one"
