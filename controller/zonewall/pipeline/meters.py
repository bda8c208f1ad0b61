"""Meters of one number: a subject gives it one value, and of the values of several the strictest holds."""

from __future__ import annotations

from collections.abc import Iterable

from zonewall.errors import CompileError
from zonewall.pipeline.model import MeterEntry


def strictest(entries: Iterable[MeterEntry]) -> MeterEntry:
    """Return which of the entries of one number holds, whatever their order: the lowest of the first unit."""
    return min(entries, key=lambda one: (one.unit.value, one.rate, one.burst))


def of_subject(entries: Iterable[MeterEntry]) -> tuple[MeterEntry, ...]:
    """Return a subject's meters, each once.

    Raises:
        CompileError: two entries of one number that are not the same.
    """
    found: dict[int, MeterEntry] = {}
    for entry in entries:
        if found.setdefault(entry.number, entry) != entry:
            raise CompileError(f"two meters of number {entry.number}: {found[entry.number]} and {entry}")
    return tuple(found.values())
