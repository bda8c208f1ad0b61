"""What is to be done, one thing after the other, and a turn for everybody else in between."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import structlog

from zonewall.errors import ZonewallError
from zonewall.reconciler.faults import Faults

TURN_S = 0.005
"""So long things are done one after the other before all else that waits in the loop has its turn."""

_log = structlog.get_logger()


class Inbox:
    """A queue of actions; anybody puts them in, one task does them."""

    def __init__(self, faults: Faults) -> None:
        """Begin with nothing to do; tell ``faults`` of what an action raises that nobody foresaw."""
        self._faults = faults
        self._queue: asyncio.Queue[Callable[[], object]] = asyncio.Queue()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def post(self, action: Callable[[], object]) -> None:
        """Have something done; called in any thread, at any time: what comes before there is work waits."""
        with self._lock:
            if self._loop is None:
                self._queue.put_nowait(action)
                return
        self._loop.call_soon_threadsafe(self.put, action)

    def put(self, action: Callable[[], object]) -> None:
        """Have something done; called in the loop's thread."""
        self._queue.put_nowait(action)

    async def work(self) -> None:
        """Do what is put in until cancelled; what is refused or fails is told and ends nothing.

        A queue that is not empty gives nobody else a turn by itself: when a host tells of thousands of ports,
        bridges that connect meanwhile would wait for an answer longer than they are willing to.
        """
        with self._lock:
            self._loop = asyncio.get_running_loop()
        turn_ends = 0.0
        while True:
            action = await self._queue.get()
            try:
                action()
            except ZonewallError as error:
                _log.error("event_refused", error=str(error))
            except Exception as error:
                self._faults.note("event", error)
            if time.monotonic() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.monotonic() + TURN_S
