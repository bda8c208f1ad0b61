"""Finding the fabric's links: what is sent out of fabric ports, and what is believed of what comes in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable
from dataclasses import replace

from zonewall.placement.discovery import LinkClaim, LinkTable, build_discovery_frame, parse_discovery_frame
from zonewall.placement.model import BridgeKey, Link
from zonewall.values.names import DatapathId, OfPort

TTL_S = 12
EVERY_S = 3.0
EAGER_S = 0.4
EAGER_ROUNDS = 5
"""A port that has just come is asked this often at the shorter distance, so that links are there soon."""
MISSED = 3
"""So many frames that certainly left and were certainly not told of make a link one that is gone."""


class LinkFinder:
    """The links as the frames say; confined to the reconciler."""

    def __init__(self, key: bytes) -> None:
        """Sign and check frames with ``key``."""
        self._key = key
        self._table = LinkTable()
        self._next: dict[tuple[BridgeKey, OfPort], tuple[float, int]] = {}
        self._left: dict[tuple[BridgeKey, OfPort], deque[tuple[float, float]]] = {}
        self._has_lost = False

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
        self,
        ports: Iterable[tuple[BridgeKey, OfPort]],
        connected: Container[BridgeKey],
        at: float,
        are_told: Callable[[BridgeKey], bool] = lambda _: False,
    ) -> list[tuple[BridgeKey, OfPort]]:
        """Return the ports that a frame should leave by now; ports that are gone are forgotten.

        Args:
            ports: every fabric port there is.
            connected: bridges that can be told to send; the others' ports are not gone.
            at: the clock.
            are_told: says whether a bridge has told its ports, so that of a remembered link, too, an end that
                is not among them is gone.
        """
        present = set(ports)
        remembered = {end for end in self._table.neighbours.keys() - present if are_told(end[0])}
        for end in remembered | (self._next.keys() - present):
            self._next.pop(end, None)
            self._left.pop(end, None)
            self._table, change = self._table.lost(end)
            self._has_lost |= bool(change)
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

    def carrier(self, end: tuple[BridgeKey, OfPort], *, is_up: bool) -> bool:
        """Take what a bridge says of a port's cable; say whether the links changed by it.

        A link whose cable is out is gone at once; one that is back is asked for at the shorter distance.
        """
        self._next.pop(end, None)
        if is_up:
            return False
        self._table, change = self._table.lost(end)
        return bool(change)

    def left(self, end: tuple[BridgeKey, OfPort], asked: float, answered: float) -> None:
        """Take that a frame certainly left by a port: its bridge has answered a question put after it."""
        self._left.setdefault(end, deque(maxlen=2 * MISSED)).append((asked, answered))

    def expire(self, at: float) -> bool:
        """Forget links that were not heard of for too long; say whether any went, also with a port of theirs.

        A bridge that cannot be spoken to can neither send nor tell what it hears, and goes on forwarding:
        only frames that certainly left, and that the other bridge would certainly have told of, count.
        """
        self._table, change = self._table.expire(at, self._is_proven)
        has_lost, self._has_lost = self._has_lost, False
        return bool(change) or has_lost

    def _is_proven(
        self, receiver: tuple[BridgeKey, OfPort], sender: tuple[BridgeKey, OfPort], until: float
    ) -> bool:
        """Say whether enough frames left in vain, the receiver's bridge answering before and after each."""
        window_s = self._table.window_s
        told = [
            (asked, answered)
            for (bridge, _), times in self._left.items()
            if bridge == receiver[0]
            for asked, answered in times
        ]
        in_vain = [
            asked
            for asked, left in self._left.get(sender, ())
            if asked > until - TTL_S
            and any(asked - window_s <= put <= asked for put, _ in told)
            and any(left <= put and answered <= asked + window_s for put, answered in told)
        ]
        return len(in_vain) >= MISSED
