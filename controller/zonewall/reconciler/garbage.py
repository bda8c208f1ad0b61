"""Collecting garbage without stopping: a full collection over a large fleet takes most of a second.

Reference counts free nearly all that goes. What is new is looked through once; what the collector would
look through again and again is put out of its sight (``gc.freeze``). Only when memory has grown to twice of
what it was, and grows no more, everything is looked through: what grows is mostly a fleet that is compiled.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

YOUNG, OFTEN = 20_000, 1_000
"""New objects between two collections of the youngest, and how many of these before an older one: more than
there are between two calls of ``look``."""

GROWTH, AT_LEAST_BYTES = 2, 64 << 20
AT_REST = 1.01
"""Memory that has grown by less than this between two looks is at rest."""

PATIENCE = 30
"""How many looks in a row memory may grow on until everything is looked through all the same."""


class Garbage:
    """Confined to the event loop's thread; a collector that was off stays off until the first ``look``."""

    def __init__(self, resident: Callable[[], int] | None = None) -> None:
        """Take over; ``resident`` says how many bytes of memory the process has."""
        self._resident = resident or resident_bytes
        gc.set_threshold(YOUNG, OFTEN, OFTEN)
        # Nothing is looked for first: that takes a fifth of the start, and what it would find is little.
        gc.freeze()
        self._size = self._seen = self._resident()
        self._waited = 0

    def look(self) -> None:
        """Spare the collector what is there by now, or have it look through everything if that has grown."""
        size = self._resident()
        if self._is_due(size):
            gc.unfreeze()
            gc.collect()
            self._size = size = self._resident()
            self._waited = 0
        self._seen = size
        gc.freeze()
        gc.enable()

    def _is_due(self, size: int) -> bool:
        if size <= self._size * GROWTH + AT_LEAST_BYTES:
            self._waited = 0
            return False
        self._waited += 1
        return size < self._seen * AT_REST or self._waited > PATIENCE


def resident_bytes() -> int:
    """Return how much memory the process has (proc(5), statm); 0 where nobody says."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
