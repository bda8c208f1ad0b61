"""The configuration directory: says when its documents have changed and settled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import Change, awatch

SETTLE_MS = 200
"""Documents that do not come to rest are read all the same after this time."""
QUIET_MS = 50
"""Documents are read when nothing has changed for so long: one that is written piece by piece, or several
that belong together, are one change."""


def _is_document(change: Change, path: str) -> bool:
    del change
    return path.endswith((".yaml", ".yml"))


async def changes(directory: Path, stop: asyncio.Event) -> AsyncIterator[None]:
    """Yield once after each burst of changes to documents below the directory, until ``stop`` is set."""
    async for _ in awatch(
        directory, watch_filter=_is_document, debounce=SETTLE_MS, step=QUIET_MS, stop_event=stop
    ):
        yield
