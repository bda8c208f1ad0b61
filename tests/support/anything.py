"""A set of which everything is a part."""

from __future__ import annotations

from typing import Any


class Anything(set[Any]):
    """What holds all there is."""

    def __ge__(self, other: object) -> bool:
        """Say that ``other`` is a part of it."""
        return True
