"""Which gone rules' connections live on, on disk: a restart of the controller cuts none of them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from zonewall.errors import ZonewallError
from zonewall.intent.passing import Outliving
from zonewall.store.forms import read_form, set_aside, stamp
from zonewall.store.numbering_file import replace_file

FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    outliving: list[tuple[str, int | None]] = []


def read_outliving(path: Path) -> tuple[Outliving, ...]:
    """Return what the file holds; one that is missing or damaged holds nothing, so that all is cut."""
    try:
        document = _Document.model_validate_json(read_form(path, FORM, _Document.model_fields))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        set_aside(path, error)
        return ()
    return tuple(Outliving(rule, until) for rule, until in document.outliving if rule.count("/") == 2)


def write_outliving(path: Path, outliving: tuple[Outliving, ...]) -> None:
    """Replace the file.

    Raises:
        ZonewallError: it cannot be written; the old file is still there.
    """
    document = stamp(FORM, SINCE) | {"outliving": [[one.rule, one.until] for one in outliving]}
    try:
        replace_file(path, json.dumps(document, separators=(",", ":")))
    except OSError as error:
        raise ZonewallError(f"{path}: {error.strerror or error}; a restart would cut connections") from error


def forget_outliving(path: Path) -> None:
    """Take the file away, as far as that is possible: a restart then cuts what was outlived."""
    with suppress(OSError):
        path.unlink()
