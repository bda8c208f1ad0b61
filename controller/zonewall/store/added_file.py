"""The endpoints that were added by command, on disk: an ordinary inventory document in the state folder."""

from __future__ import annotations

from pathlib import Path

from zonewall.errors import ZonewallError
from zonewall.policy.files import MAX_FILE_BYTES
from zonewall.store.numbering_file import replace_file


def read_added(path: Path) -> bytes:
    """Return the document; empty where nothing was ever added.

    Raises:
        ZonewallError: the file is there and cannot be read: endpoints would vanish in silence.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ZonewallError(
            f"{path}: {error.strerror or error}; mend it, or remove it and add its endpoints anew"
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise ZonewallError(f"{path}: more than {MAX_FILE_BYTES >> 20} MiB; is it the right file?")
    return content


def write_added(path: Path, text: bytes) -> None:
    """Replace the document; it is on disk when this returns.

    Raises:
        ZonewallError: the state folder cannot be written; the old document is still there.
    """
    try:
        replace_file(path, text.decode())
    except OSError as error:
        raise ZonewallError(f"{path}: {error.strerror or error}; nothing was changed") from error
