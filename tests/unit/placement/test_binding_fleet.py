"""Reports of hosts, bridges and frames become a placement."""

from __future__ import annotations

import time
from collections.abc import Mapping

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
    mac,
    ref,
    remembered_places,
    seen,
    started,
    where,
    without,
)
from zonewall.placement.announcement import Announcement, AnnouncementKind
from zonewall.placement.binding_events import EffectKind, Timing
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_record import State, state
from zonewall.placement.model import BindingState, Link
from zonewall.values.names import DatapathId, HostName, OfPort

HV1, HV2 = HostName("hv1"), HostName("hv2")


def rarp(number: int) -> Announcement:
    return Announcement(AnnouncementKind.RARP, mac(number), None)


def reason(fleet: FleetState, name: str) -> str:
    return "; ".join(each.reason for each in fleet.placement().bindings[key(name)] if each.reason)


# Whose a port is --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(ids("web1", 1, "vm-1"), id="libvirt: iface-id, attached-mac, vm-id"),
        pytest.param({"iface-id": "web1", "vm-uuid": "vm-1", "iface-status": "active"}, id="vm-uuid"),
        pytest.param({"xs-vif-uuid": "web1"}, id="XCP-ng: xs-vif-uuid alone"),
        pytest.param({"iface-id": "unknown-here", "xs-vif-uuid": "web1"}, id="both, one of them known"),
    ],
)
def test_an_endpoint_is_known_by_what_its_port_says(said: Mapping[str, str]) -> None:
    fleet = confirmed(seen(started(), "hv1", "tap0", 5, said), "hv1")

    assert where(fleet, "web1") == {"hv1": BindingState.ACTIVE}


@pytest.mark.parametrize("name", ["tap100i0", "tap100i1"])
def test_an_endpoint_without_iface_id_is_known_by_its_ports_name(name: str) -> None:
    fleet = confirmed(seen(started(), "hv2", name, 5, {}), "hv2")

    assert where(fleet, "vm9") == {"hv2": BindingState.ACTIVE}


def test_a_port_that_is_switched_off_is_not_there() -> None:
    fleet = seen(started(), "hv1", "tap0", 5, {**ids("web1", 1), "iface-status": "inactive"})

    assert where(fleet, "web1") == {}


@pytest.mark.parametrize("ofport", [None, -1, 0, 0xFFFE, 1 << 40])
def test_an_ofport_that_is_no_port_number_gives_no_binding(ofport: int | None) -> None:
    fleet = seen(started(), "hv1", "tap0", ofport, ids("web1", 1))
    assert where(fleet, "web1") == {}

    assert where(seen(fleet, "hv1", "tap0", 5, ids("web1", 1)), "web1") == {"hv1": BindingState.PENDING}


def test_a_port_with_another_mac_than_the_inventorys_is_quarantined() -> None:
    fleet = seen(started(), "hv1", "tap0", 5, ids("web1", 77))

    assert where(fleet, "web1") == {"hv1": BindingState.QUARANTINED}
    assert reason(fleet, "web1").startswith("MAC differs")


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"attached-mac": "no mac"}, "external_ids:attached-mac"),
        ({"attached-mac": "52:54:00:xx:00:01"}, "is no MAC address"),
        ({"attached-mac": "ff:ff:ff:ff:ff:ff"}, "no address that one interface can have"),
        ({"vm-id": "\x1b[2J"}, "no printable word"),
        ({"vm-id": "v" * 300}, "no printable word"),
    ],
)
def test_malformed_external_ids_are_a_reason_for_quarantine(bad: dict[str, str], text: str) -> None:
    fleet = seen(started(), "hv1", "tap0", 5, {"iface-id": "web1", **bad})

    assert where(fleet, "web1") == {"hv1": BindingState.QUARANTINED}
    assert text in reason(fleet, "web1")
    assert reason(fleet, "web1").isprintable()


