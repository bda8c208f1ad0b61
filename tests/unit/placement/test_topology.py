"""Paths over the fabric: shortest, loop-free, the same whatever order links are found in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zonewall.placement.model import BridgeKey, Link
from zonewall.placement.topology import graph_of, hops_in
from zonewall.values.names import BridgeName, HostName, OfPort


def at(name: str) -> BridgeKey:
    return BridgeKey(HostName(name), BridgeName("br-int"))


def link(a: str, a_port: int, b: str, b_port: int) -> Link:
    return Link((at(a), OfPort(a_port)), (at(b), OfPort(b_port)))


RING = (link("a", 1, "b", 2), link("b", 1, "c", 2), link("c", 1, "d", 2), link("d", 1, "a", 2))
STAR = (link("core", 1, "a", 9), link("core", 2, "b", 9), link("core", 3, "c", 9))


def next_hops(links: Iterable[Link], source: BridgeKey) -> Mapping[BridgeKey, OfPort]:
    return hops_in(graph_of(links), source)


def test_hosts_behind_a_core_bridge_reach_each_other_through_it() -> None:
    assert next_hops(STAR, at("a")) == {at("b"): 9, at("c"): 9, at("core"): 9}
    assert next_hops(STAR, at("core")) == {at("a"): 1, at("b"): 2, at("c"): 3}


def test_between_two_shortest_paths_the_first_name_wins() -> None:
    assert next_hops(RING, at("a")) == {at("b"): 1, at("c"): 1, at("d"): 2}


def test_a_partition_leaves_out_what_cannot_be_reached() -> None:
    links = (link("a", 1, "b", 1), link("c", 1, "d", 1))

    assert next_hops(links, at("a")) == {at("b"): 1}
    assert next_hops(links, at("nowhere")) == {}
    assert next_hops((), at("a")) == {}


def test_of_parallel_links_the_lowest_ports_are_used_on_both_ends() -> None:
    links = (link("b", 5, "a", 8), link("a", 3, "b", 7))

    assert next_hops(links, at("a")) == {at("b"): 3}
    assert next_hops(links, at("b")) == {at("a"): 7}


def test_between_equals_the_neighbour_whose_name_comes_first_wins_whatever_its_port() -> None:
    links = (link("a", 9, "b", 1), link("a", 1, "c", 1), link("b", 2, "d", 1), link("c", 2, "d", 2))

    for order in (links, links[::-1]):
        assert dict(next_hops(order, at("a")))[at("d")] == OfPort(9)


def test_a_link_of_a_bridge_to_itself_leads_nowhere() -> None:
    assert next_hops((link("a", 1, "a", 2),), at("a")) == {}
