"""What sources of an IDS's lines share: to split, to know again, to count, and not to read too far ahead."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_LINE_BYTES = 1 << 20
TURN_BYTES = 1 << 20
"""So much is read, and handed on, before what was handed on is dealt with and all else has had its turn."""
KNOWN_LINES = 65536
KEPT_LINES = 4096


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

    def begin_within(self) -> None:
        """Leave out what comes before the next line: reading begins somewhere within one."""
        self._rest, self._skipping = b"", True


@dataclass(slots=True)
class Pace:
    """How far reading is ahead of what becomes of it."""

    is_dealt_with: Callable[[], bool]
    _ahead: int = 0

    def has_room(self) -> bool:
        """Say whether more may be read at once."""
        return self._ahead < TURN_BYTES

    def begin_turn(self) -> None:
        """Look whether what was read has been dealt with."""
        if self.is_dealt_with():
            self._ahead = 0

    def read(self, size: int) -> None:
        """Count what was read, in bytes."""
        self._ahead += size


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
