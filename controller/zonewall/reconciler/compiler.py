"""One thread that makes what the bridges should hold, one after the other, beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from zonewall.flows.assembly import Assembler
from zonewall.flows.encoded import BridgeState
from zonewall.intent.fleet import Fleet
from zonewall.placement.model import BridgeKey

T = TypeVar("T")


class Compiler:
    """Remembers what bridges were made from; only its own thread touches that."""

    def __init__(self) -> None:
        """Remember nothing; the thread starts with the first question."""
        self._assembler = Assembler()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compile")

    async def wanted(
        self, fleet: Fleet, key: BridgeKey, then: Callable[[BridgeState], T]
    ) -> tuple[BridgeState, T]:
        """Return what a bridge should hold, and what ``then`` makes of it in the same thread.

        Raises:
            CompileError: something that no bridge can carry out.
            EncodingError: something that has no OpenFlow form.
        """

        def work() -> tuple[BridgeState, T]:
            state = self._assembler.state(fleet, key)
            return state, then(state)

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
