"""Events are taken in order, whatever each does, and a flood of them starves nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from zonewall.errors import ZonewallError
from zonewall.reconciler.inbox import Inbox

SLOW_S = 0.002


async def worked(inbox: Inbox, *, until: Callable[[], bool]) -> int:
    """Work until something holds; return how many turns another task had meanwhile."""
    working = asyncio.create_task(inbox.work())
    turns = 0
    while not until():
        await asyncio.sleep(0)
        turns += 1
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return turns


def test_a_flood_of_events_leaves_every_other_task_its_turns() -> None:
    async def scene() -> int:
        inbox, done = Inbox(), []
        for number in range(200):
            inbox.put(lambda number=number: (time.sleep(SLOW_S), done.append(number)))
        turns = await worked(inbox, until=lambda: len(done) == 200)
        assert done == sorted(done)
        return turns

    assert asyncio.run(scene()) >= 20


def test_an_event_that_is_refused_does_not_end_the_work() -> None:
    def refused() -> None:
        raise ZonewallError("no")

    async def scene() -> list[int]:
        inbox, done = Inbox(), list[int]()
        inbox.put(refused)
        inbox.put(lambda: done.append(1))
        await worked(inbox, until=lambda: bool(done))
        return done

    assert asyncio.run(scene()) == [1]
