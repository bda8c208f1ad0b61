"""Reports of ports become a placement: whose a port is by what it says."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from support.placement_fleet import (
    BR_INT,
    bridge,
    configuration,
    confirmed,
    endpoint,
    ids,
    reason,
    ref,
    seen,
    started,
    where,
)
from zonewall.placement.binding_events import EffectKind
from zonewall.placement.model import BindingState
from zonewall.values.names import DatapathId, HostName

HV1, HV2 = HostName("hv1"), HostName("hv2")


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
