"""Follows the directory in force: a document that is saved is read."""

from __future__ import annotations

import asyncio

from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.trial import Trials
from zonewall.store.watch import changes

AGAIN_S = 2.0
"""So long after the directory could not be watched it is tried again."""


async def watch(reconciler: Reconciler, trials: Trials, stop: asyncio.Event) -> None:
    """Have documents read when they change, until ``stop`` is set; while others are on trial none counts."""
    ending = asyncio.create_task(_end(trials, stop))
    may_have_missed = False
    try:
        while not stop.is_set():
            trials.moved.clear()
            try:
                if may_have_missed and trials.trial is None:
                    await reconciler.reload()
                may_have_missed = False
                async for _ in changes(reconciler.directory, trials.moved):
                    if trials.trial is None:
                        await reconciler.reload()
            except Exception as error:
                reconciler.faults.note(f"watching {reconciler.directory}", error)
                may_have_missed = True
                await asyncio.sleep(AGAIN_S)
    finally:
        ending.cancel()


async def _end(trials: Trials, stop: asyncio.Event) -> None:
    await stop.wait()
    trials.moved.set()
