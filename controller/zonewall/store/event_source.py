"""Lines out of a file that an IDS writes, or a unix socket that it connects to; each handed on once.

A file may be rotated (the old one is read to its end), truncated or written anew: lines that were handed on
already are known again by their digest. How far it was read is kept, so that a restart goes on there.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

from zonewall.errors import ZonewallError
from zonewall.store.event_lines import KnownLines, LineSplitter, Pace, SourceCounts
from zonewall.store.forms import read_form, set_aside, stamp
from zonewall.store.private_socket import private_socket

FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""
READ_BYTES = 1 << 18
WAIT_S = 0.005
AGAIN_BYTES = 16 << 20
"""So much is read again where it is not known any more how far a file was read."""
POLL_S = 0.2
KEEP_AFTER_S = 0.02
_IN_MODIFY, _IN_CREATE, _IN_MOVED_TO, _IN_NONBLOCK = 0x2, 0x100, 0x80, 0x800


class FileSource:
    """Follows one file from where it was left, or from its end at the very first start."""

    def __init__(
        self,
        path: Path,
        kept: Path,
        take: Callable[[list[bytes]], None],
        is_settled: Callable[[], bool] = lambda: True,
        is_dealt_with: Callable[[], bool] = lambda: True,
    ) -> None:
        """Hand lines of ``path`` to ``take``.

        Args:
            path: the file that is read.
            kept: the file that says how far it was read, which goes there once ``is_settled``.
            take: what lines are handed on to.
            is_settled: says whether what follows from the lines that were handed on is written down.
            is_dealt_with: says whether ``take``'s lines wait no more; until then little is read ahead.
        """
        self.name = f"file:{path}"
        self.counts = SourceCounts()
        self._path, self._kept, self._take, self._is_settled = path, kept, take, is_settled
        self._later: asyncio.TimerHandle | None = None
        self._splitter = LineSplitter(self.counts)
        self._known = KnownLines()
        self._pace = Pace(is_dealt_with)
        self._file: int | None = None
        self._inode = 0
        self._offset = 0
        self._restore()

    async def run(self) -> None:
        """Follow until cancelled."""
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        watch = _watch(self._path.parent)
        if watch is not None:
            loop.add_reader(watch, _drain, watch, changed)
        try:
            while True:
                if self._follow():
                    await asyncio.sleep(WAIT_S)
                    continue
                changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await changed.wait()
        finally:
            if watch is not None:
                loop.remove_reader(watch)
                os.close(watch)
            if self._later is not None:
                self._later.cancel()
            if self._file is not None:
                os.close(self._file)
                self.keep()

    def _follow(self) -> bool:
        """Read a turn's worth; say whether there may be more."""
        try:
            more = self._read_what_is_new()
            self.counts.error = ""
        except OSError as error:
            self.counts.error = f"{self._path}: {error.strerror}"
            return False
        return more

    def _read_what_is_new(self) -> bool:
        self._pace.begin_turn()
        if self._file is None and not self._open():
            return False
        if self._read():
            return True
        there = _inode(self._path)
        if there is None or self._file is None or there == self._inode:
            return False
        if self._read():  # what was written between the last look and the rotation
            return True
        self.counts.rotations += 1
        os.close(self._file)
        self._file, self._inode, self._offset = None, 0, 0
        self._splitter.forget()
        return self._open() and self._read()

    def _open(self) -> bool:
        if _inode(self._path) is None:
            return False
        # Not blocking: a pipe without a writer would hold up everything.
        file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, "it is no ordinary file")
        if found.st_ino != self._inode or found.st_size < self._offset:
            self._offset = 0
            self._splitter.forget()
        self._file, self._inode = file, found.st_ino
        return True

    def _read(self) -> bool:
        """Hand on what there is room for; say whether there may be more."""
        assert self._file is not None
        if os.fstat(self._file).st_size < self._offset:
            self.counts.truncations += 1
            self._offset = 0
            self._splitter.forget()
        began = self._offset
        while self._pace.has_room() and (data := os.pread(self._file, READ_BYTES, self._offset)):
            self._offset += len(data)
            self._pace.read(len(data))
            lines = self._splitter.take(data)
            fresh = [line for line in lines if self._known.is_new(line)]
            self.counts.lines += len(lines)
            self.counts.repeated += len(lines) - len(fresh)
            if fresh:
                self._take(fresh)
        if self._offset != began:
            self._keep_later()
        return not self._pace.has_room()

    def _restore(self) -> None:
        try:
            said = json.loads(read_form(self._kept, FORM))
            inode, offset, known = (
                int(said["inode"]),
                int(said["offset"]),
                [str(one) for one in said["known"]],
            )
            if offset < 0:
                raise ValueError("it says less than nothing was read")
        except FileNotFoundError:
            self._begin(0)
        except (OSError, ArithmeticError, ValueError, KeyError, TypeError, RecursionError) as error:
            # From the beginning it could be gigabytes, before which no new alert has its turn.
            self._begin(AGAIN_BYTES)
            set_aside(
                self._kept, f"{error!r}; the last {AGAIN_BYTES >> 20} MiB of {self.name} are read again"
            )
        else:
            self._inode, self._offset = inode, offset
            self._known.restore(known)

    def _begin(self, before: int) -> None:
        """Begin so many bytes before the file's end, at a whole line."""
        with contextlib.suppress(OSError):
            found = self._path.stat()
            self._inode, self._offset = found.st_ino, max(0, found.st_size - before)
            if before and self._offset:
                self._splitter.begin_within()

    def _keep_later(self) -> None:
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(KEEP_AFTER_S, self._keep_now)

    def _keep_now(self) -> None:
        self._later = None
        if not self.keep():
            self._keep_later()

    def keep(self) -> bool:
        """Write down how far whole lines were read, if all is settled; the disk being full stops nothing."""
        if not self._inode:
            return True  # there was no file yet
        if not self._is_settled():
            return False
        offset = self._offset - self._splitter.waiting
        place = {"inode": self._inode, "offset": offset, "known": self._known.to_plain()}
        content = json.dumps(stamp(FORM, SINCE) | place)
        new = self._kept.with_suffix(".new")
        with contextlib.suppress(OSError):
            new.write_text(content)
            new.replace(self._kept)
        return True


