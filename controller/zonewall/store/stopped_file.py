"""What bridges held when the controller stopped, in digests: what they hold otherwise is others' doing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from zonewall.store.forms import read_form, set_aside, stamp
from zonewall.store.numbering_file import replace_file

FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""
_DIGESTS = TypeAdapter(dict[str, str])


def take_stopped(path: Path) -> dict[str, str]:
    """Return the digests by bridge, and remove the file: they hold until something is changed.

    A file that is missing, damaged, of another version's or not to be removed tells of none.
    """
    try:
        text = read_form(path, FORM)
        digests = _DIGESTS.validate_json(text)
        path.unlink()
    except OSError:
        return {}
    except ValueError as error:
        set_aside(path, error)
        return {}
    return digests


def write_stopped(path: Path, digests: Mapping[str, str]) -> None:
    """Write the digests by bridge.

    Raises:
        OSError: the file cannot be written.
    """
    document = stamp(FORM, SINCE) | dict(digests)
    replace_file(path, json.dumps(document, separators=(",", ":"), sort_keys=True))
