"""Which directory an operator has put in force instead of the one that the controller was started with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zonewall.errors import ConfigurationError, ZonewallError
from zonewall.store.forms import NewerFormError, read_form, stamp
from zonewall.store.numbering_file import replace_file, sync_folder

FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""


def read_applied(file: Path, given: Path) -> Path:
    """Return the directory to read: what was applied and confirmed, else the one that was given.

    Raises:
        ZonewallError: the file is there and cannot be read.
    """
    if not file.exists():
        return given
    try:
        return Path(json.loads(read_form(file, FORM))["directory"])
    except NewerFormError as error:
        raise ZonewallError(f"{file}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ZonewallError(
            f"{file}: cannot be read; remove it to go back to the directory that `run` names"
        ) from error


@contextmanager
def undone_by(file: Path, directory: Path, given: Path) -> Iterator[None]:
    """Read documents; where they are not those of the directory that was given, an error says why, too.

    Raises:
        ZonewallError: in place of the error that documents cannot be used.
    """
    try:
        yield
    except ConfigurationError as error:
        if directory == given:
            raise
        raise ZonewallError(
            f"{error}\n{directory} was put in force by `zonewall apply`: put it right, or remove {file}"
            f" to begin with {given}"
        ) from error


def write_applied(file: Path, directory: Path, given: Path) -> None:
    """Remember a directory across restarts; the one that was given needs no remembering.

    Of one that is a link, the link is remembered: what it leads to is another directory once it is swapped.

    Raises:
        ZonewallError: the state folder cannot be written.
    """
    try:
        if directory.absolute() == given.absolute():
            if file.exists():
                file.unlink()
                sync_folder(file.parent)
        else:
            replace_file(file, json.dumps(stamp(FORM, SINCE) | {"directory": str(directory.absolute())}))
    except OSError as error:
        raise ZonewallError(f"{file}: {error.strerror or error}; make the state folder writable") from error
