"""What documents said, as bytes for the next start: those very texts are not parsed and checked again.

The bytes are Python's own form (pickle) of a ``Rereader``. Whose they are, and that the same program wrote
them, is for the caller to make sure of. Even so nothing but values of this package comes of them: whatever
else they name is refused.
"""

from __future__ import annotations

import builtins
import datetime
import io
import ipaddress
import pickle
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from zonewall.policy.reread import Rereader

_OURS = ("zonewall.policy.", "zonewall.values.")
_THEIRS = {
    (module.__name__, name): getattr(module, name)
    for module, names in (
        (builtins, ("set", "frozenset")),
        (datetime, ("datetime", "timedelta", "timezone")),
        (ipaddress, ("IPv4Address", "IPv6Address", "IPv4Network", "IPv6Network")),
    )
    for name in names
}


def kept(reader: Rereader) -> bytes:
    """Return what a reader remembers."""
    stream = io.BytesIO()
    _Pickler(stream, protocol=5).dump(reader)
    return stream.getvalue()


def remembered(data: bytes, start: int = 0) -> Rereader | None:
    """Return the reader that ``kept`` was given, from ``start`` on; None where the bytes are not of one."""
    stream = io.BytesIO(data)
    stream.seek(start)
    try:
        found = _Unpickler(stream).load()
    except Exception:
        # Whatever is wrong with them, documents are read as if they were not there.
        return None
    return found if isinstance(found, Rereader) else None


class _Pickler(pickle.Pickler):
    """Writes frozen values down as calls of their classes: made so in half the time of ``__setstate__``."""

    def reducer_override(self, value: Any) -> Any:
        """Return how a value is made again."""
        kind = type(value)
        if is_dataclass(kind) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            return kind, tuple(getattr(value, each.name) for each in fields(kind))
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Makes values of this package, and what those are made of."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for.

        Raises:
            UnpicklingError: it stands for nothing that documents are made of.
        """
        if (module, name) == ("builtins", "getattr"):
            return _member  # how Python 3.11 writes down a member of an enumeration
        if (module, name) in _THEIRS:
            return _THEIRS[module, name]
        found = super().find_class(module, name) if module.startswith(_OURS) and "." not in name else None
        if not (isinstance(found, type) and found.__module__ == module):
            raise pickle.UnpicklingError(f"{module}.{name} is no value of documents")
        return found


def _member(of: Any, name: Any) -> Enum:
    if not (isinstance(of, type) and issubclass(of, Enum)):
        raise pickle.UnpicklingError("only an enumeration has members")
    found: Enum = of[name]
    return found
