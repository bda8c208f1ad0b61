"""A frozen mapping says what differs from another one, however it came from there."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from zonewall.placement.binding_map import FrozenMap

Steps = list[tuple[int, int | None]]

steps: st.SearchStrategy[Steps] = st.lists(
    st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 3))), max_size=40
)


def history(changes: Steps) -> list[FrozenMap[int, int]]:
    maps = [FrozenMap.of(dict.fromkeys(range(5), 0))]
    for key, value in changes:
        maps.append(maps[-1].drop(key) if value is None else maps[-1].put(key, value))
    return maps


@settings(max_examples=100, deadline=None)
@given(changes=steps)
def test_what_changed_since_any_earlier_mapping_is_said_however_many_changes_ago(changes: Steps) -> None:
    maps = history(changes)
    for before in maps:
        expected = {key for key in range(10) if before.get(key) != maps[-1].get(key)}
        assert sorted(maps[-1].changed_since(before)) == sorted(expected)


@settings(max_examples=50, deadline=None)
@given(one=steps, other=steps)
def test_mappings_of_two_histories_are_told_apart_like_any_others(one: Steps, other: Steps) -> None:
    first, second = history(one)[-1], history(other)[-1]
    assert set(second.changed_since(first)) == {key for key in range(10) if first.get(key) != second.get(key)}
