"""When bridges may be changed after a start: nothing is taken for gone that nobody has told of yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from support.placement_fleet import configuration
from zonewall.intent.fleet import Fleet
from zonewall.placement.model import BindingState, BridgeKey
from zonewall.reconciler.hearing import LINKS_S, UNREMEMBERED_S, UNTOLD_S, Hearing, bridges_of_others
from zonewall.reconciler.keeper import InForce
from zonewall.reconciler.reconciler import Reconciler
from zonewall.values.names import BridgeName, EndpointKey, HostName

HV1, HV2 = HostName("hv1"), HostName("hv2")
ON_HV1, ON_HV2 = (BridgeKey(host, BridgeName("br-int")) for host in (HV1, HV2))
CONNECTED = {ON_HV1: True, ON_HV2: True}
ONE_AWAY = {key: key.host == HV1 for key in CONNECTED}


def test_with_a_head_start_a_host_waits_for_nobody_but_itself() -> None:
    hearing = Hearing(100.0, True)
    assert not hearing.is_known(ON_HV1)
    assert hearing.take(HV1)
    assert not hearing.take(HV1)
    assert hearing.is_known(ON_HV1)
    assert not hearing.is_known(ON_HV2)


def test_without_one_it_waits_for_all_and_for_the_links_between_them() -> None:
    hearing = Hearing(100.0, False)
    hearing.take(HV1)
    assert not hearing.time_passes(101.0, CONNECTED)
    assert not hearing.is_known(ON_HV1)
    hearing.take(HV2)
    assert not hearing.time_passes(102.0, ONE_AWAY)
    assert not hearing.time_passes(103.0, CONNECTED)
    assert not hearing.is_known(ON_HV1)
    assert hearing.time_passes(103.0 + LINKS_S, ONE_AWAY)
    assert hearing.is_known(ON_HV1)
    assert hearing.is_known(ON_HV2)


@pytest.mark.parametrize(("has_head_start", "late_s"), [(True, UNTOLD_S), (False, UNREMEMBERED_S)])
def test_nobody_waits_for_ever_for_a_host_that_never_tells(has_head_start: bool, late_s: float) -> None:
    hearing = Hearing(100.0, has_head_start)
    hearing.take(HV1)
    assert not hearing.time_passes(99.0 + late_s, ONE_AWAY)
    assert hearing.is_known(ON_HV1) is has_head_start
    assert hearing.time_passes(100.5 + late_s, ONE_AWAY), "who waits is woken"
    assert not hearing.time_passes(101.0 + late_s, ONE_AWAY), "once"
    assert hearing.is_known(ON_HV1)
    assert hearing.is_known(ON_HV2)


def test_a_bridge_that_the_inventory_names_later_waits_for_its_host_however_long_the_start_is_over() -> None:
    """A host that is taken out and comes again, and another bridge of one that is known."""
    hearing = Hearing(100.0, True)
    hearing.declared([ON_HV1, ON_HV2], 100.0)
    hearing.take(HV1)
    hearing.take(HV2)
    assert hearing.time_passes(200.0, CONNECTED)
    hearing.declared([ON_HV1], 201.0)
    other = BridgeKey(HV1, BridgeName("br-other"))
    hearing.declared([ON_HV1, ON_HV2, other], 300.0)
    assert [hearing.is_known(key) for key in (ON_HV1, ON_HV2, other)] == [True, False, False]
    assert hearing.take(HV2), "who waits is woken"
    assert hearing.is_known(ON_HV2)
    assert hearing.overdue(299.0 + UNTOLD_S) == set()
    assert hearing.overdue(300.0 + UNTOLD_S) == {HV1}
    assert hearing.take(HV1)
    assert hearing.is_known(other)
    assert hearing.overdue(301.0 + UNTOLD_S) == set()
    assert not hearing.take(HV1)


@pytest.mark.asyncio
async def test_a_host_that_an_edit_takes_away_and_brings_back_is_heard_before_its_bridge_is_changed(
    tmp_path: Path,
) -> None:
    one, both = (
        {
            "kind": "inventory",
            "hosts": {host: {"bridges": {"br-int": {"attachment": "fabric"}}} for host in hosts},
        }
        for hosts in (("hv1",), ("hv1", "hv2"))
    )
    policies = tmp_path / "policies"
    policies.mkdir()
    document = policies / "inventory.yaml"
    document.write_text(yaml.safe_dump(both))
    reconciler = Reconciler(policies, tmp_path / "state", b"k" * 32)
    await reconciler.reload()
    for host in (HV1, HV2):
        reconciler.host_told(host)
    assert all(reconciler.may_change(key) for key in (ON_HV1, ON_HV2))
    for said in (one, both):
        document.write_text(yaml.safe_dump(said))
        await reconciler.reload()
    assert reconciler.may_change(ON_HV1)
    assert not reconciler.may_change(ON_HV2)
    reconciler.host_told(HV2)
    assert reconciler.may_change(ON_HV2)


@pytest.mark.asyncio
async def test_a_bridge_that_is_brought_back_gets_its_endpoints_in_one_step_and_the_others_wait_for_it(
    tmp_path: Path,
) -> None:
    end = {"name": "vm", "tenant": "acme", "mac": "52:54:00:00:00:01", "ips": ["10.0.0.1"], "iface-id": "vm"}
    one, both = (
        {
            "kind": "inventory",
            "hosts": {host: {"bridges": {"br-int": {"attachment": "fabric"}}} for host in hosts},
            "endpoints": [end],
        }
        for hosts in (("hv1",), ("hv1", "hv2"))
    )
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "acme.yaml").write_text(yaml.safe_dump({"kind": "tenant", "tenant": "acme"}))
    document = policies / "inventory.yaml"
    document.write_text(yaml.safe_dump(both))
    reconciler = Reconciler(policies, tmp_path / "state", b"k" * 32)
    await reconciler.reload()

    def told() -> None:
        fleet = reconciler.world.fleet
        reconciler.take(fleet.port_seen(*ON_HV2, "tap0", 7, {"iface-id": "vm"}, 1.0))
        reconciler.host_told(HV2)

    def states(fleet: Fleet | None) -> list[BindingState]:
        assert fleet is not None
        return [binding.state for binding in fleet.placement.bindings[EndpointKey("acme/vm")]]

    def wanted(key: BridgeKey) -> list[BindingState]:
        return states(reconciler._latest(key))

    reconciler.host_told(HV1)
    told()
    assert wanted(ON_HV1) == wanted(ON_HV2) == [BindingState.PENDING], "at the start it is new there"
    for said in (one, both):
        document.write_text(yaml.safe_dump(said))
        await reconciler.reload()
    assert reconciler._latest(ON_HV2) is None
    told()
    assert wanted(ON_HV2) == [BindingState.ACTIVE]
    assert wanted(ON_HV1) == [BindingState.PENDING], "nobody sends there before it is in force"
    fleet = reconciler._latest(ON_HV2)
    assert fleet is not None
    reconciler.in_force(InForce(ON_HV2, fleet.placement, 2.0))
    assert wanted(ON_HV1) == wanted(ON_HV2) == [BindingState.ACTIVE]
    assert reconciler._latest(ON_HV2) is reconciler.world.indexed


def test_a_bridge_of_another_machine_by_an_edit_is_heard_first() -> None:
    """Its host's name was another machine's, whose ports are not its own."""
    hearing = Hearing(100.0, True)
    hearing.declared([ON_HV1, ON_HV2], 100.0)
    for host, key in ((HV1, ON_HV1), (HV2, ON_HV2)):
        hearing.take(host)
        hearing.in_force(key)
    before = configuration()
    hosts = {**before.inventory.hosts, HV1: replace(before.inventory.hosts[HV1], system_id="other")}
    after = replace(before, inventory=replace(before.inventory, hosts=hosts))
    assert bridges_of_others(before, before) == frozenset()
    hearing.declared([ON_HV1, ON_HV2], 200.0, bridges_of_others(before, after))
    assert (hearing.is_known(ON_HV1), hearing.is_known(ON_HV2)) == (False, True)
    assert hearing.is_resuming(ON_HV1)
    assert hearing.take(HV1)
    assert hearing.is_known(ON_HV1)
