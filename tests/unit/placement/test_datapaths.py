"""A datapath id is a bridge's for as long as the bridge is there, and no other can take it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from support.placement_fleet import bridge, configuration, host, started
from zonewall.placement.binding_datapaths import Datapaths
from zonewall.placement.binding_observations import observe
from zonewall.placement.model import BridgeKey
from zonewall.placement.observations import BridgeGone
from zonewall.values.names import DatapathId, HostName

ONE, OTHER = DatapathId(0xA1), DatapathId(0xA2)


def gone(at: BridgeKey) -> BridgeGone:
    return BridgeGone(at.host, at.bridge, 1.0)


def test_an_id_is_refused_to_another_bridge_while_its_own_is_there_and_free_once_that_is_gone() -> None:
    fleet, _ = started().bridge_seen(bridge("hv1"), ONE)
    fleet, effects = fleet.bridge_seen(bridge("hv2"), ONE)
    assert len(effects) == 1
    fleet, _ = observe(fleet, gone(bridge("hv2")))
    assert fleet.bridge_seen(bridge("hv2"), ONE)[1] != ()

    fleet, _ = observe(fleet, gone(bridge("hv1")))
    fleet, effects = fleet.bridge_seen(bridge("hv2"), ONE)
    assert effects == ()
    assert fleet.datapaths.bridges[ONE] == bridge("hv2")


def test_a_host_that_is_renamed_keeps_its_bridges_id() -> None:
    fleet, _ = started().bridge_seen(bridge("hv1"), ONE)
    inventory = configuration().inventory
    hosts = {name: one for name, one in inventory.hosts.items() if name != "hv1"}
    hosts[HostName("hv1b")] = host("hv1b")
    fleet, _ = fleet.configure(replace(configuration(), inventory=replace(inventory, hosts=hosts)), 1.0)

    fleet, effects = fleet.bridge_seen(bridge("hv1b"), ONE)
    assert effects == ()
    assert fleet.datapaths.bridges[ONE] == bridge("hv1b")


def test_a_bridge_that_was_made_anew_has_its_new_id_alone() -> None:
    fleet, _ = started().bridge_seen(bridge("hv1"), ONE)
    fleet, _ = fleet.bridge_seen(bridge("hv1"), OTHER)
    assert fleet.datapaths.numbers[bridge("hv1")] == OTHER
    assert fleet.bridge_seen(bridge("hv2"), ONE)[1] == ()


def test_a_bridge_with_the_id_of_another_one_is_known_by_a_number_of_its_own_for_as_long_as_it_is_there() -> (
    None
):
    fleet, _ = started().bridge_seen(bridge("hv1"), ONE)
    fleet, _ = fleet.bridge_seen(bridge("hv2"), ONE)
    own = fleet.datapaths.numbers[bridge("hv2")]
    assert list(fleet.datapaths.claimants(ONE)) == [(ONE, bridge("hv1")), (own, bridge("hv2"))]
    fleet, _ = observe(fleet, gone(bridge("hv1")))
    again, _ = fleet.bridge_seen(bridge("hv2"), ONE)
    assert list(again.datapaths.claimants(ONE)) == [(own, bridge("hv2"))]
    other, _ = fleet.bridge_seen(bridge("hv2"), OTHER)
    assert list(other.datapaths.claimants(ONE)) == []


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["hv1", "hv2", "hv3"]), st.sampled_from([None, ONE, OTHER])), max_size=12
    )
)
def test_whatever_hosts_say_a_bridge_keeps_its_number_and_each_number_is_one_bridges(
    steps: list[tuple[str, DatapathId | None]],
) -> None:
    fleet, said = started(), dict[BridgeKey, DatapathId]()
    for name, number in steps:
        before = {at: known for at, known in fleet.datapaths.numbers.items() if at != bridge(name)}
        is_anothers = number in before.values()
        if number is None:
            fleet, _ = observe(fleet, gone(bridge(name)))
            said.pop(bridge(name), None)
        else:
            fleet, effects = fleet.bridge_seen(bridge(name), number)
            assert bool(effects) is is_anothers
            said[bridge(name)] = number
        after = dict(fleet.datapaths.numbers)
        assert after.keys() == said.keys()
        assert {at: known for at, known in after.items() if at != bridge(name)} == before
        assert {at: known for known, at in fleet.datapaths.pairs()} == after
        for at, id_ in said.items():
            assert (after[at], at) in list(fleet.datapaths.claimants(id_))
    assert fleet.datapaths.among(()) == Datapaths()
