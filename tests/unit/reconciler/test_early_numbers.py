"""A new port's number is taken from its bridge, if it can be no other port's, until the database tells it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from support.placement_fleet import bridge, ids, started
from zonewall.openflow.events import Port, PortChange, PortChanged
from zonewall.placement.binding_fleet import Change, FleetState
from zonewall.placement.binding_record import PortRef
from zonewall.placement.observations import PortGone, PortSeen
from zonewall.reconciler.early_numbers import EarlyNumbers
from zonewall.reconciler.hosts import HostEvents
from zonewall.values.names import OfPort

KEY = bridge("hv1")


class Site:
    """A host whose database has told of ``tap1``, which has no number yet."""

    def __init__(self) -> None:
        fleet, _ = started().host_seen(KEY.host, 0.0)
        self.world = SimpleNamespace(fleet=fleet)
        self.causes: list[str] = []
        stub: Any = self
        self.hosts = HostEvents(stub)
        self.database("tap1", None)

    def take(self, change: Change, cause: str) -> None:
        self.world.fleet = change[0]
        self.causes.append(cause)

    def roles_changed(self) -> None:
        """Nobody waits for it."""

    def database(self, name: str, number: int | None, iface_id: str = "web1") -> None:
        told = None if number is None else OfPort(number)
        self.hosts.take(PortSeen(*KEY, name, told, 0.0, external_ids=ids(iface_id)))

    def bridge(self, name: str, number: int, change: PortChange = PortChange.ADDED) -> None:
        self.hosts.early.take(KEY, PortChanged(0xA1, change, Port(number, name, 0, True)))

    def number(self, name: str = "tap1") -> int | None:
        known = self.world.fleet.ports.get(PortRef(KEY, name))
        return None if known is None else known.ofport


def test_the_bridges_word_gives_a_port_its_number_and_the_databases_word_changes_nothing() -> None:
    site = Site()
    site.bridge("tap1", 7)
    assert site.number() == 7
    before: FleetState = site.world.fleet
    assert [binding.ofport for of in before.placement().bindings.values() for binding in of] == [7]
    site.database("tap1", 7)
    assert site.number() == 7
    assert site.world.fleet.placement().bindings == before.placement().bindings
    assert site.causes[-2:] == [f"bridge {KEY}", f"database of {KEY.host}"]


def test_what_the_database_says_counts_whatever_the_bridge_has_told() -> None:
    site = Site()
    site.bridge("tap1", 7)
    site.database("tap1", 9)
    assert site.number() == 9
    site.bridge("tap1", 10)
    assert site.number() == 9
    site.bridge("tap1", 9, PortChange.DELETED)
    assert site.number() == 9


def test_a_port_that_goes_before_the_database_has_its_number_loses_it() -> None:
    site = Site()
    site.bridge("tap1", 7)
    site.bridge("tap1", 6, PortChange.DELETED)
    assert site.number() == 7
    site.bridge("tap1", 7, PortChange.DELETED)
    assert site.number() is None
    site.bridge("tap1", 8)
    assert site.number() == 8


@pytest.mark.parametrize("number", [4, 5, 0xFF00, 0xFFFFFFFE])
def test_a_number_that_may_have_been_another_ports_or_is_none_is_left_to_the_database(number: int) -> None:
    site = Site()
    site.database("old", 5, "db1")
    site.hosts.take(PortGone(*KEY, "old", 0.0))
    site.bridge("tap1", number)
    assert site.number() is None


def test_a_port_without_a_row_has_its_number_once_the_row_is_there() -> None:
    site = Site()
    site.bridge("tap2", 7)
    assert site.number("tap2") is None
    site.database("tap2", None, "db1")
    assert site.number("tap2") == 7


def test_a_port_that_went_before_its_row_came_has_no_number() -> None:
    site = Site()
    site.bridge("tap2", 7)
    site.bridge("tap2", 7, PortChange.DELETED)
    site.database("tap2", None, "db1")
    assert site.number("tap2") is None


def test_a_number_that_came_before_its_row_may_still_be_no_other_ports() -> None:
    site = Site()
    site.bridge("tap2", 7)
    site.database("old", 7, "db1")
    site.database("tap2", None, "db2")
    assert site.number("tap2") is None


def test_a_port_that_failed_gets_no_number() -> None:
    site = Site()
    site.bridge("tap2", 7)
    site.hosts.take(PortSeen(*KEY, "tap2", None, 0.0, failed=True, external_ids=ids("db1")))
    assert site.number("tap2") is None


def test_few_ports_wait_for_their_rows() -> None:
    site = Site()
    for number in range(1000):
        site.bridge(f"t{number}", 10 + number)
    early: EarlyNumbers = site.hosts.early
    assert list(early._ahead[KEY]) == [f"t{number}" for number in range(936, 1000)]


@pytest.mark.parametrize(("letters", "number"), [(14, 7), (15, None)])
def test_a_name_that_openflow_may_have_cut_off_is_left_to_the_database(
    letters: int, number: int | None
) -> None:
    site = Site()
    site.database("t" * letters, None, "db1")
    site.bridge("t" * letters, 7)
    assert site.number("t" * letters) == number


def test_of_a_host_whose_database_is_away_no_number_is_taken() -> None:
    site = Site()
    site.world.fleet, _ = site.world.fleet.host_lost(KEY.host, 1.0)
    site.bridge("tap1", 7)
    assert site.number() is None


def test_what_a_port_had_before_it_went_is_not_remembered() -> None:
    site = Site()
    site.bridge("tap1", 7)
    site.hosts.take(PortGone(*KEY, "tap1", 0.0))
    early: EarlyNumbers = site.hosts.early
    assert not early._taken
