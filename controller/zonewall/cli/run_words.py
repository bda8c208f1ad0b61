"""The words of ``zonewall run``, read without the library that reads all other commands'.

Reading typer, and what it checks words with, takes a tenth of a controller's start. Words that are written in
the ordinary way are understood here; at any other, such as ``--help`` or a mistake, it is typer's turn.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zonewall.store.options import STATE_VARIABLE

TEXTS = ("openflow", "ovsdb", "events", "records")
"""Options that may be repeated."""
PATHS = ("options", "state", "socket", "tls-certificate", "tls-key", "tls-ca")
TEXT, FLAG = "log-format", "allow-plain"
_TLS = {"tls-certificate": "certificate", "tls-key": "private-key", "tls-ca": "ca"}


class RunWords(NamedTuple):
    """What was said: the configuration's directory, a file of options, and options by their keys in one."""

    directory: Path
    options: Path | None
    said: dict[str, Any]


def gather(directory: Path, options: Path | None, found: dict[str, Any]) -> RunWords:
    """Return what was said, by the names of the command's options; what was not said is None or left out."""
    said: dict[str, Any] = {key: tuple(found[key]) for key in TEXTS if found.get(key)}
    said |= {key: found[key] for key in ("state", "socket", TEXT, FLAG) if found.get(key) is not None}
    tls = {of: found[key] for key, of in _TLS.items() if found.get(key) is not None}
    return RunWords(directory, options, {**said, "tls": tls} if tls else said)


def run_words(words: Sequence[str]) -> RunWords | None:
    """Return what the words after ``zonewall run`` say; None where they are not the most ordinary ones."""
    found: dict[str, Any] = {}
    directories: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            directories.append(word)
            continue
        name, has_value, value = word.removeprefix("--").partition("=")
        if word == f"--{FLAG}":
            found[FLAG] = True
            continue
        if not word.startswith("--") or name not in (*TEXTS, *PATHS, TEXT):
            return None
        value = value if has_value else next(rest, "-")
        if value.startswith("-") or not value:
            return None
        if name in TEXTS:
            found.setdefault(name, []).append(value)
        else:
            found[name] = Path(value) if name in PATHS else value
    if len(directories) != 1 or not directories[0]:
        return None
    if "state" not in found and os.environ.get(STATE_VARIABLE):
        found["state"] = Path(os.environ[STATE_VARIABLE])
    return gather(Path(directories[0]), found.pop("options", None), found)
