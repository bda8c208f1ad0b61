"""Reports become a placement: who is held, why, and until when."""

from __future__ import annotations

import pytest

from support.placement_fleet import (
    bridge,
    configuration,
    confirmed,
    endpoint,
    ids,
    key,
    rarp,
    reason,
    ref,
    seen,
    started,
    where,
    without,
)
from zonewall.placement.binding_events import EffectKind
from zonewall.placement.model import BindingState
from zonewall.values.names import HostName, OfPort

HV1, HV2 = HostName("hv1"), HostName("hv2")


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
    outside, _ = fleet.quarantine(key("nobody"), "by hand", 3)
    assert where(outside, "nobody") == {}
    assert outside.release(key("nobody"), 4)[0].configure(configuration(), 5)[0].records == fleet.records


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
