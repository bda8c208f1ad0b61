"""Forms of the state folder's files: what another version wrote is told, kept, and never taken for damage.

A file says its form where that is above 1, and from which form on a reader needs no more than it knows of it:
``{"form": 3, "readable-by": 2, …}``. A reader of form 2 leaves out what it does not know there; one of form 1
does not read the file. Before a file of another form is replaced, it is kept beside under its name and form.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import structlog

FORM_KEY, SINCE_KEY = "form", "readable-by"
_log = structlog.get_logger()


class NewerFormError(ValueError):
    """A file of a newer version that this one cannot read."""


def stamp(form: int, since: int) -> dict[str, int]:
    """Return what a file says of its form: nothing of the first, which versions without forms read, too."""
    return {} if form == 1 else {FORM_KEY: form, SINCE_KEY: since}


def read_form(path: Path, form: int, known: Collection[str] | None = None) -> bytes:
    """Return a file's JSON as a reader of ``form`` takes it: without what says its form.

    Args:
        path: the file; where it is of another form, it is kept beside.
        form: the reader's own.
        known: the keys that the reader knows; None where it passes over others by itself.

    Raises:
        OSError: it cannot be read.
        NewerFormError: it is of a newer version, whose files this one does not understand.
    """
    text = path.read_bytes()
    said = _said(text)
    if said is None:
        if form > 1:
            _keep(path, 1)
        return text
    document, its, since = said
    if its != form:
        _keep(path, its)
    if its <= form:
        return _without_form(document)
    if since > form:
        raise NewerFormError(
            f"written by a newer version of zonewall (form {its}; this version reads up to {form}); start"
            f" that version, or put back what this one wrote, where it was kept as {path.name}.form-{form}"
        )
    _log.warning("state_of_newer_version", file=str(path), form=its, kept_as=f"{path.name}.form-{its}")
    kept = {key: value for key, value in document.items() if known is None or key in known}
    return _without_form(kept)


def set_aside(path: Path, reason: object) -> None:
    """Take away a file that cannot be read, under another name, and tell: the next one would replace it."""
    kept = path.with_name(f"{path.name}.unread-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    try:
        path.rename(kept)
    except OSError as error:
        _log.error("state_not_read", file=str(path), reason=_in_one_line(reason), not_kept=error.strerror)
    else:
        _log.error("state_not_read", file=str(path), reason=_in_one_line(reason), kept_as=kept.name)


def _said(text: bytes) -> tuple[dict[str, Any], int, int] | None:
    """Return a document with its form, and the form from which on it can be read; None where it says none."""
    if b'"form"' not in text:
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    form = document.get(FORM_KEY) if isinstance(document, dict) else None
    if type(form) is not int:
        return None
    since = document.get(SINCE_KEY, form)
    return document, form, since if type(since) is int else form


def _without_form(document: dict[str, Any]) -> bytes:
    return json.dumps({k: v for k, v in document.items() if k not in (FORM_KEY, SINCE_KEY)}).encode()


def _keep(path: Path, form: int) -> None:
    """Keep a file under its form's name; it is replaced, never written into, so that a second name does."""
    kept = path.with_name(f"{path.name}.form-{form}")
    try:
        with contextlib.suppress(FileNotFoundError):
            kept.unlink()
        os.link(path, kept)
    except OSError as error:
        _log.warning("state_not_kept", file=str(path), error=error.strerror)


def _in_one_line(reason: object) -> str:
    return (str(reason) or type(reason).__name__).splitlines()[0]
