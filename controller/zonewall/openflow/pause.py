"""How one bridge that tells much leaves room for the others: its messages in turns, and pauses in reading."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from zonewall.openflow.parse import Header

TURN_S = 0.005
"""So long messages of one bridge are taken before all else that waits in the loop has its turn."""

AT_A_TIME = 1024
"""So many messages of one bridge are taken apart at a time: one read may bring 48,000 of the smallest."""

Room = Callable[[int], Awaitable[object] | None]
"""(datapath id) -> what to wait for before more of the bridge is read, None for nothing."""


async def take_in_turns(
    messages: Iterable[tuple[Header, bytes]],
    take: Callable[[Header, bytes], None],
    is_over: Callable[[], bool],
) -> None:
    """Take what one read brought, which may be thousands, with turns for all else in between."""
    clock = asyncio.get_running_loop().time
    turn_ends = clock() + TURN_S
    for header, body in messages:
        take(header, body)
        if clock() >= turn_ends:
            await asyncio.sleep(0)
            if is_over():
                return
            turn_ends = clock() + TURN_S


class Pause:
    """Ends reading while too much of a bridge waits to be taken; TCP tells it. Confined to one session."""

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
