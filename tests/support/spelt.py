"""Everything that a value says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass


def spelt(value: object) -> object:
    """Return all of a value, locations and orders included, which are no part of equality; sets have none."""
    if isinstance(value, type) or not is_dataclass(value):
        if isinstance(value, Mapping):
            return [(spelt(key), spelt(each)) for key, each in value.items()]
        if isinstance(value, frozenset):
            return sorted((spelt(each) for each in value), key=repr)
        return [spelt(each) for each in value] if isinstance(value, tuple) else repr(value)
    return [(one.name, spelt(getattr(value, one.name))) for one in fields(value)]
