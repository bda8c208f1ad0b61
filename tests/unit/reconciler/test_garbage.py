"""The collector leaves alone what stays, and still finds what goes when memory has grown."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from zonewall.reconciler.garbage import AT_LEAST_BYTES, PATIENCE, Garbage, resident_bytes


class Knot:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.self = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()
    gc.collect()


def test_what_is_there_is_looked_through_no_more() -> None:
    garbage = Garbage()
    kept = [Knot() for _ in range(1000)]
    garbage.look()
    looked_at = set(map(id, gc.get_objects()))
    assert not any(id(one) in looked_at for one in kept)


def test_a_collector_that_was_off_while_things_were_made_works_from_the_first_look_on() -> None:
    gc.disable()
    try:
        garbage = Garbage()
        assert not gc.isenabled()
        garbage.look()
        assert gc.isenabled()
    finally:
        gc.enable()


def test_what_went_in_knots_is_freed_when_memory_has_doubled_and_rests() -> None:
    size = 100 << 20
    garbage = Garbage(lambda: size)
    gone = _knot_out_of_sight(garbage)
    garbage.look()
    assert gone() is not None
    size = (size << 1) + AT_LEAST_BYTES + 1
    garbage.look()
    assert gone() is not None
    garbage.look()
    assert gone() is None


def test_what_grows_on_is_looked_through_all_the_same() -> None:
    size = 100 << 20
    garbage = Garbage(lambda: size)
    gone = _knot_out_of_sight(garbage)
    size = (size << 1) + AT_LEAST_BYTES + 1
    for _ in range(PATIENCE):
        garbage.look()
        size *= 2
    assert gone() is not None
    garbage.look()
    assert gone() is None


def _knot_out_of_sight(garbage: Garbage) -> weakref.ref[Knot]:
    """Return a knot that is gone, and that the collector does not see."""
    knot = Knot()
    gone = weakref.ref(knot)
    garbage.look()
    del knot
    gc.collect()
    return gone


def test_memory_is_measured() -> None:
    assert resident_bytes() > 1 << 20
