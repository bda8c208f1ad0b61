"""The files of a configuration: which there are, and their bytes, without ever reading a part in silence."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from zonewall.policy.findings import Finding, Location, Severity

MAX_FILE_BYTES = 32 * 1024 * 1024
MOST_FILES = 10_000
MOST_BYTES = 256 * 1024 * 1024
"""Of all files together."""


class Unreadable(Exception):  # noqa: N818 - it ends the reading of one directory, and never leaves this module
    """The directory cannot be read as a whole; carries the one finding that says why."""

    def __init__(self, finding: Finding) -> None:
        """Keep the finding."""
        super().__init__(finding.message)
        self.finding = finding


def read_files(directory: Path) -> tuple[dict[str, bytes], list[Finding]]:
    """Return the documents' bytes by name relative to the directory, sorted, and what is in the way.

    Files and folders whose name begins with a dot are none of the configuration.
    """
    texts: dict[str, bytes] = {}
    findings: list[Finding] = []
    try:
        if not directory.is_dir():
            raise Unreadable(unreadable(str(directory), "there is no such directory"))
        for file in _files(directory, findings):
            _read_file(directory, file, texts, findings)
            if len(texts) > MOST_FILES or sum(map(len, texts.values())) > MOST_BYTES:
                message = f"there are more than {MOST_FILES} files or {MOST_BYTES >> 20} MiB below it"
                raise Unreadable(unreadable(str(directory), f"{message}; is it the right directory?"))
        if not texts and not findings:
            message = "there is no document (*.yaml) in it; write one, or name another directory"
            raise Unreadable(unreadable(str(directory), message))
    except Unreadable as error:
        return {}, [error.finding]
    return dict(sorted(texts.items())), findings


def unreadable(name: str, message: str) -> Finding:
    """Return the finding that something cannot be read."""
    return Finding(Severity.ERROR, "unreadable", Location(_printable(name), 1, 1), message)


def _files(directory: Path, findings: list[Finding]) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        name = os.path.relpath(str(error.filename), directory)
        findings.append(unreadable(name, f"the folder cannot be read: {error.strerror}"))

    for place, folders, files in os.walk(directory, followlinks=False, onerror=failed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if (Path(place) / name).is_symlink():
                where = os.path.relpath(Path(place) / name, directory)
                message = "a link to a folder is not followed; put the folder itself here"
                findings.append(unreadable(where, message))
        for name in sorted(files):
            if name.endswith((".yaml", ".yml")) and not name.startswith("."):
                yield Path(place) / name


def _read_file(root: Path, file: Path, texts: dict[str, bytes], findings: list[Finding]) -> None:
    name = str(file.relative_to(root))
    if name != _printable(name):
        findings.append(unreadable(name, "the file's name has characters that cannot be shown; rename it"))
        return
    try:
        # Not blocking: between the question what it is and the opening, a pipe may take the file's place.
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
            about = os.fstat(opened.fileno())
            if not stat.S_ISREG(about.st_mode):
                findings.append(unreadable(name, "this is no ordinary file; remove it"))
                return
            content = _content(opened, about.st_size)
    except OSError as error:
        findings.append(unreadable(name, f"it cannot be read: {error.strerror}; mend or remove it"))
        return
    if len(content) > MAX_FILE_BYTES:
        findings.append(unreadable(name, f"a file may have {MAX_FILE_BYTES >> 20} MiB; split it"))
    else:
        texts[name] = content


def _content(opened: BinaryIO, size: int) -> bytes:
    """Return what a file says, up to a byte more than one may have.

    ``size``: as it was just now; to ask for more than that has memory made and given back for all of it.
    """
    content = opened.read(min(size, MAX_FILE_BYTES) + 1)
    if size < len(content) <= MAX_FILE_BYTES:  # somebody writes on
        content += opened.read(MAX_FILE_BYTES + 1 - len(content))
    return content


def _printable(name: str) -> str:
    """Return the name as it can be shown anywhere."""
    return (
        name
        if name.isprintable()
        else name.encode("utf-8", "backslashreplace").decode().encode("unicode_escape").decode()
    )
