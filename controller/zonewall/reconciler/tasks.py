"""Tasks that somebody owns: none ends unheard, and all end with their owner."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from zonewall.errors import ControllerBrokenError
from zonewall.reconciler.faults import Faults


class Tasks:
    """What runs beside; confined to one event loop."""

    def __init__(self, faults: Faults) -> None:
        """Begin with none; tell ``faults`` of those that end by an exception."""
        self._faults = faults
        self._running: set[asyncio.Task[Any]] = set()
        self._needed: set[asyncio.Task[Any]] = set()
        self._lost = ""
        self._is_lost = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop that they run in; None before ``begin``."""
        return self._loop

    def begin(self) -> None:
        """Have what is started from now on run in the loop that runs now."""
        self._loop = asyncio.get_running_loop()

    def start(self, work: Coroutine[Any, Any, Any], *, is_needed: bool = False) -> asyncio.Task[Any] | None:
        """Start one; before ``begin`` there is nothing for it to do yet, and there is none.

        One that is needed works for ever: when it ends, ``until`` does.
        """
        if self._loop is None:
            work.close()
            return None
        task = self._loop.create_task(work, name=getattr(work, "__qualname__", None))
        self._running.add(task)
        if is_needed:
            self._needed.add(task)
        task.add_done_callback(self._ended)
        return task

    def let_go(self, task: asyncio.Task[Any]) -> None:
        """End one that is needed no more."""
        self._needed.discard(task)
        task.cancel()

    async def until(self, stop: asyncio.Event) -> None:
        """Wait until ``stop`` is set.

        Raises:
            ControllerBrokenError: one that is needed has ended before.
        """
        waiting = [asyncio.create_task(event.wait()) for event in (stop, self._is_lost)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if not stop.is_set():
            raise ControllerBrokenError(f"{self._lost} has ended, which must not: the controller ends, too")

    async def end(self) -> None:
        """Cancel all, and wait until they have ended."""
        self._needed.clear()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._faults.note(task.get_name(), error)
        if task in self._needed:
            self._needed.discard(task)
            self._lost = self._lost or task.get_name()
            self._is_lost.set()
