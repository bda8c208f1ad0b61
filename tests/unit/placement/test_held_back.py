"""Whose a MAC or IP address was lately, nobody else is for a while: after an edit, and over a restart."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from support.placement_fleet import configuration, confirmed, endpoint, ids, key, seen, started, where
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.learnt import AddressBook
from zonewall.placement.model import BindingState
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Configuration
from zonewall.reconciler.memory import MemoryKeeper

HELD, FREE = BindingState.QUARANTINED, BindingState.ACTIVE
IP = ip_address("10.0.0.1")


def with_endpoints(**changed: EndpointDeclaration | None) -> Configuration:
    """Return the fleet's configuration with some endpoints as they are given, or gone."""
    made = configuration()
    endpoints = dict(made.inventory.endpoints)
    for name, one in changed.items():
        endpoints.pop(key(name), None)
        if one is not None:
            endpoints[one.key] = one
    return replace(made, inventory=replace(made.inventory, endpoints=endpoints))


def named(name: str, number: int, *ips: str, **fields: object) -> EndpointDeclaration:
    return replace(endpoint(name, number), ips=tuple(map(ip_address, ips)), **fields)  # type: ignore[arg-type]


def begun(**fields: object) -> FleetState:
    """Return the fleet in which web1 is at hv1 with 10.0.0.1."""
    fleet, _ = started().configure(with_endpoints(web1=named("web1", 1, "10.0.0.1", **fields)), 10)
    return confirmed(seen(fleet, "hv1", "tap0", 5, ids("web1", 1), 11), "hv1", at=11)


def heir_state(fleet: FleetState, number: int, at: float) -> BindingState:
    """Return how another one fares that is plugged in then."""
    there = confirmed(seen(fleet, "hv2", "tap5", 6, ids("heir", number), at), "hv2", at=at)
    return where(there, "heir")["hv2"]


@pytest.mark.parametrize("mac", [1, 7], ids=["its address", "its address and another MAC"])
def test_an_address_that_an_edit_takes_from_a_living_endpoint_is_held_back_from_the_next(mac: int) -> None:
    elder = named("web1", mac, "10.0.0.9")
    fleet, _ = begun().configure(with_endpoints(web1=elder, heir=named("heir", 8, "10.0.0.1")), 100)
    assert heir_state(fleet, 8, 101) is HELD
    assert heir_state(fleet.tick(161)[0], 8, 161) is FREE


def test_a_mac_that_an_edit_takes_is_held_back_and_what_one_keeps_or_gets_back_is_not() -> None:
    fleet, _ = begun().configure(
        with_endpoints(web1=named("web1", 7, "10.0.0.1"), heir=named("heir", 1)), 100
    )
    assert heir_state(fleet, 1, 101) is HELD
    back, _ = begun().configure(with_endpoints(web1=named("web1", 1)), 100)
    back, _ = back.configure(with_endpoints(web1=named("web1", 1, "10.0.0.1")), 101)
    assert where(back, "web1") == {"hv1": FREE}


def test_what_a_server_granted_is_free_for_the_next_when_the_lease_is_over() -> None:
    fleet = begun(unaddressed=True)
    after = with_endpoints(
        web1=named("web1", 1, unaddressed=True), heir=named("heir", 8, "10.0.0.1", unaddressed=True)
    )
    fleet, _ = fleet.configure(after, 100)
    assert heir_state(fleet, 8, 101) is FREE


def test_who_was_never_seen_leaves_nothing_that_rests() -> None:
    fleet, _ = started().configure(with_endpoints(web1=None, heir=named("heir", 1)), 100)
    assert fleet.held_back.entries == {}


@pytest.mark.parametrize(
    ("at", "state"), [(99, HELD), (161, FREE), (5, HELD)], ids=["soon", "late", "reboot"]
)
def test_what_is_held_back_is_so_over_a_restart_of_the_controller(
    tmp_path: Path, at: float, state: BindingState
) -> None:
    after = with_endpoints(web1=None, heir=named("heir", 1, "10.0.0.1"))
    fleet, _ = begun().configure(after, 100)
    MemoryKeeper(tmp_path / "places.json").keep(fleet, AddressBook(), frozenset()).result()

    remembered = MemoryKeeper(tmp_path / "places.json").at_start.held
    assert {one.owned for one in remembered} == {endpoint("web1", 1).mac, IP}
    again = FleetState.start(after, at=at, held=remembered)
    assert heir_state(again, 1, at) is state
    assert heir_state(again.tick(at + 61)[0], 1, at + 61) is FREE
