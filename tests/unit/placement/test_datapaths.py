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


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["hv1", "hv2", "hv3"]), st.sampled_from([None, ONE, OTHER])), max_size=12
    )
)
def test_both_ways_say_the_same_whatever_comes(steps: list[tuple[str, DatapathId | None]]) -> None:
    fleet, plain = started(), dict[BridgeKey, DatapathId]()
    for name, number in steps:
        if number is None:
            fleet, _ = observe(fleet, gone(bridge(name)))
            plain.pop(bridge(name), None)
        else:
            fleet, effects = fleet.bridge_seen(bridge(name), number)
            is_anothers = number in {plain[other] for other in plain if other != bridge(name)}
            assert bool(effects) is is_anothers
            if not is_anothers:
                plain[bridge(name)] = number
        assert dict(fleet.datapaths.numbers) == plain
        assert {at: number for number, at in fleet.datapaths.pairs()} == plain
    assert fleet.datapaths.among(()) == Datapaths()
