"""Lines out of a file that an IDS writes, or a unix socket that it connects to; each handed on once.

A file may be rotated (the old one is read to its end), truncated or written anew: lines that were handed on
already are known again by their digest. How far it was read is kept, so that a restart goes on there.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from zonewall.errors import ZonewallError
from zonewall.store.private_socket import private_socket

MOST_LINE_BYTES = 1 << 20
READ_BYTES = 1 << 18
KNOWN_LINES = 65536
KEPT_LINES = 4096
POLL_S = 0.2
KEEP_AFTER_S = 0.02
_IN_MODIFY, _IN_CREATE, _IN_MOVED_TO, _IN_NONBLOCK = 0x2, 0x100, 0x80, 0x800


@dataclass(slots=True)
class SourceCounts:
    """What came out of one source since the controller started."""

    lines: int = 0
    repeated: int = 0
    oversized: int = 0
    rotations: int = 0
    truncations: int = 0
    error: str = ""


@dataclass(slots=True)
class LineSplitter:
    """Bytes to lines; a line that is too long is left out whole, and counted."""

    counts: SourceCounts
    _rest: bytes = b""
    _skipping: bool = False

    def take(self, data: bytes) -> list[bytes]:
        """Return the lines that are whole now."""
        *lines, rest = (self._rest + data).split(b"\n")
        if lines and self._skipping:
            lines.pop(0)
            self._skipping = False
        if self._skipping:
            rest = b""
        if len(rest) > MOST_LINE_BYTES:
            self.counts.oversized += 1
            self._skipping, rest = True, b""
        self._rest = rest
        whole = [line for line in lines if line.strip()]
        kept = [line for line in whole if len(line) <= MOST_LINE_BYTES]
        self.counts.oversized += len(whole) - len(kept)
        return kept

    @property
    def waiting(self) -> int:
        """Return the bytes of the line that is not whole yet."""
        return len(self._rest)

    def forget(self) -> None:
        """Drop what is not whole: it goes on elsewhere."""
        self._rest, self._skipping = b"", False


@dataclass(slots=True)
class KnownLines:
    """Digests of the lines handed on lately."""

    _digests: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def is_new(self, line: bytes) -> bool:
        """Say whether a line has not been handed on, and remember it."""
        digest = hashlib.blake2b(line, digest_size=12).hexdigest()
        if digest in self._digests:
            self._digests.move_to_end(digest)
            return False
        self._digests[digest] = None
        if len(self._digests) > KNOWN_LINES:
            self._digests.popitem(last=False)
        return True

    def to_plain(self) -> list[str]:
        """Return the latest, oldest first."""
        return list(self._digests)[-KEPT_LINES:]

    def restore(self, digests: list[str]) -> None:
        """Know these, too."""
        self._digests.update((digest, None) for digest in digests)


class FileSource:
    """Follows one file from where it was left, or from its end at the very first start."""

    def __init__(
        self,
        path: Path,
        kept: Path,
        take: Callable[[list[bytes]], None],
        is_settled: Callable[[], bool] = lambda: True,
    ) -> None:
        """Hand lines of ``path`` to ``take``.

        Args:
            path: the file that is read.
            kept: the file that says how far it was read, which goes there once ``is_settled``.
            take: what lines are handed on to.
            is_settled: says whether what follows from the lines that were handed on is written down.
        """
        self.name = f"file:{path}"
        self.counts = SourceCounts()
        self._path, self._kept, self._take, self._is_settled = path, kept, take, is_settled
        self._later: asyncio.TimerHandle | None = None
        self._splitter = LineSplitter(self.counts)
        self._known = KnownLines()
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
                self._follow()
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

    def _follow(self) -> None:
        try:
            self._read_what_is_new()
            self.counts.error = ""
        except OSError as error:
            self.counts.error = f"{self._path}: {error.strerror}"

    def _read_what_is_new(self) -> None:
        if self._file is None and not self._open():
            return
        self._read()
        there = _inode(self._path)
        if there is None or self._file is None:
            return
        if there != self._inode:
            self._read()  # what was written between the last look and the rotation
            self.counts.rotations += 1
            os.close(self._file)
            self._file, self._inode, self._offset = None, 0, 0
            self._splitter.forget()
            if self._open():
                self._read()

    def _open(self) -> bool:
        there = _inode(self._path)
        if there is None:
            return False
        self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self._file)
        if found.st_ino != self._inode or found.st_size < self._offset:
            self._offset = 0
        self._inode = found.st_ino
        return True

    def _read(self) -> None:
        assert self._file is not None
        if os.fstat(self._file).st_size < self._offset:
            self.counts.truncations += 1
            self._offset = 0
            self._splitter.forget()
        began = self._offset
        while data := os.pread(self._file, READ_BYTES, self._offset):
            self._offset += len(data)
            lines = self._splitter.take(data)
            fresh = [line for line in lines if self._known.is_new(line)]
            self.counts.lines += len(lines)
            self.counts.repeated += len(lines) - len(fresh)
            if fresh:
                self._take(fresh)
        if self._offset != began:
            self._keep_later()

    def _restore(self) -> None:
        try:
            said = json.loads(self._kept.read_text())
            self._inode, self._offset = int(said["inode"]), int(said["offset"])
            self._known.restore([str(one) for one in said["known"]])
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                found = self._path.stat()
                self._inode, self._offset = found.st_ino, found.st_size
        except (OSError, ValueError, KeyError, TypeError):
            self._inode = self._offset = 0

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
        content = json.dumps({"inode": self._inode, "offset": offset, "known": self._known.to_plain()})
        new = self._kept.with_suffix(".new")
        with contextlib.suppress(OSError):
            new.write_text(content)
            new.replace(self._kept)
        return True


class SocketSource:
    """Listens at a unix socket that the IDS connects to and writes lines into."""

    def __init__(self, path: Path, take: Callable[[list[bytes]], None]) -> None:
        """Hand lines to ``take``; an old socket at ``path`` is replaced."""
        self.name = f"unix:{path}"
        self.counts = SourceCounts()
        self._path, self._take = path, take
        self._known = KnownLines()

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
        writer.close()


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
