"""Follows the directory in force: a document that is saved is read."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from zonewall.policy.files import read_files
from zonewall.reconciler.reading import with_added
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.trial import Trials
from zonewall.store.watch import Hurry, changes

AGAIN_S = 2.0
"""So long after the directory could not be watched it is tried again."""


async def watch(
    reconciler: Reconciler, trials: Trials, stop: asyncio.Event, hurry: Hurry | None = None
) -> None:
    """Have documents read when they change, until ``stop`` is set; while others are on trial none counts.

    ``hurry``: by which somebody says that they are whole.
    """
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
                    async for change in told:
                        if trials.trial is None:
                            await reconciler.reload(change)
                may_have_missed = True  # what is saved while another directory is in force is nobody's news
            except Exception as error:
                reconciler.faults.note(f"watching {reconciler.directory}", error)
                may_have_missed = True
                await asyncio.sleep(AGAIN_S)
    finally:
        ending.cancel()


async def _are_others(reconciler: Reconciler) -> bool:
    """Return whether the directory has other documents than those in force."""
    loop = asyncio.get_running_loop()
    texts, _ = await loop.run_in_executor(None, read_files, reconciler.directory)
    return texts != with_added(reconciler.texts, b"")


async def _end(trials: Trials, stop: asyncio.Event) -> None:
    await stop.wait()
    trials.moved.set()
