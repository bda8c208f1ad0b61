"""When documents count as at rest: one whole document soon, several later, a half written one never."""

from __future__ import annotations

import pytest

from zonewall.store.settling import (
    BELIEVED_S,
    HELD_S,
    LONGEST_S,
    QUIET_S,
    SETTLE_S,
    Settling,
    Sign,
    Taken,
)

NONE = frozenset[str]()


@pytest.fixture
def settling() -> Settling:
    return Settling()


def test_nothing_is_due_while_nothing_has_changed(settling: Settling) -> None:
    assert settling.due() is None
    settling.note(".swap", Sign.WRITING, 1.0, is_document=False)
    assert settling.due() is None


def test_one_whole_document_is_due_at_once_unless_somebody_waits_for_a_processor(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WRITING, 1.0)
    settling.note("a.yaml", Sign.WHOLE, 1.1)
    assert settling.due() == 1.1
    assert settling.due(is_crowded=True) == 1.1 + QUIET_S
    assert settling.take(1.2) == Taken(NONE, is_any=True)
    assert settling.believed_at == 1.1 + BELIEVED_S
    settling.done()
    assert settling.due() is None


def test_a_second_document_or_one_that_has_gone_or_a_stranger_under_way_has_all_wait_for_quiet(
    settling: Settling,
) -> None:
    settling.note("a.yaml", Sign.WHOLE, 1.0)
    settling.note("b.yaml", Sign.WHOLE, 1.001)
    assert settling.due() == 1.001 + QUIET_S
    gone = Settling()
    gone.note("a.yaml", Sign.GONE, 1.0)
    assert gone.due() == 1.0 + QUIET_S
    gone.note("a.yaml", Sign.WHOLE, 1.01)
    assert gone.due() == 1.01
    gone.note(".b.yaml.Xy3", Sign.WRITING, 1.011, is_document=False)
    assert gone.due() == 1.011 + QUIET_S
    everything = Settling()
    everything.note_all(1.0)
    assert everything.due() == 1.0 + QUIET_S


def test_documents_that_do_not_come_to_rest_are_due_all_the_same(settling: Settling) -> None:
    for step in range(100):
        settling.note(f"{step}.yaml", Sign.WHOLE, 1.0 + step * 0.01)
    assert settling.due() == 1.0 + SETTLE_S


def test_others_wait_for_who_writes_but_not_for_ever_and_the_half_written_one_is_left_out(
    settling: Settling,
) -> None:
    settling.note("a.yaml", Sign.WRITING, 1.0)
    settling.note("b.yaml", Sign.WHOLE, 1.1)
    assert settling.due() == 1.0 + HELD_S
    assert settling.take(1.0 + HELD_S) == Taken(frozenset({"a.yaml"}), is_any=True)
    settling.done()
    settling.note("a.yaml", Sign.WRITING, 2.5)
    assert settling.due() is None
    assert not settling.is_overtaken
    settling.note("b.yaml", Sign.WHOLE, 3.0)
    assert settling.due() == 3.0 + QUIET_S
    assert settling.take(3.1) == Taken(frozenset({"a.yaml"}), is_any=True)
    settling.done()
    settling.note("a.yaml", Sign.WHOLE, 4.0)
    assert settling.due() == 4.0
    assert settling.take(4.1) == Taken(NONE, is_any=True)


def test_what_is_only_half_written_is_told_of_once_and_not_read(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WRITING, 1.0)
    assert settling.due() == 1.0 + HELD_S
    assert settling.take(2.0) == Taken(frozenset({"a.yaml"}), is_any=False)
    assert settling.due() is None
    settling.note("a.yaml", Sign.GONE, 5.0)
    assert settling.due() == 5.0 + QUIET_S


def test_who_begins_to_write_one_after_the_other_does_not_keep_others_waiting(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WHOLE, 1.0)
    for step in range(10):
        settling.note(f"slow{step}.yaml", Sign.WRITING, 1.0 + step * 0.5)
    assert settling.due() == 1.0 + LONGEST_S


def test_what_changes_while_it_is_read_is_read_again_after_quiet(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WHOLE, 1.0)
    settling.take(1.002)
    settling.note("b.yaml", Sign.WRITING, 1.005)
    assert settling.is_overtaken
    settling.again()
    settling.done()  # of what was given back
    settling.note("b.yaml", Sign.WHOLE, 1.006)
    assert settling.due() == 1.006 + QUIET_S
    assert settling.take(1.06) == Taken(NONE, is_any=True)
    assert not settling.is_overtaken


