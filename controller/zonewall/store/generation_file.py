"""The number of a controller's start on disk: it rises with each, also where the clock was set back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from zonewall.errors import ZonewallError
from zonewall.store.numbering_file import replace_file

_LARGEST: Final = 1 << 62
"""Bridges compare the numbers of two starts by their signed distance (OpenFlow 1.5.1, 6.3.6)."""


def next_generation(path: Path, now_ms: int) -> int:
    """Return, and keep, a number above that of every start before: the time (ms) where that is above.

    A file that is missing or damaged knows of none.

    Raises:
        ZonewallError: the file cannot be written.
    """
    generation = max(now_ms, _last(path) + 1)
    try:
        replace_file(path, json.dumps({"generation": generation}))
    except OSError as error:
        raise ZonewallError(f"{path}: {error.strerror}; say another folder with --state") from error
    return generation


def _last(path: Path) -> int:
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return 0
    last = said.get("generation") if isinstance(said, dict) else None
    return last if type(last) is int and 0 < last < _LARGEST else 0
