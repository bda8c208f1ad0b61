"""What is to be done, one thing after the other, and a turn for everybody else in between."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator

import structlog

from zonewall.errors import ZonewallError
from zonewall.reconciler.faults import Faults

TURN_S = 0.005
"""So long things are done one after the other before all else that waits in the loop has its turn."""

Source = str
"""Who has something done: a bridge, a host's database, or "" for the controller itself."""

_log = structlog.get_logger()


class Inbox:
    """Queues of actions, one for each source; anybody puts them in, one task does them, a source at a time.

    So what one source has put in is done in order, and who has little to be done does not wait behind who has
    much.
    """

    def __init__(self, faults: Faults) -> None:
        """Begin with nothing to do; tell ``faults`` of what an action raises that nobody foresaw."""
        self._faults = faults
        self._queues: dict[Source, deque[Callable[[], object]]] = {}
        self._some = asyncio.Event()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._arrived: list[tuple[Callable[[], object], Source]] = []

    def post(self, action: Callable[[], object], source: Source = "") -> None:
        """Have something done; called in any thread, at any time: what comes before there is work waits.

        The loop is called once for all that other threads post until it comes: each call takes a byte of a
        buffer that the process's signals need, too.
        """
        with self._lock:
            if self._loop is None or self._thread == threading.get_ident():
                self.put(action, source)
                return
            self._arrived.append((action, source))
            if len(self._arrived) > 1:
                return
        self._loop.call_soon_threadsafe(self._take_arrived)

    def _take_arrived(self) -> None:
        with self._lock:
            arrived, self._arrived = self._arrived, []
        for action, source in arrived:
            self.put(action, source)

    def put(self, action: Callable[[], object], source: Source = "") -> None:
        """Have something done; called in the loop's thread."""
        self._queues.setdefault(source, deque()).append(action)
        self._some.set()

    async def work(self) -> None:
        """Do what is put in until cancelled; what is refused or fails is told and ends nothing.

        A queue that is not empty gives nobody else a turn by itself: when a host tells of thousands of ports,
        bridges that connect meanwhile would wait for an answer longer than they are willing to.
        """
        with self._lock:
            self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        turn_ends = 0.0
        while True:
            while not self._queues:
                self._some.clear()
                await self._some.wait()
            source, action = self._next()
            try:
                self._go_on(source, action())
            except ZonewallError as error:
                _log.error("event_refused", error=str(error))
            except Exception as error:
                self._faults.note("event", error)
            if time.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + TURN_S

    def _go_on(self, source: Source, left: object) -> None:
        """Have what an action has left to be done follow at its source's next turn, before all else of it."""
        if isinstance(left, Generator):
            self._queues.setdefault(source, deque()).appendleft(lambda: begun(left))

    def _next(self) -> tuple[Source, Callable[[], object]]:
        """Take an action of the source whose turn it is, which is then the last in the row."""
        source = next(iter(self._queues))
        queue = self._queues.pop(source)
        action = queue.popleft()
        if queue:
            self._queues[source] = queue
        return source, action


def begun(pieces: Iterator[None]) -> Iterator[None] | None:
    """Do the next piece of something; return the rest, None if there is none."""
    for _ in pieces:
        return pieces
    return None
