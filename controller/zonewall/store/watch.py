"""The configuration directory: says when its documents have changed and come to rest.

Where the kernel tells who writes what (inotify), a document is read once it is whole. Where it does not (a
remote filesystem, or no watches left), they are looked at again and again, and are read when they stay as
they are.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final, Protocol

import structlog

from zonewall.store.inotify_watch import Followed
from zonewall.store.polled_watch import Polled

REMOTE = frozenset(
    ["9p", "afs", "beegfs", "ceph", "cifs", "gfs2", "lustre", "nfs", "nfs4", "ocfs2", "smb3", "virtiofs"]
)
"""Filesystems that others write to without this kernel's knowledge; those in user space may be, too."""

_log = structlog.get_logger()


class Saved(Protocol):
    """Documents that have changed."""

    @property
    def unfinished(self) -> frozenset[str]:
        """Return those that somebody still writes: what they said before counts until they are closed."""

    async def stands(self, *, is_emptied: bool = False) -> bool:
        """Return whether what was read since is no mixture; where it is, the change is told of again.

        ``is_emptied``: a document is empty that was not.
        """


class _Nothing:
    """No change: documents are read because somebody says so."""

    unfinished: frozenset[str] = frozenset()

    async def stands(self, *, is_emptied: bool = False) -> bool:
        """Return that it counts."""
        del is_emptied
        return True


NO_CHANGE: Final[Saved] = _Nothing()


class Hurry:
    """Passes somebody's word on that documents are whole, to whoever follows them now."""

    def __init__(self) -> None:
        """Nobody follows any."""
        self.follower: Callable[[], None] | None = None

    def read_now(self) -> None:
        """Have documents read as they are, without waiting for others."""
        if self.follower is not None:
            self.follower()


async def changes(
    directory: Path, stop: asyncio.Event, hurry: Hurry | None = None
) -> AsyncGenerator[Saved, None]:
    """Yield after each burst of changes to documents below the directory, until ``stop`` is set.

    The first is at once: from then on changes are seen, and ``hurry`` is heard.
    """
    followed = _followed(directory)
    source = await Polled.begin(directory) if followed is None else followed
    if hurry is not None:
        hurry.follower = source.read_now
    try:
        yield NO_CHANGE
        async with aclosing(source.changes(stop)) as told:
            async for change in told:
                yield change
    finally:
        if hurry is not None:
            hurry.follower = None
        if followed is not None:
            followed.close()


def _followed(directory: Path) -> Followed | None:
    """Return the directory as the kernel tells of it; None where it does not."""
    if is_remote(directory):
        return None
    try:
        return Followed(directory)
    except OSError as error:
        _log.warning("directory_polled", directory=str(directory), error=str(error))
        return None


def is_remote(directory: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Return whether others may write to a directory without this kernel's knowledge.

    ``mounts``: as proc_pid_mountinfo(5) has it.
    """
    try:
        device = directory.stat().st_dev
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        words = line.split()
        if len(words) > 2 and words[2] == number:
            kind = line.partition(" - ")[2].partition(" ")[0]
            return kind in REMOTE or kind.startswith("fuse")
    return False
