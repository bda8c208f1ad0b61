"""What bridges held when the controller stopped, in digests: what they hold otherwise is others' doing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from zonewall.store.numbering_file import replace_file
from zonewall.store.shape import UnfitError, mapping, parsed, text


def take_stopped(path: Path) -> dict[str, str]:
    """Return the digests by bridge, and remove the file: they hold until something is changed.

    A file that is missing, damaged or not to be removed tells of none.
    """
    try:
        content = path.read_bytes()
        path.unlink()
        found = parsed(content)
        return {text(key): text(value) for key, value in mapping(found, found).items()}
    except (OSError, UnfitError):
        return {}


def write_stopped(path: Path, digests: Mapping[str, str]) -> None:
    """Write the digests by bridge.

    Raises:
        OSError: the file cannot be written.
    """
    replace_file(path, json.dumps(dict(digests), separators=(",", ":"), sort_keys=True))