def test_what_changes_whenever_it_is_read_is_left_out_in_the_end(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WHOLE, 1.0)
    at = 1.0
    for _ in range(1000):
        due = settling.due()
        assert due is not None
        at = max(at + 0.01, due)
        taken = settling.take(at)
        settling.note("busy.yaml", Sign.WHOLE, at + 0.001)
        if not settling.is_overtaken:
            break
        settling.again()
    assert taken == Taken(frozenset({"busy.yaml"}), is_any=True)
    assert 1.0 + LONGEST_S <= at <= 1.0 + LONGEST_S + SETTLE_S
    settling.done()
    assert settling.due() is not None  # the busy one is still to be read


def test_what_was_made_and_never_written_to_is_whole_after_a_while(settling: Settling) -> None:
    settling.note("a.yaml", Sign.MADE, 1.0)
    assert settling.due() == 1.0 + HELD_S
    assert settling.take(2.0) == Taken(NONE, is_any=True)
    settling.done()
    settling.note("b.yaml", Sign.MADE, 3.0)
    settling.note("b.yaml", Sign.WRITING, 3.1)
    assert settling.take(4.0) == Taken(frozenset({"b.yaml"}), is_any=False)


def test_who_writes_other_files_all_the_time_keeps_nobody_waiting_for_ever(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WHOLE, 1.0)
    settling.take(1.0)
    for step in range(100):
        settling.note("log", Sign.WRITING, 1.001 + step * 0.01, is_document=False)
    assert settling.believed_at == 1.0 + SETTLE_S
    assert not settling.is_overtaken


def test_of_whom_is_not_known_any_more_nobody_waits(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WRITING, 1.0)
    settling.note_all(1.1, is_lost=True)
    assert not settling.is_written("a.yaml")
    assert settling.due() == 1.1 + QUIET_S


def test_a_mode_that_changes_does_not_make_a_half_written_document_whole(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WRITING, 1.0)
    settling.note("a.yaml", Sign.TOUCHED, 1.1)
    assert settling.is_written("a.yaml")
    settling.note("b.yaml", Sign.TOUCHED, 1.2)
    assert settling.take(2.2) == Taken(frozenset({"a.yaml"}), is_any=True)


def test_who_says_that_all_is_whole_waits_for_nothing_but_what_is_being_written(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WHOLE, 1.0)
    settling.note("b.yaml", Sign.WHOLE, 1.001)
    settling.say_whole(1.002)
    assert settling.due(is_crowded=True) == settling._last
    settling.take(1.002)
    assert settling.believed_at <= 1.002
    assert not settling.is_overtaken
    settling.done()
    assert settling.due() is None

    settling.note("a.yaml", Sign.WRITING, 2.0)
    settling.say_whole(2.0)
    assert settling.due() == 3.0


def test_what_changes_after_somebody_has_said_so_is_waited_for(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WHOLE, 1.0)
    settling.say_whole(1.0)
    settling.take(1.0)
    settling.note("b.yaml", Sign.WHOLE, 1.001)
    assert settling.is_overtaken
    settling.again()
    assert settling.due() == 1.001 + QUIET_S


def test_who_says_so_of_what_nobody_has_seen_to_change_has_all_read(settling: Settling) -> None:
    settling.say_whole(1.0)
    assert settling.due() == 1.0
    assert settling.take(1.0).is_any
    settling.done()
    assert settling.due() is None
    settling.note("a.yaml", Sign.WHOLE, 2.0)
    settling.take(2.0)
    assert settling.believed_at == 2.0 + BELIEVED_S


def test_who_says_so_while_documents_are_read_has_them_read_once_more(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WHOLE, 1.0)
    settling.take(1.0)
    for number in range(9):
        settling.say_whole(1.001 + number / 1000)
    assert not settling.is_overtaken
    assert settling.believed_at <= 1.001
    settling.done()
    due = settling.due()
    assert due is not None
    assert due <= 1.009 + QUIET_S
    assert settling.take(due).is_any
    settling.done()
    assert settling.due() is None


def test_who_says_so_while_one_is_written_for_long_has_the_others_read(settling: Settling) -> None:
    settling.note("a.yaml", Sign.WRITING, 1.0)
    settling.say_whole(1.1)
    assert settling.due() == 2.0
    assert settling.take(2.0) == Taken(frozenset({"a.yaml"}), is_any=True)
