"""A directory that is looked at again and again: where the kernel does not tell of changes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from zonewall.store.folders import is_document

POLL_S = 0.25
SETTLE_S = 2.0
"""Documents that are never the same at two looks are read all the same after this time."""

_State = frozenset[tuple[str, int, int, int, int, int]]
"""Of each document its name and what stat(2) says that tells one content from another."""


class Polled:
    """One directory, from when it was looked at first."""

    unfinished: frozenset[str] = frozenset()

    def __init__(self, directory: Path, state: _State) -> None:
        """Take what was seen of a directory as what was read."""
        self._directory = directory
        self._read: _State | None = state
        self._roused = asyncio.Event()
        self._is_said = False

    @classmethod
    async def begin(cls, directory: Path) -> Polled:
        """Look at a directory for the first time."""
        return cls(directory, await _look(directory))

    def read_now(self) -> None:
        """Take that documents are whole: they are read as they are."""
        self._is_said = True
        self._roused.set()

    async def changes(self, stop: asyncio.Event) -> AsyncGenerator[Polled, None]:
        """Yield itself when documents have changed and stay as they are, until ``stop`` is set."""
        ending = asyncio.create_task(self._end(stop))
        try:
            async for _ in self._changes(stop):
                yield self
        finally:
            ending.cancel()

    async def _end(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._roused.set()

    async def _changes(self, stop: asyncio.Event) -> AsyncGenerator[None, None]:
        last, begun = self._read, 0.0
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._roused.wait()
            self._roused.clear()
            if stop.is_set():
                return
            now, at = await _look(self._directory), time.monotonic()
            if self._is_said:
                self._is_said = False
                self._read, begun = now, 0.0
                yield
            elif now == self._read:
                begun = 0.0
            elif now == last or (begun and at - begun >= SETTLE_S):
                self._read, begun = now, 0.0
                yield
            elif not begun:
                begun = at
            last = now

    async def stands(self, *, is_emptied: bool = False) -> bool:
        """Return whether what was just read is no mixture; if it is, the change is told of again."""
        del is_emptied  # it was seen to be so for as long as is waited here
        if self._read == await _look(self._directory):
            return True
        self._read = None
        return False


async def _look(directory: Path) -> _State:
    return await asyncio.get_running_loop().run_in_executor(None, _seen, directory)


def _seen(directory: Path) -> _State:
    """Return the state of all documents; what cannot be looked at is not among them."""
    found = set[tuple[str, int, int, int, int, int]]()
    for place, folders, files in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in filter(is_document, files):
            full = os.path.join(place, name)
            with suppress(OSError):
                of = os.stat(full)
                found.add((full, of.st_ino, of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_mode))
    return frozenset(found)
