"""A start's number rises whatever the clock, and whatever became of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from zonewall.store.generation_file import next_generation


def test_a_start_has_a_higher_number_than_those_before_whatever_the_clock_says(tmp_path: Path) -> None:
    file = tmp_path / "state" / "generation.json"
    assert [next_generation(file, now) for now in (1000, 2000, 500, 500, 3000)] == [
        1000,
        2000,
        2001,
        2002,
        3000,
    ]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"generation": "9"}', '{"generation": -9}', '{"generation": 1e9}', "9" * 40, "\xff"]
)
def test_a_damaged_number_of_a_start_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "generation.json"
    file.write_text(text, encoding="latin-1")
    assert next_generation(file, 1000) == 1000
    assert next_generation(file, 1000) == 1001
