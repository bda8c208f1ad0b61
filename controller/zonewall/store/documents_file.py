"""What documents said when a controller stopped, for the next one: the ordinary way is to read them.

Only a file that this very program wrote, under a secret of the state folder, and that nobody else may read or
write, is looked into; of any other nothing is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import stat
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from zonewall import policy, values
from zonewall.policy.kept import kept, remembered
from zonewall.policy.reread import Rereader

_WHAT = b"zonewall: what documents said"
_MAC = "sha256"
_MAC_BYTES = hashlib.new(_MAC).digest_size
MOST_BYTES = 1 << 30
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def key_of(secret: bytes) -> bytes:
    """Return what this program signs the file with, by a secret of the state folder.

    To be asked for when the program starts: later its text on disk may be that of another.
    """
    return hmac.digest(secret, _WHAT + program(), _MAC)


def read_documents(path: Path, key: bytes) -> Rereader | None:
    """Return what the file says; None where there is none, or none to be believed."""
    try:
        data = _read_private(path)
    except OSError:
        return None
    made = hmac.digest(key, memoryview(data)[_MAC_BYTES:], _MAC)
    return remembered(data, _MAC_BYTES) if hmac.compare_digest(data[:_MAC_BYTES], made) else None


def write_documents(path: Path, key: bytes, reader: Rereader) -> None:
    """Replace the file; a reader sees the old or the new one.

    Raises:
        OSError: it cannot be written.
    """
    data = kept(reader)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hmac.digest(key, data, _MAC))
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)
        raise


def _read_private(path: Path) -> bytes:
    """Return the content of a file of this user's that no other may open.

    Raises:
        OSError: it is not such a file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_mode & _OTHERS or found.st_uid != os.geteuid():
            raise PermissionError(f"{path} is not this user's alone")
        if found.st_size > MOST_BYTES:
            raise OSError(f"{path} is too large")
        return file.read()


def program() -> bytes:
    """Return a digest of all that decides what documents mean: this program's text, and whose help it has.

    The libraries are not read for it: where each stands, there is a text that says which version it is.
    """
    said = hashlib.sha256(sys.version.encode())
    try:
        for package in (policy, values):
            folder = Path(str(package.__file__)).parent
            for source in (folder / "__init__.py", *sorted(folder.glob("*.py"))):
                _take(source, said)
        for library, text in _VERSIONS.items():
            found = find_spec(library)
            _take(Path(str(found and found.origin)).with_name(text), said)
    except OSError:
        # A program whose text is not there is the same as no other.
        said.update(os.urandom(_MAC_BYTES))
    return said.digest()


_VERSIONS = {"pydantic": "version.py", "yaml": "__init__.py"}


def _take(source: Path, into: hashlib._Hash) -> None:
    content = source.read_bytes()
    into.update(f"\n{source.name} {len(content)}\n".encode() + content)
