"""Finding the fabric's links: what is sent out of fabric ports, and what is believed of what comes in."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace

from zonewall.placement.discovery import LinkClaim, LinkTable, build_discovery_frame, parse_discovery_frame
from zonewall.placement.model import BridgeKey, Link
from zonewall.values.names import DatapathId, OfPort

TTL_S = 12
EVERY_S = 3.0
EAGER_S = 0.4
EAGER_ROUNDS = 5
"""A port that has just come is asked this often at the shorter distance, so that links are there soon."""


class LinkFinder:
    """The links as the frames say; confined to the reconciler."""

    def __init__(self, key: bytes) -> None:
        """Sign and check frames with ``key``."""
        self._key = key
        self._table = LinkTable()
        self._next: dict[tuple[BridgeKey, OfPort], tuple[float, int]] = {}

    def remember(self, links: frozenset[Link], at: float) -> None:
        """Take links as live until they would have been heard of again."""
        neighbours = self._table.neighbours
        for link in links:
            neighbours = neighbours.put(link.a, (link.b, at + TTL_S)).put(link.b, (link.a, at + TTL_S))
        self._table = replace(self._table, neighbours=neighbours, links=links)

    @property
    def links(self) -> frozenset[Link]:
        """Return the live links."""
        return self._table.links

    def due(
        self, ports: Iterable[tuple[BridgeKey, OfPort]], connected: Container[BridgeKey], at: float
    ) -> list[tuple[BridgeKey, OfPort]]:
        """Return the ports that a frame should leave by now; ports that are gone are forgotten.

        Args:
            ports: every fabric port there is.
            connected: bridges that can be told to send; the others' ports are not gone.
            at: the clock.
        """
        present = set(ports)
        for end in self._next.keys() - present:
            del self._next[end]
            self._table, _ = self._table.lost(end, at)
        due = []
        for end in sorted(end for end in present if end[0] in connected):
            when, rounds = self._next.get(end, (at, 0))
            if when <= at:
                pause = EAGER_S if rounds < EAGER_ROUNDS else EVERY_S
                self._next[end] = (at + pause, rounds + 1)
                due.append(end)
        return due

    def frame(self, datapath_id: DatapathId, ofport: OfPort, at: float) -> bytes:
        """Return the frame to send."""
        return build_discovery_frame(LinkClaim(datapath_id, ofport, int(at * 1000), TTL_S), self._key)

    def heard(
        self, receiver: tuple[BridgeKey, OfPort], frame: bytes, owner: dict[DatapathId, BridgeKey], at: float
    ) -> bool:
        """Take a frame that came in; say whether the links changed by it."""
        claim = parse_discovery_frame(frame, self._key)
        if claim is None or claim.datapath_id not in owner:
            return False
        sender = (owner[claim.datapath_id], claim.ofport)
        self._table, change = self._table.seen(sender, receiver, claim, at)
        return bool(change)

    def carrier(self, end: tuple[BridgeKey, OfPort], *, is_up: bool, at: float) -> bool:
        """Take what a bridge says of a port's cable; say whether the links changed by it.

        A link whose cable is out is gone at once; one that is back is asked for at the shorter distance.
        """
        self._next.pop(end, None)
        if is_up:
            return False
        self._table, change = self._table.lost(end, at)
        return bool(change)

    def expire(self, at: float, connected: Container[BridgeKey]) -> bool:
        """Forget links that were not heard of for too long; say whether there were any.

        A bridge that is away can neither send nor tell what it hears, and goes on forwarding: its links are
        kept, and have their full time once it is back.
        """
        neighbours = self._table.neighbours
        for end, (other, until) in tuple(neighbours.items()):
            if until <= at and not (end[0] in connected and other[0] in connected):
                neighbours = neighbours.put(end, (other, at + TTL_S))
        self._table = replace(self._table, neighbours=neighbours)
        self._table, change = self._table.expire(at)
        return bool(change)
