"""Paths between managed bridges over the links that are live: shortest, loop-free, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from zonewall.placement.model import BridgeKey, Link
from zonewall.values.names import OfPort

if TYPE_CHECKING:
    import networkx as nx


def graph_of(links: Iterable[Link]) -> nx.Graph[BridgeKey]:
    """Return the bridges and their links; of parallel links the one with the lowest ports is used.

    An edge carries ``ports``: the ofport on each of its two bridges. A bridge's link to itself is left out.
    Edges are added in their order, so that each bridge's neighbours are in theirs and no search has to sort.
    """
    import networkx as nx  # noqa: PLC0415 - reading it takes longer than all that a fleet without links needs

    used: dict[tuple[BridgeKey, BridgeKey], dict[BridgeKey, OfPort]] = {}
    for link in sorted(map(_in_order, links), key=lambda link: (link.a, link.b)):
        (a, a_port), (b, b_port) = link.a, link.b
        if a != b:
            used.setdefault((a, b), {a: a_port, b: b_port})
    graph: nx.Graph[BridgeKey] = nx.Graph()
    for (a, b), ports in sorted(used.items()):
        graph.add_edge(a, b, ports=ports)
    return graph


def hops_in(graph: nx.Graph[BridgeKey] | None, from_bridge: BridgeKey) -> Mapping[BridgeKey, OfPort]:
    """Return, for every other bridge that can be reached, the ofport that leads there; sorted by bridge.

    Each hop is one nearer to the destination, so that no packet can circle whatever the bridges on the way
    choose. Between equals the neighbour whose name comes first wins. Bridges of another part of a
    partitioned fabric are missing. Cost: one breadth-first search over a graph that serves all bridges.
    """
    if graph is None or from_bridge not in graph:
        return {}
    import networkx as nx  # noqa: PLC0415 - as above

    first: dict[BridgeKey, OfPort] = {}
    for parent, child in nx.bfs_edges(graph, from_bridge):
        is_next = parent == from_bridge
        first[child] = graph.edges[parent, child]["ports"][parent] if is_next else first[parent]
    return dict(sorted(first.items()))


def _in_order(link: Link) -> Link:
    return link if link.a <= link.b else Link(link.b, link.a)
