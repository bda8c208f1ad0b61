"""What one version's flows say to another version: numbers that may change, those that may not, and when."""

from __future__ import annotations

import hashlib

import pytest

from zonewall.flows.connection_rows import is_put
from zonewall.flows.encoded import EncodedFlow
from zonewall.pipeline.cookie import (
    Category,
    Reason,
    category_of,
    cookie,
    is_of_another_layout,
    is_ours,
    rule_of,
)
from zonewall.pipeline.layout import LAYOUT, TABLES, is_own_table, table_number
from zonewall.pipeline.registers import FIELDS
from zonewall.pipeline.tables import LOG_ROWS, PIPELINE

KNOWN = {1: "d9b80c90", 2: "6dbc2835"}
"""What each layout's number stands for; the last is this version's."""


def digest() -> str:
    """Return what is said by tables' places, registers' bits and cookies, in short."""
    said = [
        *(f"{table.name} {table.number}" for table in PIPELINE.tables),
        *(f"{field.name} {field.base} {field.low} {field.width}" for field in FIELDS),
        *(f"{category.name} {cookie(category, 1)}" for category in Category),
    ]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:8]


def test_a_layout_that_has_changed_has_a_number_of_its_own() -> None:
    """A version that takes over reads flows of its own number as its own, register by register.

    Has this failed: raise LAYOUT in pipeline/layout.py, and add its digest here. A table at the pipeline's
    end, a new category, or bits that were free before are no exception.
    """
    assert KNOWN.get(LAYOUT) == digest(), f"raise LAYOUT to {max(KNOWN) + 1}, and note that as {digest()}"
    assert max(KNOWN) == LAYOUT


def test_what_connections_are_remembered_by_is_only_ever_added_to() -> None:
    """A connection's label and mark live on when another version takes over, whatever its flows' layout.

    Bits that were free are 0 in older labels, and what is put there has to mean nothing then; an older
    version that takes over again does not look at them.
    """
    fixed = {
        "label_rule": (0, 32), "label_src_identity": (32, 32), "label_dst_identity": (64, 32),
        "label_chain": (96, 16), "label_turned": (112, 1), "label_begun": (113, 1),
        "label_first_mac": (0, 48), "label_other_mac": (48, 48),
        "mark_sport": (0, 16), "mark_dport": (16, 16),
    }  # fmt: skip
    labels = {field.name: (field.low, field.width) for field in FIELDS if field.base.startswith("ct_")}
    assert fixed.items() <= labels.items()


def test_what_a_frame_is_sent_up_for_is_only_ever_added_to() -> None:
    """An older version's flows send frames up until this one's are in force."""
    fixed = (
        "ANNOUNCEMENT", "DISCOVERY", "REJECT", "SPOKE", "DHCP", "ADDRESS", "PROBE", "CUT", "GIVEN_UP",
        "ISOLATED",
    )  # fmt: skip
    assert [Reason[name].value for name in fixed] == list(range(1, len(fixed) + 1))


def test_owner_and_layout_stand_where_every_version_looks_for_them() -> None:
    made = cookie(Category.RULE, 77)
    assert (made >> 48, made >> 32 & 0xFF, rule_of(made)) == (0x5A57, LAYOUT & 0xFF, 77)
    assert category_of(made) is Category.RULE
    assert not is_of_another_layout(made)


def test_of_another_layouts_flows_only_the_owner_is_read() -> None:
    for category in (Category.RULE, Category.CONNECTION):
        other = cookie(category) ^ 1 << 32
        assert is_ours(other)
        assert is_of_another_layout(other)
        assert is_put(EncodedFlow(LOG_ROWS.number, 1, b"", b"", other))
        assert category_of(other) is None
    assert not is_of_another_layout(0x77 << 32)


def test_a_layouts_tables_are_its_own_but_for_the_first() -> None:
    numbers = [table.number for table in PIPELINE.tables]
    assert numbers[0] == 0
    assert all(map(is_own_table, numbers[1:]))
    assert not is_own_table(0)
    # Versions without a layout's number have theirs there.
    assert not any(map(is_own_table, range(1, len(numbers))))
    assert max(numbers) <= 253
    with pytest.raises(ValueError, match=f"a layout has {TABLES} tables"):
        table_number(TABLES + 1)
