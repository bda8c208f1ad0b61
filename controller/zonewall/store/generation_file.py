"""The number of a controller's start on disk: it rises with each, also where the clock was set back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from zonewall.errors import ZonewallError
from zonewall.store.forms import read_form, set_aside, stamp
from zonewall.store.numbering_file import replace_file

FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""
KEEPS = "keeps-in-force"
"""Said by versions that keep what is in force (``store.in_force_file``); one that does not leaves it out."""
_LARGEST: Final = 1 << 62
"""Bridges compare the numbers of two starts by their signed distance (OpenFlow 1.5.1, 6.3.6)."""


def next_generation(path: Path, now_ms: int) -> int:
    """Return, and keep, a number above that of every start before: the time (ms) where that is above.

    A file that is missing or damaged knows of none; a damaged one is set aside.

    Raises:
        ZonewallError: the file cannot be written.
    """
    generation = max(now_ms, _last(path) + 1)
    try:
        replace_file(path, json.dumps(stamp(FORM, SINCE) | {"generation": generation, KEEPS: True}))
    except OSError as error:
        raise ZonewallError(f"{path}: {error.strerror}; say another folder with --state") from error
    return generation


def has_kept_in_force(path: Path) -> bool:
    """Return whether the last start was of a version that keeps what is in force."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get(KEEPS) is True


def _last(path: Path) -> int:
    try:
        said = json.loads(read_form(path, FORM))
        last = said.get("generation") if isinstance(said, dict) else None
        if type(last) is int and 0 < last < _LARGEST:
            return last
        raise ValueError("it says no number of a start")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        set_aside(path, error)
    return 0
