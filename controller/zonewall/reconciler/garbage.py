"""Collecting garbage without stopping: a full collection over a large fleet takes most of a second.

Reference counts free nearly all that goes. What the collector would look through again and again is put out
of its sight (``gc.freeze``); only when memory has grown to twice of what it was, it looks through everything.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

YOUNG = 20_000
"""New objects between two collections of the youngest."""

GROWTH, AT_LEAST_BYTES = 2, 64 << 20


class Garbage:
    """Confined to the event loop's thread."""

    def __init__(self, resident: Callable[[], int] | None = None) -> None:
        """Take over; ``resident`` says how many bytes of memory the process has."""
        self._resident = resident or resident_bytes
        gc.set_threshold(YOUNG)
        # Nothing is looked for first: that takes a fifth of the start, and what it would find is little.
        gc.freeze()
        self._size = self._resident()

    def look(self) -> None:
        """Spare the collector what is there by now, or have it look through everything if that has grown."""
        size = self._resident()
        if size > self._size * GROWTH + AT_LEAST_BYTES:
            gc.unfreeze()
            gc.collect()
            self._size = self._resident()
        gc.freeze()


def resident_bytes() -> int:
    """Return how much memory the process has (proc(5), statm); 0 where nobody says."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
