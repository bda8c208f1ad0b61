"""Which folders are watched for the sake of one directory, and what their entries stand for.

Watched are the directory and the folders in it; the folders that hold the steps of its own path, so that a
link that is swapped, or a folder that is renamed, is seen; and the same for documents that are links.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from errno import EACCES, ENOENT, ENOTDIR
from pathlib import Path

from inotify_simple import INotify
from inotify_simple import flags as kernel

from zonewall.store.settling import EVERYTHING

ENTRIES = kernel.CREATE | kernel.DELETE | kernel.MOVED_FROM | kernel.MOVED_TO
ITSELF = kernel.DELETE_SELF | kernel.MOVE_SELF
CONTENT = kernel.MODIFY | kernel.CLOSE_WRITE | kernel.ATTRIB
MOST_LINKS = 40
"""As many links a path may have, as for the kernel."""
GIT = ".git"


def is_document(name: str) -> bool:
    """Return whether an entry of a folder is read as a document."""
    return name.endswith((".yaml", ".yml")) and not name.startswith(".")


class Folders:
    """What is watched.

    Attributes:
        below: folders of documents, by watch: their place below the directory, empty for itself.
        ways: entries, by watch and name, that lead to documents: to which; to all, or to one that is a link.
        locks: files that are there while git works on what is in the directory.
    """

    def __init__(self, directory: Path, inotify: INotify) -> None:
        """Watch from now on.

        Raises:
            OSError: the kernel has no watches left.
        """
        self.below: dict[int, str] = {}
        self.ways: dict[tuple[int, str], set[str]] = {}
        self.locks: list[str] = []
        self._directory = os.path.abspath(directory)
        self._inotify = inotify
        self._watches: dict[str, tuple[int, int]] = {}
        self._known: set[int] = set()
        self._top = self._directory
        self._same = set[str]()
        """Places that the last look found to be the same folders as before."""
        self._linked = set[str]()
        """Documents that are links."""
        self._led = set[str]()
        """Those that are now, or were before the last look."""
        self.look()

    def look(self) -> None:
        """Look at what there is now: watch what is new, and what is gone no longer.

        Raises:
            OSError: the kernel has no watches left.
        """
        before, below = self._known, {place: watch for watch, place in self.below.items()}
        linked = self._linked
        self.below, self.ways, self.locks, self._watches = {}, {}, [], {}
        begin = [one for one in self._directory.split("/") if one]
        self._follow("/", begin, EVERYTHING)
        self._top = os.path.realpath(self._directory)
        self._walk(self._top)
        for folder in (self._top, *map(str, Path(self._top).parents)):
            self._look_for_git(folder)
        self._known = {watch for watch, _ in self._watches.values()}
        after = {place: watch for watch, place in self.below.items()}
        self._same = {place for place, watch in after.items() if below.get(place) == watch}
        self._linked = {name for names in self.ways.values() for name in names}
        self._led = linked | self._linked
        for watch in before - self._known:
            with suppress(OSError):
                self._inotify.rm_watch(watch)

    def is_known(self, watch: int) -> bool:
        """Return whether something is still watched."""
        return watch in self._known

    def is_elsewhere(self, name: str) -> bool:
        """Return whether what was known of a file before the last look may have been known of another."""
        return name in self._led or os.path.dirname(name) not in self._same

    def path_of(self, name: str) -> str:
        """Return where a document is, by its name relative to the directory."""
        return os.path.join(self._top, name)

    def _walk(self, top: str) -> None:
        folders = [("", top)]
        while folders:
            place, folder = folders.pop()
            watch = self._watch(folder, ENTRIES | ITSELF | CONTENT)
            if watch is None:
                continue
            self.below[watch] = place
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    name = f"{place}/{entry.name}" if place else entry.name
                    if entry.name == GIT and place:
                        self._look_for_git(folder)
                    elif entry.is_symlink() and is_document(entry.name):
                        self._follow(folder, [entry.name], name)
                    elif entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                        folders.append((name, entry.path))

    def _follow(self, folder: str, names: list[str], leads_to: str) -> None:
        """Watch each step of a path; where a document's ends, also for what is written."""
        last = folder
        for last, name in _steps(folder, names):
            watch = self._watch(last, ENTRIES | ITSELF)
            if watch is not None:
                self.ways.setdefault((watch, name), set()).add(leads_to)
        if leads_to != EVERYTHING:
            self._watch(last, ENTRIES | ITSELF | CONTENT)

    def _watch(self, folder: str, mask: int) -> int | None:
        """Return the watch of a folder, for this and what it is watched for already; None: it cannot be."""
        known = self._watches.get(folder)
        if known is not None:
            if known[1] | mask == known[1]:
                return known[0]
            mask |= known[1]
        try:
            watch: int = self._inotify.add_watch(folder, mask | kernel.ONLYDIR | kernel.EXCL_UNLINK)
        except OSError as error:
            if error.errno in (EACCES, ENOENT, ENOTDIR):
                return None
            raise
        self._watches[folder] = (watch, mask)
        return watch

    def _look_for_git(self, folder: str) -> None:
        """Note where git locks what it works on, if a folder is one of its work trees."""
        git = f"{folder}/{GIT}"
        with suppress(OSError, ValueError):
            if os.path.isdir(git):
                self.locks.append(f"{git}/index.lock")
            elif os.path.isfile(git):
                with open(git, encoding="utf-8") as opened:
                    word, _, where = opened.read(4096).strip().partition(": ")
                if word == "gitdir":
                    self.locks.append(os.path.join(folder, where, "index.lock"))


def _steps(folder: str, names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each folder and the entry of it that a path goes through, links followed.

    The folder in which it begins has no link in its own path.
    """
    left = names[::-1]
    links = 0
    while left and links <= MOST_LINKS:
        name = left.pop()
        if name == "..":
            folder = os.path.dirname(folder)
        if name in ("", ".", ".."):
            continue
        yield folder, name
        full = os.path.join(folder, name)
        try:
            target = os.readlink(full)
        except OSError:
            folder = full
            continue
        links += 1
        if target.startswith("/"):
            folder = "/"
        left.extend(target.split("/")[::-1])
