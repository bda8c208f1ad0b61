"""How much of what bridges and hosts tell waits to be taken: bounded for each.

What a bridge tells for its guests' sake (frames) or for nobody's (errors, refused connections) is dropped
beyond the bound, and counted. All else has to be taken in order: who tells more of it is read no further, and
TCP tells the other side, until half of what waits has been taken.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from zonewall.openflow.events import BridgeUp, ConnectionRefused, Event, FlowsChanged, PacketIn, SwitchError
from zonewall.placement.observations import HostRefused, Observation
from zonewall.reconciler.inbox import Source

MOST_WAITING = 1000
"""Of one bridge, or one host's database; QEMU's announcements of 300 machines that arrive together fit."""

MOST_SOURCES = 10_000
"""So many are told apart; beyond, those of which nothing waits are forgotten: a host that has its bridge
connect with another datapath id each time could be as many as it likes."""

STRANGERS: Source = "strangers"
"""The source of what those cause who were not let in."""


class Posting(Protocol):
    """What is needed of the inbox."""

    def post(self, action: Callable[[], object], source: Source = "") -> None:
        """Have something done for a source."""


@dataclass(slots=True)
class Line:
    """What waits of one source; ``most`` is the most that ever did."""

    waiting: int = 0
    most: int = 0
    dropped: int = 0
    room: asyncio.Event = field(default_factory=asyncio.Event)


class Gate:
    """Events are put in in any thread; ``take_bridge`` and ``take_host`` are called by the inbox."""

    def __init__(
        self,
        inbox: Posting,
        take_bridge: Callable[[Event], object],
        take_host: Callable[[Observation], object],
        most_sources: int = MOST_SOURCES,
    ) -> None:
        """Put events into ``inbox``."""
        self._most_sources = most_sources
        self._inbox = inbox
        self._take_bridge = take_bridge
        self._take_host = take_host
        self._lock = threading.Lock()
        self._lines: dict[Source, Line] = {}
        self._gone = Line()
        """The sum of sources that were forgotten."""

    def bridge_event(self, event: Event) -> None:
        """Have a bridge's event taken, or drop it."""
        source = STRANGERS if isinstance(event, ConnectionRefused) else bridge_source(event.datapath_id)
        may_drop = isinstance(event, PacketIn | ConnectionRefused | SwitchError)
        self._put(source, _weight(event), lambda: self._take_bridge(event), may_drop=may_drop)

    def observed(self, seen: Observation) -> None:
        """Have taken what a host's database tells, or who was refused."""
        is_stranger = isinstance(seen, HostRefused)
        source = STRANGERS if isinstance(seen, HostRefused) else host_source(seen.host)
        self._put(source, 1, lambda: self._take_host(seen), may_drop=is_stranger)

    def room_for(self, datapath_id: int) -> Awaitable[object] | None:
        """Return what to wait for before more of a bridge is read, None if nothing; in the loop's thread."""
        line = self._lines.get(bridge_source(datapath_id))
        if line is None or line.waiting < MOST_WAITING:
            return None
        line.room.clear()
        return line.room.wait()

    def is_full(self, host: str) -> bool:
        """Say whether so much of a host's database waits that no more is to be read; from any thread."""
        line = self._lines.get(host_source(host))
        return line is not None and line.waiting >= MOST_WAITING

    def is_behind(self, host: str) -> bool:
        """Say whether anything waits that a host's database has told; called by the inbox."""
        line = self._lines.get(host_source(host))
        return line is not None and line.waiting > 0

    def forget(self, source: Source) -> None:
        """Forget a source that is none of the inventory's any more, but for what is said of all together."""
        with self._lock:
            self._forget(source)

    def _forget(self, source: Source) -> None:
        line = self._lines.get(source)
        if line is None or line.waiting:
            return
        del self._lines[source]
        self._gone.most = max(self._gone.most, line.most)
        self._gone.dropped += line.dropped

    def of_bridge(self, datapath_id: int | None) -> dict[str, int]:
        """Return what ``zonewall status`` says of a bridge."""
        return self._of("" if datapath_id is None else bridge_source(datapath_id))

    def of_host(self, host: str) -> dict[str, int]:
        """Return what it says of a host's database."""
        return self._of(host_source(host))

    def _of(self, source: Source) -> dict[str, int]:
        line = self._lines.get(source, Line())
        return {"waiting": line.waiting, "most_waiting": line.most, "dropped": line.dropped}

    def status(self) -> dict[str, Any]:
        """Return what it says of all together."""
        with self._lock:
            lines = (self._gone, *self._lines.values())
        return {
            "waiting": sum(line.waiting for line in lines),
            "most_waiting": max(line.most for line in lines),
            "dropped": sum(line.dropped for line in lines),
        }

    def _put(self, source: Source, weight: int, action: Callable[[], object], *, may_drop: bool) -> None:
        with self._lock:
            if source not in self._lines and len(self._lines) >= self._most_sources:
                for other in tuple(self._lines):
                    self._forget(other)
            line = self._lines.setdefault(source, Line())
            if may_drop and line.waiting >= MOST_WAITING:
                line.dropped += 1
                return
            line.waiting += weight
            line.most = max(line.most, line.waiting)
        self._inbox.post(lambda: self._done(line, weight, action), source)

    def _done(self, line: Line, weight: int, action: Callable[[], object]) -> object:
        with self._lock:
            line.waiting -= weight
        if line.waiting <= MOST_WAITING // 2:
            line.room.set()
        return action()


def bridge_source(datapath_id: int) -> Source:
    """Return what a bridge is called here."""
    return f"bridge {datapath_id:016x}"


def host_source(host: str) -> Source:
    """Return what a host's database is called here."""
    return f"database of {host}"


def _weight(event: Event) -> int:
    if isinstance(event, FlowsChanged):
        return max(1, len(event.updates))
    return 1 + len(event.ports) if isinstance(event, BridgeUp) else 1
