"""Observations of the hosts' databases, one after the other."""

from __future__ import annotations

import pytest

from support.placement_fleet import BR_INT, bridge, configuration, confirmed, ids, key, ref, started
from zonewall.placement.binding_events import EffectKind
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_observations import observe
from zonewall.placement.binding_ports import Remembered
from zonewall.placement.model import BindingState
from zonewall.placement.observations import (
    BridgeGone,
    BridgeSeen,
    HostLost,
    HostSeen,
    PortGone,
    PortSeen,
    SnapshotComplete,
)
from zonewall.values.names import DatapathId, HostName, OfPort

HV1, HV2 = HostName("hv1"), HostName("hv2")


def test_a_host_tells_its_story() -> None:
    fleet = started()
    for seen in (
        HostSeen(HV1, "hv1", "3.1.0", "tcp:192.0.2.11:40000", 1.0),
        BridgeSeen(HV1, BR_INT, None, 1.0),
        BridgeSeen(HV1, BR_INT, DatapathId(0xA1), 1.0),
        PortSeen(HV1, BR_INT, "eth1", OfPort(1), 1.0),
        PortSeen(HV1, BR_INT, "tap0", None, 1.0, external_ids=ids("web1", 1)),
        PortSeen(HV1, BR_INT, "tap0", OfPort(5), 1.0, external_ids=ids("web1", 1)),
        SnapshotComplete(HV1, 1.0),
    ):
        fleet, _ = observe(fleet, seen)
    fleet = confirmed(fleet, "hv1")

    [bound] = fleet.placement().bindings[key("web1")]
    assert (bound.bridge, bound.ofport, bound.state) == (bridge("hv1"), 5, BindingState.ACTIVE)
    assert dict(fleet.placement().ports) == {(bridge("hv1"), "eth1"): 1}

    fleet, _ = observe(fleet, HostLost(HV1, "timed out", 2.0))
    assert fleet.placement().bindings[key("web1")] == (bound,)

    fleet, effects = observe(fleet, PortGone(HV1, BR_INT, "tap0", 3.0))
    assert [effect.kind for effect in effects] == [EffectKind.REPATH, EffectKind.REMOVE]
    assert dict(fleet.placement().bindings) == {}


def seen(name: str, ofport: int, whose: str, number: int, at: float = 1.0) -> PortSeen:
    return PortSeen(HV1, BR_INT, name, OfPort(ofport), at, external_ids=ids(whose, number))


def test_no_two_ports_of_a_bridge_have_one_number_at_any_moment() -> None:
    """Two that swap theirs, and one that has the number of one that went while nobody listened."""
    fleet = started()
    for one in (seen("tap0", 5, "web1", 1), seen("tap1", 6, "db1", 2)):
        fleet, _ = observe(fleet, one)
    for told in (
        seen("tap0", 6, "web1", 1, 2.0),
        seen("tap1", 5, "db1", 2, 2.0),
        seen("tap2", 6, "web1", 1, 3.0),
        PortGone(HV1, BR_INT, "tap0", 3.0),
    ):
        fleet, _ = observe(fleet, told)
        fleet = confirmed(fleet, "hv1")
        numbers = [bound.ofport for bindings in fleet.placement().bindings.values() for bound in bindings]
        assert len(numbers) == len(set(numbers))
    where = {
        whose: [bound.ofport for bound in all_of] for whose, all_of in fleet.placement().bindings.items()
    }
    assert where == {key("web1"): [6], key("db1"): [5]}


def numbers_of(fleet: FleetState) -> dict[str, int | None]:
    return {port.name: known.facts.ofport for port, known in fleet.ports.items()}


def test_a_port_that_came_with_a_number_of_another_bridge_takes_it_from_nobody() -> None:
    """Whose row was moved says the old number until the switch has given it another."""
    fleet = confirmed(observe(started(), seen("tap0", 5, "db1", 2))[0], "hv1")
    bound = fleet.placement().bindings[key("db1")]
    for number in (5, 6):
        fleet, _ = observe(fleet, seen("tap1", number, "web1", 1, 2.0))
        assert numbers_of(fleet) == {"tap0": 5, "tap1": None if number == 5 else 6}
        assert fleet.placement().bindings[key("db1")] is bound
    assert not fleet.hosts[HV1].waiting


@pytest.mark.parametrize("by", ["another number", "going", "another port's row"])
def test_who_waits_for_a_number_has_it_once_it_is_free_and_is_forgotten_when_it_goes(by: str) -> None:
    fleet = started()
    for name, whose, number in (("tap0", "db1", 2), ("tap1", "web1", 1), ("tap2", "web2", 3)):
        fleet, _ = observe(fleet, seen(name, 5, whose, number))
    assert numbers_of(fleet) == {"tap0": 5, "tap1": None, "tap2": None}
    if by == "going":
        fleet, _ = observe(fleet, PortGone(HV1, BR_INT, "tap0", 2.0))
    elif by == "another number":
        fleet, _ = observe(fleet, seen("tap0", 7, "db1", 2, 2.0))
    else:
        fleet, _ = observe(fleet, PortSeen(HV1, BR_INT, "tap0", None, 2.0, external_ids=ids("db1", 2)))
    assert (numbers_of(fleet)["tap1"], numbers_of(fleet)["tap2"]) == (5, None)
    for name in ("tap2", "tap1"):
        fleet, _ = observe(fleet, PortGone(HV1, BR_INT, name, 3.0))
    assert numbers_of(fleet).keys() <= {"tap0"}
    assert not fleet.hosts[HV1].waiting


def test_a_number_that_is_remembered_of_a_port_that_went_is_another_ports_at_once() -> None:
    fleet = FleetState.start(
        configuration(), remembered=[Remembered(key("web1"), ref("hv1", "tap0"), OfPort(5))]
    )
    fleet, _ = observe(fleet, seen("tap1", 5, "db1", 2))
    assert key("web1") not in fleet.placement().bindings
    assert [bound.ofport for bound in fleet.placement().bindings[key("db1")]] == [5]
    fleet, _ = observe(fleet, seen("tap0", 6, "web1", 1))
    fleet, _ = observe(fleet, SnapshotComplete(HV1, 1.0))
    fleet = confirmed(fleet, "hv1")
    assert [bound.ofport for bound in fleet.placement().bindings[key("web1")]] == [6]


def test_a_second_bridge_with_a_datapath_id_is_reported() -> None:
    fleet, _ = observe(started(), BridgeSeen(HV1, BR_INT, DatapathId(0xA1), 1.0))
    fleet, effects = observe(fleet, BridgeSeen(HV2, BR_INT, DatapathId(0xA1), 1.0))

    assert [effect.kind for effect in effects] == [EffectKind.REFUSED_BRIDGE]
    assert "give one of them another" in effects[0].reason


def test_what_says_nothing_of_placement_changes_nothing() -> None:
    fleet = started()

    assert observe(fleet, BridgeGone(HV1, BR_INT, 1.0)) == (fleet, ())
