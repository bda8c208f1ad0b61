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
from zonewall.values.names import BridgeName, OfPort

KEY = bridge("hv1")
OF_BRIDGE = f"database of {KEY.host}, ofport from {KEY}"


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
    assert site.causes[-2:] == [OF_BRIDGE, f"database of {KEY.host}"]


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


@pytest.mark.parametrize("is_ahead", [True, False])
def test_the_second_port_of_a_name_is_left_to_the_database_which_may_yet_tell_of_the_first(
    is_ahead: bool,
) -> None:
    site = Site()
    if not is_ahead:
        site.database("tap2", None, "db1")
    site.bridge("tap2", 7)
    site.bridge("tap2", 7, PortChange.DELETED)
    site.bridge("tap2", 8)  # the port of db2
    site.database("tap2", None, "db1")
    assert site.number("tap2") is None
    site.hosts.take(PortGone(*KEY, "tap2", 0.0))
    site.database("tap2", None, "db2")
    assert site.number("tap2") is None
    site.database("tap2", 8, "db2")
    assert site.number("tap2") == 8
    site.hosts.take(PortGone(*KEY, "tap2", 0.0))
    site.database("tap2", None, "db2")
    site.bridge("tap2", 9)
    assert site.number("tap2") == 9


@pytest.mark.parametrize("in_one_step", [True, False])
@pytest.mark.parametrize("change", [PortChange.ADDED, PortChange.MODIFIED])
def test_what_is_told_late_of_a_port_that_the_database_never_gave_a_number_is_not_the_next_ones(
    change: PortChange, in_one_step: bool
) -> None:
    site = Site()
    if not in_one_step:
        site.hosts.take(PortGone(*KEY, "tap1", 0.0))
    site.database("tap1", None, "db1")
    site.bridge("tap1", 7, change)
    assert site.number() is None


def test_a_port_keeps_its_number_when_the_database_tells_something_else_of_it_first() -> None:
    site = Site()
    site.bridge("tap1", 7)
    before: FleetState = site.world.fleet
    site.hosts.take(PortSeen(*KEY, "tap1", None, 0.0, tag=5, external_ids=ids("web1")))
    assert site.world.fleet.placement().bindings == before.placement().bindings
    site.bridge("tap1", 7, PortChange.DELETED)
    assert site.number() is None


def test_a_port_that_is_another_ones_before_it_has_a_number_in_the_database_loses_the_bridges() -> None:
    site = Site()
    site.bridge("tap1", 7)
    site.database("tap1", None, "db1")
    assert site.number() is None


def test_a_port_whose_owner_is_told_after_its_row_has_a_number() -> None:
    site = Site()
    site.hosts.take(PortSeen(*KEY, "tap2", None, 0.0))
    site.database("tap2", None, "db1")
    site.bridge("tap2", 7)
    assert site.number("tap2") == 7


def test_a_bridge_that_comes_back_keeps_of_its_numbers_those_that_it_shows_again() -> None:
    site = Site()
    site.database("tap2", None, "db1")
    for number, name in enumerate(("tap1", "tap2", "tap3"), 7):
        site.bridge(name, number)
    site.hosts.early.connected(KEY, [Port(8, "tap1", 0, True), Port(8, "tap2", 0, True)])
    site.database("tap3", None, "db2")
    assert [site.number(name) for name in ("tap1", "tap2", "tap3")] == [None, 8, None]


def test_nothing_is_kept_of_bridges_that_are_not_in_the_inventory_nor_of_one_that_is_no_more() -> None:
    site = Site()
    early: EarlyNumbers = site.hosts.early
    for number in range(100):
        site.hosts.take(PortSeen(KEY.host, BridgeName(f"br{number}"), "tap1", OfPort(5), 0.0))
    site.database("tap1", 7)
    site.database("tap2", None, "db1")
    site.bridge("tap2", 8)
    assert list(early._highest) == [KEY]
    early.forget(KEY)
    assert not early._highest
    assert not early._taken


def test_a_bridge_that_tells_of_one_port_again_and_again_has_it_move_once() -> None:
    site = Site()
    for _ in range(100):
        site.bridge("tap1", 7)
        site.bridge("tap1", 7, PortChange.DELETED)
    assert (site.causes.count(OF_BRIDGE), site.causes.count(f"bridge {KEY}")) == (1, 1)


def test_a_bridge_that_gives_two_ports_one_number_has_the_first_keep_it() -> None:
    site = Site()
    site.database("tap2", None, "db1")
    for _ in range(100):
        site.bridge("tap1", 7)
        site.bridge("tap2", 7)
    assert (site.number("tap1"), site.number("tap2")) == (7, None)
    assert site.causes.count(OF_BRIDGE) == 1


def test_a_number_that_the_database_has_told_of_another_port_is_not_taken_back() -> None:
    site = Site()
    site.bridge("tap1", 7)
    site.database("tap2", 7, "db1")
    site.database("tap1", None)
    site.bridge("tap1", 7, PortChange.MODIFIED)
    assert (site.number("tap1"), site.number("tap2")) == (None, 7)


def test_few_names_are_left_to_the_database_at_a_time() -> None:
    site = Site()
    for number in range(2000):
        site.bridge(f"t{number}", 10 + number)
        site.bridge(f"t{number}", 10 + number, PortChange.DELETED)
    early: EarlyNumbers = site.hosts.early
    assert len(early._left[KEY]) == 1024


@pytest.mark.parametrize("is_ahead", [True, False])
def test_a_number_is_not_taken_before_all_is_that_the_database_has_told(is_ahead: bool) -> None:
    site = Site()
    site.hosts.early.is_behind = lambda host: host == KEY.host
    if not is_ahead:
        site.database("tap2", None, "db1")
    site.bridge("tap2", 7)
    if is_ahead:
        site.database("tap2", None, "db1")
    assert site.number("tap2") is None
    site.hosts.early.is_behind = lambda _: False
    site.database("other", 5, "web1")
    assert site.number("tap2") == 7


def test_a_number_waits_for_what_the_database_tells_of_other_bridges_and_no_longer() -> None:
    site = Site()
    site.hosts.early.is_behind = lambda host: host == KEY.host
    site.bridge("tap1", 7)
    assert site.number() is None
    site.hosts.early.is_behind = lambda _: False
    site.hosts.take(PortSeen(KEY.host, BridgeName("br-other"), "tap1", OfPort(5), 0.0))
    assert site.number() == 7


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_number_that_waits_is_not_taken_for_the_port_that_came_instead(in_one_step: bool) -> None:
    site = Site()
    site.hosts.early.is_behind = lambda host: host == KEY.host
    site.bridge("tap1", 7)
    if not in_one_step:
        site.hosts.take(PortGone(*KEY, "tap1", 0.0))
    site.hosts.early.is_behind = lambda _: False
    site.database("tap1", None, "db1")
    assert site.number() is None


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
