"""The layout of this version's flows: its number, and which of a bridge's tables are its own.

A version whose tables, registers or cookies are others than those of the version before has another layout.
It puts its flows beside the older ones, where no packet comes yet, has the first table lead there by one
bundle, and removes the older ones when no packet is on its way through them any more (``flows.staging``).
"""

from __future__ import annotations

from typing import Final

LAYOUT: Final = 2
"""To be raised whenever tables, registers or cookies change: tests/unit/pipeline/test_layout.py says so.

What was before there were numbers has 0.
"""

FIRST_TABLE: Final = 0
"""Where packets come in: the one table that layouts share, each with flows of its own."""

TABLES: Final = 63
_RANGES: Final = 4
"""So many layouts in a row share no other table; Open vSwitch has 254."""
_BEHIND: Final = 1 + LAYOUT % _RANGES * TABLES


def table_number(place: int) -> int:
    """Return the number of the table at a place of the pipeline.

    Raises:
        ValueError: there are more tables than a layout may have.
    """
    if place == 0:
        return FIRST_TABLE
    if not 0 < place <= TABLES:
        raise ValueError(f"a layout has {TABLES} tables beside the first, not {place}")
    return _BEHIND + place - 1


def is_own_table(number: int) -> bool:
    """Say whether a table is of this layout, and no neighbouring one's."""
    return _BEHIND <= number < _BEHIND + TABLES