class SocketSource:
    """Listens at a unix socket that the IDS connects to and writes lines into."""

    def __init__(
        self,
        path: Path,
        take: Callable[[list[bytes]], None],
        is_dealt_with: Callable[[], bool] = lambda: True,
    ) -> None:
        """Hand lines to ``take``, as ``FileSource`` does; an old socket at ``path`` is replaced."""
        self.name = f"unix:{path}"
        self.counts = SourceCounts()
        self._path, self._take = path, take
        self._known = KnownLines()
        self._pace = Pace(is_dealt_with)

    async def run(self) -> None:
        """Listen until cancelled.

        Raises:
            ZonewallError: it cannot be listened there.
        """
        if self._path.is_socket():
            self._path.unlink()
        try:
            server = await asyncio.start_unix_server(self._serve, sock=private_socket(self._path))
        except OSError as error:
            raise ZonewallError(f"{self._path}: cannot be listened at: {error.strerror or error}") from error
        try:
            async with server:
                await server.serve_forever()
        finally:
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        splitter = LineSplitter(self.counts)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(READ_BYTES):
                lines = splitter.take(data)
                fresh = [line for line in lines if self._known.is_new(line)]
                self.counts.lines += len(lines)
                self.counts.repeated += len(lines) - len(fresh)
                if fresh:
                    self._take(fresh)
                self._pace.read(len(data))
                await self._wait_for_room()
        writer.close()

    async def _wait_for_room(self) -> None:
        """Let who writes wait where too much waits here."""
        self._pace.begin_turn()
        while not self._pace.has_room():
            await asyncio.sleep(WAIT_S)
            self._pace.begin_turn()


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _watch(folder: Path) -> int | None:
    """Return an inotify descriptor (inotify(7)) for a folder, None where there is none: it is polled then."""
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = int(library.inotify_init1(_IN_NONBLOCK))
    if descriptor < 0:
        return None
    mask = _IN_MODIFY | _IN_CREATE | _IN_MOVED_TO
    if library.inotify_add_watch(descriptor, os.fsencode(folder), mask) < 0:
        os.close(descriptor)
        return None
    return descriptor


def _drain(descriptor: int, changed: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 65536):
            pass
    changed.set()
