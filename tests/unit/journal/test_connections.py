"""Which connections are open and how many left no record, from what bridges tell and what looks find."""

from __future__ import annotations

from zonewall.journal.connections import Beginning, Connections, Ended, Ending, Finding, Missed, Open, Told

S = 1_000_000
BRIDGE = "hv1/br-int"
KEY = (BRIDGE, b"row")


def log() -> Connections:
    return Connections(0)


def kinds(findings: list[Finding]) -> list[type[Finding]]:
    return [type(one) for one in findings]


def counted(connections: Connections, packets: int, at_s: int) -> list[Finding]:
    return list(connections.counted(BRIDGE, {"flow": (packets, at_s)}, at_s * S))


def test_a_row_that_is_told_of_twice_begins_once() -> None:
    connections = log()
    assert kinds(list(connections.begun(KEY, 1 * S, is_whole=True))) == [Beginning]
    assert list(connections.begun(KEY, 2 * S, is_whole=True)) == []


def test_an_end_says_when_the_last_packet_came_and_not_when_the_row_went() -> None:
    connections = log()
    list(connections.begun(KEY, 1 * S, is_whole=True))
    told = Told(packets=9, bytes=900, age_us=10 * S, idle_us=2 * S)
    (end,) = connections.ended(KEY, told, 11 * S, Ended.IDLE, is_whole=True)
    assert end == Ending(KEY, 1 * S, 9 * S, 9, 900, Ended.IDLE)


def test_an_end_whose_beginning_was_missed_brings_it_along_with_its_true_time() -> None:
    begin, end = log().ended(KEY, Told(3, 300, age_us=4 * S), 10 * S, Ended.IDLE, is_whole=True)
    assert begin == Beginning(KEY, 6 * S, is_whole=True)
    assert isinstance(end, Ending)


def test_a_row_that_nobody_told_of_begins_when_two_looks_have_found_it() -> None:
    connections = log()
    rows = {b"row": (Told(1, 100, age_us=5 * S), True)}
    assert list(connections.looked(BRIDGE, rows, 10 * S)) == []
    assert list(connections.looked(BRIDGE, rows, 20 * S)) == [Beginning(KEY, 15 * S, is_whole=True)]


def test_a_row_that_two_looks_do_not_find_has_ended_as_it_was_last_seen() -> None:
    connections = log()
    list(connections.begun(KEY, 1 * S, is_whole=True))
    list(connections.looked(BRIDGE, {b"row": (Told(5, 500, 9 * S), True)}, 10 * S))
    assert list(connections.looked(BRIDGE, {}, 20 * S)) == []
    assert list(connections.looked(BRIDGE, {}, 30 * S)) == [Ending(KEY, 1 * S, 10 * S, 5, 500, Ended.UNSEEN)]


def test_connections_that_left_no_record_are_counted_once() -> None:
    connections = log()
    counted(connections, 0, 1)
    list(connections.begun(KEY, 2 * S, is_whole=True))
    found = [one for at_s in range(10, 80, 10) for one in counted(connections, 8, at_s)]
    assert found == [Missed(BRIDGE, 7)]


def test_what_is_still_under_way_is_not_missed() -> None:
    connections = log()
    counted(connections, 0, 1)
    assert counted(connections, 5, 10) == []
    for number in range(5):
        list(connections.begun((BRIDGE, bytes([number])), 12 * S, is_whole=True))
    assert [one for at_s in range(20, 60, 10) for one in counted(connections, 5, at_s)] == []


def test_connections_taken_up_in_their_middle_make_up_for_none_that_were_missed() -> None:
    connections = log()
    counted(connections, 0, 1)
    list(connections.begun(KEY, 2 * S, is_whole=False))
    assert [one for at_s in range(10, 60, 10) for one in counted(connections, 1, at_s)] == [Missed(BRIDGE, 1)]


def test_a_switch_that_restarted_counts_from_nothing() -> None:
    connections = log()
    counted(connections, 0, 1)
    for number in range(3):
        list(connections.begun((BRIDGE, bytes([number])), 2 * S, is_whole=True))
    found = counted(connections, 3, 10)
    for step, at_s in enumerate(range(20, 80, 10)):
        found += connections.counted(BRIDGE, {"flow": (2, step)}, at_s * S)
    assert found == [Missed(BRIDGE, 2)]


def test_what_was_counted_before_anybody_listened_is_not_missed() -> None:
    connections = Connections(100 * S)
    found = [
        one
        for at_s in range(110, 180, 10)
        for one in connections.counted(BRIDGE, {"flow": (40, 1000 + at_s)}, at_s * S)
    ]
    assert found == []


def test_a_restart_goes_on_with_the_numbers_that_were_kept() -> None:
    before = log()
    counted(before, 0, 1)
    list(before.begun(KEY, 2 * S, is_whole=True))
    counted(before, 1, 10)
    after = Connections(20 * S)
    after.restore(before.to_plain())
    found = [one for at_s in range(30, 90, 10) for one in counted(after, 4, at_s)]
    assert found == [Missed(BRIDGE, 3)]


def test_a_row_that_a_switch_made_anew_is_a_connection_of_its_own() -> None:
    connections = log()
    list(connections.begun(KEY, 1 * S, is_whole=True))
    list(connections.looked(BRIDGE, {b"row": (Told(50, 5000, 9 * S), True)}, 10 * S))
    found = list(connections.looked(BRIDGE, {b"row": (Told(60, 6000, 7 * S), False)}, 20 * S))
    assert found == [Ending(KEY, 1 * S, 10 * S, 50, 5000, Ended.UNSEEN), Beginning(KEY, 13 * S, False)]
    assert list(connections.looked(BRIDGE, {b"row": (Told(70, 7000, 17 * S), False)}, 30 * S)) == []
    told = Told(80, 8000, 27 * S, 2 * S)
    (end,) = connections.ended(KEY, told, 40 * S, Ended.IDLE, is_whole=False)
    assert end == Ending(KEY, 13 * S, 38 * S, 80, 8000, Ended.IDLE)


def test_the_end_of_a_row_that_was_made_anew_unseen_ends_both() -> None:
    connections = log()
    list(connections.begun(KEY, 1 * S, is_whole=True))
    list(connections.looked(BRIDGE, {b"row": (Told(50, 5000, 9 * S), True)}, 10 * S))
    found = list(connections.ended(KEY, Told(3, 300, 4 * S, 2 * S), 20 * S, Ended.IDLE, is_whole=False))
    assert kinds(found) == [Ending, Beginning, Ending]
    assert [one.packets for one in found if isinstance(one, Ending)] == [50, 3]


def test_a_connection_that_a_record_says_is_open_and_whose_row_is_younger_went_while_nobody_listened() -> (
    None
):
    connections = log()
    connections.open[KEY] = Open(1 * S, seen_us=1 * S)
    found = list(connections.looked(BRIDGE, {b"row": (Told(5, 500, 20 * S), True)}, 100 * S))
    assert found == [Ending(KEY, 1 * S, 1 * S, 0, 0, Ended.UNSEEN), Beginning(KEY, 80 * S, True)]


def test_a_clock_that_is_set_forward_ends_nothing_that_a_look_has_found() -> None:
    connections = log()
    list(connections.begun(KEY, 1 * S, is_whole=True))
    list(connections.looked(BRIDGE, {b"row": (Told(5, 500, 9 * S), True)}, 10 * S))
    assert list(connections.looked(BRIDGE, {b"row": (Told(6, 600, 19 * S), True)}, 3600 * S)) == []
