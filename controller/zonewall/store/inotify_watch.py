"""A directory followed by what the kernel tells of it: who has written a document, and who still does."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import structlog
from inotify_simple import Event, INotify
from inotify_simple import flags as kernel

from zonewall.store.folders import ENTRIES, GIT, ITSELF, Folders, is_document
from zonewall.store.settling import HELD_S, LONGEST_S, Settling, Sign

LOOK_S = 0.002
"""How often it is looked whether git is done, and whether somebody waits for a processor."""
LOCK_OLD_S = 10.0
"""A lock of git that is older was left behind by one that was killed."""
MOST_CARRIED = 1000

_log = structlog.get_logger()


class Followed:
    """One directory, until it is closed; used on one event loop."""

    def __init__(self, directory: Path) -> None:
        """Begin; what happens from now on is seen.

        Raises:
            OSError: the kernel gives no more watches.
        """
        self._inotify = INotify(nonblocking=True)
        self._roused = asyncio.Event()
        self._failed: OSError | None = None
        self._carried: set[int] = set()
        """Renames of files that somebody has open for writing."""
        self._settling = Settling()
        self.unfinished: frozenset[str] = frozenset()
        """Documents that somebody was writing when the last change was told."""
        try:
            self._folders = Folders(directory, self._inotify)
        except OSError:
            self._inotify.close()
            raise

    def close(self) -> None:
        """Watch no longer; also if it is closed already."""
        self._inotify.close()

    def read_now(self) -> None:
        """Take that what has changed by now is whole: nothing else is waited for."""
        self._hear()
        self._settling.say_whole(time.monotonic())
        self._roused.set()

    async def changes(self, stop: asyncio.Event) -> AsyncGenerator[Followed, None]:
        """Yield itself at each change that has come to rest, until ``stop`` is set."""
        loop = asyncio.get_running_loop()
        ending = loop.create_task(self._end(stop))
        loop.add_reader(self._inotify.fileno(), self._hear)
        try:
            while not stop.is_set():
                if await self._is_due():
                    taken = self._settling.take(time.monotonic())
                    self.unfinished = taken.unfinished
                    if taken.unfinished:
                        _log.warning("document_unfinished", documents=sorted(taken.unfinished))
                    if taken.is_any:
                        yield self
                        self._settling.done()
        finally:
            ending.cancel()
            loop.remove_reader(self._inotify.fileno())

    async def _end(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._roused.set()

    async def _is_due(self) -> bool:
        """Return True if documents are to be read now; False after waiting for something to happen.

        Raises:
            OSError: the directory can be watched no longer.
        """
        self._hear()
        if self._failed is not None:
            raise self._failed
        self._roused.clear()
        now, due = time.monotonic(), self._settling.due()
        if due is not None and due <= now:
            if not self._is_git_at_work(now) and not self._may_be_waiting(now):
                return True
            due = now + LOOK_S
        await self._rest(due)
        return False

    async def _rest(self, until: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None if until is None else until - time.monotonic()):
                await self._roused.wait()

    def _may_be_waiting(self, now: float) -> bool:
        """Return whether who writes the next document may be waiting for a processor."""
        due = self._settling.due(is_crowded=True)
        return due is not None and due > now and _is_crowded()

    def _is_git_at_work(self, now: float) -> bool:
        begun = self._settling.begun
        return begun is not None and now < begun + LONGEST_S and any(map(_is_locked, self._folders.locks))

    async def stands(self, *, is_emptied: bool = False) -> bool:
        """Return whether what was just read is no mixture; if it is, the change is told of again.

        ``is_emptied``: a document is empty that was not. Who truncates one in order to write it is told of
        once that is done, which a filesystem may hold up; so that is waited for.
        """
        longer = HELD_S if is_emptied else 0.0
        while True:
            self._hear()
            self._roused.clear()
            now = time.monotonic()
            if self._settling.is_overtaken or self._is_git_at_work(now):
                self._settling.again()
                return False
            believed_at = self._settling.believed_at + longer
            if now >= believed_at:
                return True
            await self._rest(believed_at)

    # What the kernel tells

    def _hear(self) -> None:
        at = time.monotonic()
        try:
            for event in self._inotify.read(timeout=0):
                self._roused.set()
                self._note(event, at)
        except OSError as error:  # no watch is left for what is new
            self._failed = error

    def _note(self, event: Event, at: float) -> None:
        folders, mask = self._folders, event.mask
        if mask & kernel.Q_OVERFLOW:
            self._look(at, is_lost=True)
            return
        if not folders.is_known(event.wd):
            return
        if mask & (ITSELF | kernel.IGNORED | kernel.UNMOUNT):
            self._look(at)
            return
        leads_to = folders.ways.get((event.wd, event.name))
        place = folders.below.get(event.wd)
        if leads_to is not None and mask & ENTRIES:
            self._look(at)
        for name in () if leads_to is None or mask & ENTRIES else sorted(leads_to):
            self._settling.note(name, _sign(mask), at)
        if place is not None:
            self._below(place, event, at)

    def _look(self, at: float, *, is_lost: bool = False) -> None:
        """Take that anything may be different: a folder came or went, or a link leads elsewhere."""
        self._folders.look()
        self._settling.forget(self._folders.is_elsewhere)
        self._settling.note_all(at, is_lost=is_lost)

    def _below(self, place: str, event: Event, at: float) -> None:
        """Take what happened to an entry of a folder of documents."""
        mask, name = event.mask, f"{place}/{event.name}" if place else event.name
        if event.name == GIT and mask & ENTRIES:
            self._folders.look()
        elif mask & kernel.ISDIR:
            if not event.name.startswith("."):
                self._look(at)
        elif not is_document(event.name):
            self._settling.note(name, self._moved(name, event) or _sign(mask), at, is_document=False)
        elif mask & ENTRIES and self._is_link(name):
            self._look(at)
        else:
            self._settling.note(name, self._moved(name, event) or self._made(name, mask), at)

    def _is_link(self, name: str) -> bool:
        return os.path.islink(self._folders.path_of(name))

    def _made(self, name: str, mask: int) -> Sign:
        """Return what was seen of a document; what has two names was written before it got this one."""
        if mask & kernel.CREATE:
            with suppress(OSError):
                made = os.lstat(self._folders.path_of(name))
                if made.st_nlink > 1 or not stat.S_ISREG(made.st_mode):
                    return Sign.WHOLE
        return _sign(mask)

    def _moved(self, name: str, event: Event) -> Sign | None:
        """Return WRITING for what somebody writes on under another name."""
        if event.mask & kernel.MOVED_FROM and self._settling.is_written(name):
            if len(self._carried) > MOST_CARRIED:
                self._carried.clear()
            self._carried.add(event.cookie)
        elif event.mask & kernel.MOVED_TO and event.cookie in self._carried:
            self._carried.discard(event.cookie)
            return Sign.WRITING
        return None


def _sign(mask: int) -> Sign:
    if mask & (kernel.CLOSE_WRITE | kernel.MOVED_TO):
        return Sign.WHOLE
    if mask & (kernel.CREATE | kernel.MODIFY):
        return Sign.MADE if mask & kernel.CREATE else Sign.WRITING
    return Sign.GONE if mask & (kernel.DELETE | kernel.MOVED_FROM) else Sign.TOUCHED


def _is_crowded() -> bool:
    """Return whether somebody waits for a processor: it may be who writes the next document."""
    with suppress(OSError, ValueError, IndexError):
        running = Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0]
        return int(running) > (os.cpu_count() or 1)
    return True


def _is_locked(lock: str) -> bool:
    with suppress(OSError):
        return abs(time.time() - os.stat(lock).st_mtime) < LOCK_OLD_S
    return False
