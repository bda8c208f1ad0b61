"""What bridges held when the controller stopped, in digests: what they hold otherwise is others' doing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from zonewall.store.numbering_file import replace_file

_DIGESTS = TypeAdapter(dict[str, str])


def take_stopped(path: Path) -> dict[str, str]:
    """Return the digests by bridge, and remove the file: they hold until something is changed.

    A file that is missing, damaged or not to be removed tells of none.
    """
    try:
        text = path.read_bytes()
        path.unlink()
        return _DIGESTS.validate_json(text)
    except (OSError, ValidationError):
        return {}


def write_stopped(path: Path, digests: Mapping[str, str]) -> None:
    """Write the digests by bridge.

    Raises:
        OSError: the file cannot be written.
    """
    replace_file(path, json.dumps(dict(digests), separators=(",", ":"), sort_keys=True))
