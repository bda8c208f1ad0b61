"""The numbering on disk: read at start, written whole after each change, never half."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from zonewall.errors import ZonewallError
from zonewall.intent.numbering import Numbering
from zonewall.store.forms import NewerFormError, read_form, stamp

FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""


def read_numbering(path: Path) -> Numbering:
    """Return what the file holds; a file that is not there is an empty numbering.

    Raises:
        ZonewallError: it is there and no numbering: numbers given anew could be read as somebody else's.
    """
    try:
        return Numbering.from_plain(json.loads(read_form(path, FORM)))
    except FileNotFoundError:
        return Numbering()
    except NewerFormError as error:
        raise ZonewallError(f"{path}: {error}") from error
    except (OSError, ValueError) as error:
        raise ZonewallError(
            f"{path}: no usable numbering ({error}); restore it, or remove it to number everything anew"
        ) from error


def write_numbering(path: Path, numbering: Numbering) -> None:
    """Replace the file by the numbering; it is on disk when this returns.

    Raises:
        ZonewallError: it cannot be written; the old file is still there.
    """
    try:
        document = stamp(FORM, SINCE) | numbering.to_plain()
        replace_file(path, json.dumps(document, separators=(",", ":"), sort_keys=True))
    except OSError as error:
        reason = error.strerror or error
        raise ZonewallError(f"{path}: {reason}; nothing with a new number can be put in force") from error


def replace_file(path: Path, text: str) -> None:
    """Replace a file: a reader sees the old or the new one, and after a crash from now on the new one.

    Raises:
        OSError: it cannot be written, or it is not certain that it is on disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        sync_folder(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Have the names of a folder's files on disk (fsync(2): a file's own does not do that)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
