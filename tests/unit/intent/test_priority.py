"""Priorities fall in the order of the rules and stay where they are when the order is edited."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from zonewall.errors import CompileError
from zonewall.intent.priority import HIGHEST, LOWEST, allocate_priorities


def falls(keys: list[str], priorities: dict[str, int]) -> bool:
    return set(priorities) == set(keys) and all(priorities[a] > priorities[b] for a, b in pairwise(keys))


def test_priorities_fall_with_room_between() -> None:
    first = allocate_priorities(["a", "b", "c"], {})

    assert falls(["a", "b", "c"], first)
    assert first["a"] - first["b"] > 1


@pytest.mark.parametrize(
    "keys", [["a", "c"], ["a", "x", "b", "c"], ["x", "a", "b", "c"], ["a", "b", "c", "x"]]
)
def test_an_edit_moves_no_rule_that_stays(keys: list[str]) -> None:
    before = allocate_priorities(["a", "b", "c"], {})

    after = allocate_priorities(keys, before)

    assert falls(keys, after)
    assert all(after[key] == before[key] for key in keys if key in before)


def test_a_rule_that_changes_its_place_moves_alone() -> None:
    before = allocate_priorities(["a", "b", "c", "d"], {})

    after = allocate_priorities(["d", "a", "b", "c"], before)

    assert falls(["d", "a", "b", "c"], after)
    assert [after[key] for key in "abc"] == [before[key] for key in "abc"]


def test_a_full_gap_spreads_all_anew_in_the_right_order() -> None:
    keys = ["a", "n", "b"]

    assert falls(keys, allocate_priorities(keys, {"a": 500, "b": 499}))


def test_hundreds_of_edits_keep_the_order_and_the_bounds() -> None:
    draw = random.Random(7)
    keys: list[str] = []
    priorities: dict[str, int] = {}
    for number in range(600):
        if keys and draw.random() < 0.3:
            keys.remove(draw.choice(keys))
        keys.insert(draw.randint(0, len(keys)), f"r{number}")
        priorities = allocate_priorities(keys, priorities)
        assert falls(keys, priorities)
        assert all(LOWEST <= value <= HIGHEST for value in priorities.values())


def test_more_rules_than_priorities_are_refused() -> None:
    with pytest.raises(CompileError, match="the most there can be"):
        allocate_priorities([str(n) for n in range(HIGHEST - LOWEST + 1)], {})
