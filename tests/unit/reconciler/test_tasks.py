"""What the controller cannot do without does not end unheard; what it can do without ends nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from zonewall.errors import ControllerBrokenError
from zonewall.reconciler.faults import Faults
from zonewall.reconciler.tasks import Tasks


async def raises() -> None:
    raise KeyError("gone")


async def returns() -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize(("work", "faults"), [(raises, 1), (returns, 0)])
def test_the_end_of_one_that_is_needed_is_the_end_of_the_wait(work: Any, faults: int) -> None:
    async def scene(noted: Faults) -> None:
        tasks = Tasks(noted)
        tasks.begin()
        tasks.start(asyncio.sleep(60), is_needed=True)
        tasks.start(work(), is_needed=True)
        with pytest.raises(ControllerBrokenError, match=f"^{work.__name__} has ended"):
            await tasks.until(asyncio.Event())
        await tasks.end()

    noted = Faults()
    asyncio.run(scene(noted))
    assert len(noted.status()) == faults


def test_one_that_is_not_needed_may_end_and_who_is_told_to_stop_has_lost_nothing() -> None:
    async def scene(noted: Faults) -> None:
        tasks, stop = Tasks(noted), asyncio.Event()
        tasks.begin()
        tasks.start(raises())
        tasks.start(_until(stop), is_needed=True)
        waiting = asyncio.create_task(tasks.until(stop))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        stop.set()
        await waiting
        await tasks.end()

    noted = Faults()
    asyncio.run(scene(noted))
    assert len(noted.status()) == 1


def test_one_that_is_let_go_of_is_needed_no_more() -> None:
    async def scene(noted: Faults) -> None:
        tasks, stop = Tasks(noted), asyncio.Event()
        tasks.begin()
        task = tasks.start(asyncio.sleep(60), is_needed=True)
        assert task is not None
        waiting = asyncio.create_task(tasks.until(stop))
        tasks.let_go(task)
        await asyncio.wait((task,))
        await asyncio.sleep(0)
        assert task.cancelled()
        assert not waiting.done()
        stop.set()
        await waiting

    noted = Faults()
    asyncio.run(scene(noted))
    assert noted.status() == []


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
