"""Who is let in as which bridge, whatever ids hosts name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from support.placement_fleet import bridge, configuration, started
from zonewall.intent.numbering import Numbering
from zonewall.placement.binding_fleet import FleetState
from zonewall.reconciler.admission import FEW, Admissions
from zonewall.reconciler.world import World
from zonewall.values.names import DatapathId, HostName

ID = DatapathId(0xB2)
HV1, HV2 = frozenset({"hv1"}), frozenset({"hv2"})


def world(fleet: FleetState, declared: int | None = None) -> World:
    """Return the world of a fleet; hv2's bridge has its id from the inventory where one is said."""
    inventory = configuration().inventory
    host = inventory.hosts[HostName("hv2")]
    ports = {name: replace(one, datapath_id=declared) for name, one in host.bridges.items()}
    hosts = {**inventory.hosts, host.name: replace(host, bridges=ports)}
    said = replace(configuration(), inventory=replace(inventory, hosts=hosts))
    return World.start(said, Numbering(), fleet, frozenset())


def claimed_by_hv1_first() -> FleetState:
    fleet, _ = started().bridge_seen(bridge("hv1"), ID)
    return fleet.bridge_seen(bridge("hv2"), ID)[0]


def test_a_host_that_names_anothers_id_first_keeps_that_ones_bridge_out_of_nothing() -> None:
    now = world(claimed_by_hv1_first())
    admissions = Admissions(lambda: now, set())
    first, other = (admissions.admit(ID, names, "192.0.2.1:1") for names in (HV1, HV2))
    assert first.is_admitted
    assert other.is_admitted
    assert [now.bridge_of(DatapathId(one.known_as or 0)) for one in (first, other)] == [
        bridge("hv1"),
        bridge("hv2"),
    ]
    assert admissions.admit(other.known_as or 0, HV2, "192.0.2.1:1") == other  # when the inventory changes
    assert not admissions.admit(ID, frozenset({"hv3"}), "192.0.2.1:1").is_admitted


class Session:
    """One that is up, and notes why it is closed."""

    certificate_names, peer_address = None, "192.0.2.1:1"

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.close = self.closed.append


def test_who_is_another_bridge_by_an_edit_is_let_in_as_that_anew() -> None:
    """Otherwise the bridge of a host that gets another name would be away until it connects by itself."""
    now = [world(started(), declared=ID)]
    admissions, session = Admissions(lambda: now[-1], set()), Session()
    admissions.admit(ID, None, session.peer_address)
    admissions.sessions[ID] = session  # type: ignore[assignment]
    admissions.again()
    assert session.closed == []
    inventory = now[0].configuration.inventory
    renamed = replace(inventory.hosts[HostName("hv2")], name=HostName("hv9"))
    others = {name: host for name, host in inventory.hosts.items() if name != "hv2"}
    edited = replace(inventory, hosts={**others, renamed.name: renamed})
    said = replace(now[0].configuration, inventory=edited)
    now.append(World.start(said, Numbering(), started(), frozenset()))
    admissions.again()
    assert session.closed == [f"it is {bridge('hv9')} by what is known now"]


@pytest.mark.parametrize("said", [DatapathId(0xC3), None], ids=["another id", "no bridge of that name"])
def test_who_has_an_id_that_its_bridge_has_no_more_is_let_in_anew(said: DatapathId | None) -> None:
    """Two hosts that change names: the switch of one would go on as the other's."""
    fleet, _ = started().bridge_seen(bridge("hv1"), ID)
    now = [world(fleet.bridge_seen(bridge("hv2"), DatapathId(0xA1))[0])]
    admissions, sessions = Admissions(lambda: now[-1], set()), {ID: Session(), DatapathId(0xA1): Session()}
    for number, session in sessions.items():
        admissions.admit(number, None, session.peer_address)
    admissions.sessions.update(cast(Any, sessions))
    for key in (bridge("hv1"), bridge("hv2")):
        admissions.again(key)
    assert not any(session.closed for session in sessions.values())
    fleet = now[0].fleet
    now.append(
        world(fleet.bridge_gone(bridge("hv1")) if said is None else fleet.bridge_seen(bridge("hv1"), said)[0])
    )
    admissions.again(bridge("hv1"))
    assert len(sessions[ID].closed) == 1
    assert not sessions[DatapathId(0xA1)].closed


def test_what_the_inventory_gives_to_one_bridge_no_host_can_have_another_one_known_by() -> None:
    now = world(claimed_by_hv1_first(), declared=ID)
    admissions = Admissions(lambda: now, set())
    assert admissions.admit(ID, HV2, "192.0.2.1:1").known_as == ID
    assert "with a certificate of hv1, not hv2" in admissions.admit(ID, HV1, "192.0.2.1:1").reason
    # Frames that find links are signed in the name of this number.
    assert now.datapath_of(bridge("hv2")) == ID
    assert now.datapath_of(bridge("hv1")) is None


def test_of_a_bridge_that_comes_with_another_id_each_time_few_are_remembered() -> None:
    fleet = started()
    now = [world(fleet)]
    admissions = Admissions(lambda: now[-1], set())
    admissions.sessions[ID] = session = cast(Any, Session())
    now.append(world(fleet.bridge_seen(bridge("hv2"), ID)[0]))
    admissions.admit(ID, None, "192.0.2.1:1")
    for number in range(1000, 1000 + 3 * FEW):
        now.append(world(now[1].fleet.bridge_seen(bridge("hv1"), DatapathId(number))[0]))
        assert admissions.admit(number, None, "192.0.2.1:2").is_admitted
    assert len(admissions._let_in_as) <= FEW + 4
    admissions.again()
    assert not session.closed