def test_a_declared_port_is_its_role_even_if_it_says_it_is_an_endpoint() -> None:
    fleet = seen(started(), "hv1", "eth1", 1, ids("web1", 1))

    assert where(fleet, "web1") == {}
    assert dict(fleet.placement().ports) == {(bridge("hv1"), "eth1"): 1}
    assert dict(fleet.port_gone(ref("hv1", "eth1"), 0)[0].placement().ports) == {}


def test_a_port_that_nothing_covers_is_reported_once_and_has_no_binding() -> None:
    fleet, effects = started().port_seen(HV1, BR_INT, "tap7", 7, {}, 0)

    assert [effect.kind for effect in effects] == [EffectKind.UNKNOWN_PORT]
    assert dict(fleet.unknown) == {
        ref("hv1", "tap7"): "unknown: no endpoint of the inventory; describe it there or remove the port"
    }
    assert fleet.port_seen(HV1, BR_INT, "tap7", 7, {}, 1)[1] == ()
    assert len(fleet.placement().bindings) == 0


def test_a_vm_that_is_described_later_than_it_appears_is_picked_up() -> None:
    fleet = seen(started(), "hv1", "tap7", 7, ids("late", 30))
    fleet, _ = fleet.configure(configuration(endpoint("late", 30)), 1)

    assert where(confirmed(fleet, "hv1"), "late") == {"hv1": BindingState.ACTIVE}
    assert dict(fleet.unknown) == {}


def test_a_port_of_a_bridge_that_is_not_in_the_inventory_is_nobodys_business() -> None:
    fleet = started()

    assert fleet.port_seen(HostName("hv9"), BR_INT, "tap0", 1, ids("web1", 1), 0) == (fleet, ())


def test_a_second_bridge_with_a_datapath_id_is_reported() -> None:
    fleet, _ = started().bridge_seen(bridge("hv1"), DatapathId(0xA1))
    fleet, effects = fleet.bridge_seen(bridge("hv2"), DatapathId(0xA1))

    assert [effect.kind for effect in effects] == [EffectKind.REFUSED_BRIDGE]
    assert fleet.datapaths.bridges[DatapathId(0xA1)] == bridge("hv1")


# Moves ------------------------------------------------------------------------------------------------


def migrating() -> FleetState:
    fleet = confirmed(seen(started(), "hv1", "tap0", 5, ids("web1", 1, "vm-1")), "hv1")
    return confirmed(seen(fleet, "hv2", "tap0", 6, ids("web1", 1, "vm-1")), "hv2")


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


# Quarantine -------------------------------------------------------------------------------------------


def test_an_endpoint_on_a_host_that_its_zone_does_not_trust_is_quarantined_until_it_leaves() -> None:
    fleet = confirmed(seen(started(), "hv3", "tap0", 5, ids("db1", 2)), "hv3")
    assert where(fleet, "db1") == {"hv3": BindingState.QUARANTINED}
    assert reason(fleet, "db1") == ("host hv3 is not trusted by zone acme/db: trust is low, asked for high")

    fleet = confirmed(seen(fleet, "hv1", "tap0", 5, ids("db1", 2)), "hv1")
    assert where(fleet, "db1")["hv1"] is BindingState.ACTIVE


def test_trust_that_the_configuration_takes_away_quarantines_at_once() -> None:
    fleet = confirmed(seen(started(), "hv2", "tap0", 5, ids("db1", 2)), "hv2")

    fleet, effects = fleet.configure(configuration(hv2_trust="low"), 1)
    assert where(fleet, "db1") == {"hv2": BindingState.QUARANTINED}
    assert EffectKind.QUARANTINED in [effect.kind for effect in effects]

    fleet, _ = fleet.configure(configuration(), 2)
    assert where(fleet, "db1") == {"hv2": BindingState.ACTIVE}


def test_a_vm_on_two_hosts_that_shares_none_is_a_clone_until_one_is_gone() -> None:
    fleet = confirmed(seen(started(), "hv1", "tap0", 5, ids("web1", 1, "vm-1")), "hv1")
    fleet = confirmed(seen(fleet, "hv2", "tap1", 6, ids("db1", 2, "vm-1")), "hv2")
    assert where(fleet, "web1") == {"hv1": BindingState.ACTIVE}
    assert where(fleet, "db1") == {"hv2": BindingState.QUARANTINED}
    assert reason(fleet, "db1") == "clone: VM vm-1 is on hv1 as acme/web1"

    fleet, _ = fleet.port_gone(ref("hv1", "tap0"), 1)
    assert where(confirmed(fleet, "hv2"), "db1") == {"hv2": BindingState.ACTIVE}


