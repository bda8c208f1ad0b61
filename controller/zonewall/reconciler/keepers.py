"""A keeper for each bridge of the inventory, let go of once that has it no more and its session has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Any

from zonewall.placement.model import BridgeKey
from zonewall.reconciler.keeper import BridgeKeeper
from zonewall.reconciler.tasks import Tasks

FIRST_PLACE_S = 0.5
"""How long the other bridges wait for a new place to confirm before they point to it anyway."""
LEFT_PLACE_S = 0.05
"""How long they then wait for the place that was left, which sends on what still comes to it."""


class Keepers:
    """Confined to the reconciler."""

    def __init__(self, tasks: Tasks, make: Callable[[BridgeKey], BridgeKeeper]) -> None:
        """Have keepers that ``make`` makes work among ``tasks``."""
        self.by_bridge: dict[BridgeKey, BridgeKeeper] = {}
        self.on_release: list[Callable[[BridgeKey], object]] = []
        """Called with a bridge that was let go of, so that all others forget it, too."""
        self._tasks = tasks
        self._make = make
        self._declared: frozenset[BridgeKey] = frozenset()
        self._at_work: dict[BridgeKey, asyncio.Task[Any]] = {}

    def follow(self, bridges: Iterable[BridgeKey]) -> None:
        """Have a keeper for each of the inventory's bridges, and for no others but those with a session."""
        self._declared = frozenset(bridges)
        for key in sorted(self._declared - self.by_bridge.keys()):
            keeper = self.by_bridge[key] = self._make(key)
            keeper.wake()
            if (task := self._tasks.start(keeper.run(), is_needed=True)) is not None:
                self._at_work[key] = task
        for key in self.by_bridge.keys() - self._declared:
            self.release(key)

    def release(self, key: BridgeKey) -> None:
        """Let go of a bridge if the inventory has it no more and it has no session: the last may be ending.

        Should it come back, its flows are read first, as at a start of the controller.
        """
        keeper = self.by_bridge.get(key)
        if keeper is None or key in self._declared or keeper.link is not None:
            return
        del self.by_bridge[key]
        if (task := self._at_work.pop(key, None)) is not None:
            self._tasks.let_go(task)
        for listener in self.on_release:
            listener(key)

    def connected(self) -> dict[BridgeKey, bool]:
        """Return every bridge, and whether it has a session."""
        return {key: keeper.link is not None for key, keeper in self.by_bridge.items()}

    def held(self, known: Collection[BridgeKey]) -> dict[BridgeKey, int | None]:
        """Return how many flows bridges hold; None where that is not known, of a bridge that is."""
        held = {key: keeper.holds for key, keeper in self.by_bridge.items()}
        return {key: None if key in known and not flows else flows for key, flows in held.items()}

    def was_seen(self, key: BridgeKey) -> bool:
        """Say whether a bridge has ever had a session."""
        return key in self.by_bridge and self.by_bridge[key].was_seen


async def afterwards(first: list[BridgeKeeper], second: list[BridgeKeeper], then: list[BridgeKeeper]) -> None:
    """Have bridges change once those that come first have done so, or have taken too long."""
    in_force = asyncio.Event()
    for keeper in second:
        keeper.wake(in_force, urgent=True)
        keeper.turns_ahead -= 1
    await asyncio.gather(*(keeper.in_force(FIRST_PLACE_S) for keeper in first))
    in_force.set()
    await asyncio.gather(*(keeper.in_force(LEFT_PLACE_S) for keeper in second))
    for keeper in then:
        keeper.turns_ahead -= 1
        if keeper.wake():
            await asyncio.sleep(0)  # so that who was woken before goes on
