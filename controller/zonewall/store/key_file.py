"""The key that link discovery is signed with: made at the first start, and kept."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from zonewall.errors import ZonewallError
from zonewall.store.forms import set_aside

_KEY_BYTES = 32


def discovery_key(path: Path) -> bytes:
    """Return the key that link discovery is signed with, made at the first start and kept.

    Raises:
        ZonewallError: the state folder cannot be used.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            key = path.read_bytes()
            if len(key) == _KEY_BYTES:
                return key
            set_aside(path, f"a key of {len(key)} bytes; it has {_KEY_BYTES}")
        key = secrets.token_bytes(_KEY_BYTES)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
    except OSError as error:
        raise ZonewallError(f"{path}: {error.strerror}; say another folder with --state") from error
    return key
