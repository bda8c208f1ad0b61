"""Follows the directory in force: a document that is saved is read."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from zonewall.reconciler.last_in_force import are_others
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.trial import Trials
from zonewall.store.watch import Hurry, changes

AGAIN_S = 2.0
"""So long after the directory could not be watched it is tried again."""


async def watch(
    reconciler: Reconciler,
    trials: Trials,
    stop: asyncio.Event,
    hurry: Hurry | None = None,
    looked: asyncio.Event | None = None,
) -> None:
    """Have documents read when they change, until ``stop`` is set; while others are on trial none counts.

    Args:
        reconciler: reads them.
        trials: says which directory is in force, and whether on trial.
        stop: ends it.
        hurry: by which somebody says that they are whole.
        looked: set once what was on disk at the start is in force, or refused.
    """
    looked = looked or asyncio.Event()
    ending = asyncio.create_task(_end(trials, stop))
    may_have_missed = True
    try:
        while not stop.is_set():
            trials.moved.clear()
            try:
                async with aclosing(changes(reconciler.directory, trials.moved, hurry)) as told:
                    await anext(told)
                    if may_have_missed and trials.trial is None and await _are_others(reconciler):
                        await reconciler.reload()
                    may_have_missed = False
                    looked.set()
                    async for change in told:
                        if trials.trial is None:
                            await reconciler.reload(change)
                may_have_missed = True  # what is saved while another directory is in force is nobody's news
            except Exception as error:
                reconciler.faults.note(f"watching {reconciler.directory}", error)
                may_have_missed = True
                looked.set()
                await asyncio.sleep(AGAIN_S)
    finally:
        looked.set()
        ending.cancel()


async def _are_others(reconciler: Reconciler) -> bool:
    """Return whether the directory has other documents than those in force."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, are_others, reconciler.directory, reconciler.texts)


async def _end(trials: Trials, stop: asyncio.Event) -> None:
    await stop.wait()
    trials.moved.set()