def test_the_two_interfaces_of_a_vm_that_migrates_are_no_clones() -> None:
    fleet = started()
    for place in ("hv1", "hv2"):
        fleet = seen(fleet, place, "tap0", 5, ids("web1", 1, "vm-1"))
        fleet = confirmed(seen(fleet, place, "tap1", 6, ids("db1", 2, "vm-1")), place)
    fleet, _ = fleet.announced(bridge("hv2"), OfPort(5), rarp(1), 1)
    fleet, _ = fleet.port_gone(ref("hv1", "tap0"), 2)

    assert where(fleet, "web1") == {"hv2": BindingState.ACTIVE}
    assert where(fleet, "db1") == {"hv1": BindingState.ACTIVE, "hv2": BindingState.PENDING}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (ids("other", 1), "clone: no endpoint of the inventory, but the MAC of acme/web1"),
        (ids("other", 50, "vm-1"), "unknown: no endpoint of the inventory, but the VM of acme/web1"),
    ],
)
def test_an_unknown_port_says_whose_clone_it_may_be(said: dict[str, str], expected: str) -> None:
    fleet = confirmed(seen(started(), "hv1", "tap0", 5, ids("web1", 1, "vm-1")), "hv1")
    fleet = seen(fleet, "hv2", "tap7", 7, said)

    assert fleet.unknown[ref("hv2", "tap7")] == expected
    assert where(fleet, "web1") == {"hv1": BindingState.ACTIVE}


def test_quarantine_by_hand_and_release() -> None:
    fleet = confirmed(seen(started(), "hv1", "tap0", 5, ids("web1", 1)), "hv1")
    fleet, _ = fleet.quarantine(key("web1"), "by hand", 1)
    assert where(fleet, "web1") == {"hv1": BindingState.QUARANTINED}

    fleet, effects = fleet.release(key("web1"), 2)
    assert where(fleet, "web1") == {"hv1": BindingState.ACTIVE}
    assert EffectKind.RELEASED in [effect.kind for effect in effects]
    assert fleet.quarantine(key("nobody"), "by hand", 3) == (fleet, ())


@pytest.mark.parametrize("is_there", [True, False], ids=["with its port", "after its port had gone"])
def test_the_address_of_an_endpoint_that_was_deleted_is_held_back_from_another(is_there: bool) -> None:
    fleet = confirmed(seen(started(), "hv1", "tap0", 5, ids("web1", 1)), "hv1")
    if not is_there:
        fleet, _ = fleet.port_gone(ref("hv1", "tap0"), 50)
    fleet, _ = fleet.configure(without(configuration(endpoint("heir", 1)), "web1"), 100)
    fleet = confirmed(seen(fleet, "hv2", "tap5", 6, ids("heir", 1), 101), "hv2", at=101)
    assert where(fleet, "heir") == {"hv2": BindingState.QUARANTINED}
    assert reason(fleet, "heir") == "held back: 52:54:00:00:00:01 was acme/web1's until lately"

    assert where(fleet.tick(159)[0], "heir") == {"hv2": BindingState.QUARANTINED}
    assert where(confirmed(fleet.tick(161)[0], "hv2"), "heir") == {"hv2": BindingState.ACTIVE}


def test_an_endpoint_that_is_no_longer_described_loses_its_binding() -> None:
    fleet = confirmed(seen(started(), "hv1", "tap0", 5, ids("web1", 1)), "hv1")
    fleet, effects = fleet.configure(without(configuration(), "web1"), 1)

    assert where(fleet, "web1") == {}
    assert EffectKind.REMOVE in [effect.kind for effect in effects]
    assert ref("hv1", "tap0") in fleet.unknown


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
