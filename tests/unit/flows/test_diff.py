"""The difference between two tables of flows."""

from __future__ import annotations

from typing import Any

import pytest

from zonewall.flows.diff import Delta, are_alike, by_key, diff
from zonewall.flows.encoded import EncodedFlow

ONE = EncodedFlow(1, 10, b"m1", b"i")
TWO = EncodedFlow(2, 10, b"m2", b"i")
ENDING = EncodedFlow(3, 10, b"m3", b"i", hard_timeout_s=100)


def test_equal_tables_differ_in_nothing() -> None:
    delta = diff(by_key((ONE, TWO)), by_key((TWO, ONE)))
    assert delta == Delta()
    assert not delta


def test_later_tables_are_put_first() -> None:
    assert diff({}, by_key((ONE, TWO))).put == (TWO, ONE)


def test_what_is_not_wanted_is_deleted_by_key() -> None:
    assert diff(by_key((ONE, TWO)), by_key((TWO,))) == Delta(delete=(ONE.key,))


@pytest.mark.parametrize("change", [{"cookie": 5}, {"instructions": b"j"}, {"hard_timeout_s": 9}])
def test_a_flow_that_changed_is_put_once_and_not_deleted(change: dict[str, Any]) -> None:
    changed = ONE._replace(**change)
    assert diff(by_key((ONE,)), by_key((changed,))) == Delta(put=(changed,))


def test_a_flow_that_ends_soon_enough_is_left_alone() -> None:
    assert not diff(by_key((ENDING,)), by_key((ENDING._replace(hard_timeout_s=97),)))
    assert diff(by_key((ENDING,)), by_key((ENDING._replace(hard_timeout_s=50),)))


def test_two_flows_of_one_key_are_refused() -> None:
    with pytest.raises(ValueError, match="same table"):
        by_key((ONE, ONE._replace(cookie=1)))


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ((ONE, TWO), (TWO, ONE)),
        ((ONE,), (ONE, TWO)),
        ((ONE, TWO), (ONE,)),
        ((ONE, TWO), (ONE, ENDING)),
        ((ONE._replace(cookie=5),), (ONE,)),
        ((ONE._replace(instructions=b"j"),), (ONE,)),
        ((), ()),
    ],
)
def test_flows_are_alike_exactly_when_nothing_has_to_be_changed(
    found: tuple[EncodedFlow, ...], wanted: tuple[EncodedFlow, ...]
) -> None:
    assert are_alike(by_key(found), by_key(wanted)) is not bool(diff(by_key(found), by_key(wanted)))


def test_flows_that_end_by_themselves_are_not_said_to_be_alike() -> None:
    assert not are_alike(by_key((ENDING,)), by_key((ENDING,)))
