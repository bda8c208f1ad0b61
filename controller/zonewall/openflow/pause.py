"""A pause in reading from a bridge of which too much waits to be taken; TCP tells the bridge."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Room = Callable[[int], Awaitable[object] | None]
"""(datapath id) -> what to wait for before more of the bridge is read, None for nothing."""


class Pause:
    """One session's; confined to its loop."""

    def __init__(self, room: Room, datapath_id: int) -> None:
        """Ask ``room`` for that bridge."""
        self._room, self._datapath_id = room, datapath_id
        self._waiting: asyncio.Future[object] | None = None

    @property
    def is_on(self) -> bool:
        """Say whether the bridge is not read now."""
        return self._waiting is not None

    async def wait(self) -> None:
        """Return when there is room, or when ``end`` is called."""
        full = self._room(self._datapath_id)
        if full is None:
            return
        self._waiting = asyncio.ensure_future(full)
        try:
            await asyncio.wait((self._waiting,))
        finally:
            self._waiting.cancel()
            self._waiting = None

    def end(self) -> None:
        """Wait no longer."""
        if self._waiting is not None:
            self._waiting.cancel()
