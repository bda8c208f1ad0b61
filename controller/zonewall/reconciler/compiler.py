"""One thread that makes what the bridges should hold, one after the other, beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from zonewall.flows.assembly import Assembler
from zonewall.flows.encoded import BridgeState
from zonewall.intent.fleet import Fleet
from zonewall.placement.model import BridgeKey

T = TypeVar("T")


class Compiler:
    """Remembers what bridges were made from; only who holds its lock touches that."""

    def __init__(self) -> None:
        """Remember nothing; the thread starts with the first question."""
        self._assembler = Assembler()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compile")

    async def wanted(
        self, fleet: Fleet, key: BridgeKey, then: Callable[[BridgeState], T], *, at_once: bool = False
    ) -> tuple[BridgeState, T]:
        """Return what a bridge should hold, and what ``then`` makes of it in the same thread.

        ``at_once`` says that little has changed: it is made here if the thread rests, for the way there and
        back takes longer.

        Raises:
            CompileError: something that no bridge can carry out.
            EncodingError: something that has no OpenFlow form.
        """

        if at_once and self._lock.acquire(blocking=False):
            try:
                return self._state(fleet, key, then)
            finally:
                self._lock.release()
        return await asyncio.wrap_future(self.begin(fleet, key, then))

    def begin(
        self, fleet: Fleet, key: BridgeKey, then: Callable[[BridgeState], T]
    ) -> Future[tuple[BridgeState, T]]:
        """Have that made in the thread of its own; from any thread."""

        def work() -> tuple[BridgeState, T]:
            with self._lock:
                return self._state(fleet, key, then)

        return self._thread.submit(work)

    def _state(self, fleet: Fleet, key: BridgeKey, then: Callable[[BridgeState], T]) -> tuple[BridgeState, T]:
        state = self._assembler.state(fleet, key)
        return state, then(state)

    def forget(self, key: BridgeKey) -> None:
        """Forget a bridge that nobody asks for any more, once what was asked for before is made."""

        def work() -> None:
            with self._lock:
                self._assembler.forget(key)

        self._thread.submit(work)
