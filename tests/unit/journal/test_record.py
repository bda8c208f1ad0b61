"""The chain of records: what it shows of a change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zonewall.journal.record import Entry, Head, Kind, Record, breaks, canonical, chain

ENTRIES = [
    Entry(1_000 + at, Kind.PLACED, "database of hv1", "acme", "acme/web1", "hv1", canonical({"n": at}))
    for at in range(5)
]


def records() -> list[Record]:
    return list(chain(Head(), ENTRIES))


def test_a_chain_that_nobody_touched_has_no_break() -> None:
    assert list(breaks(Head(), records())) == []


def test_each_record_carries_the_digest_of_the_one_before() -> None:
    made = records()
    assert [record.previous for record in made[1:]] == [record.digest for record in made[:-1]]
    assert len({record.digest for record in made}) == 5


def test_records_are_chained_the_same_in_one_batch_or_several() -> None:
    first = list(chain(Head(), ENTRIES[:2]))
    rest = list(chain(Head(first[-1].sequence, first[-1].digest), ENTRIES[2:]))
    assert first + rest == records()


def test_every_word_of_a_record_is_covered_by_its_digest() -> None:
    made = records()
    changes = {
        "at_us": 7,
        "kind": Kind.REMOVED,
        "cause": "nobody",
        "tenant": "blue",
        "endpoint": "acme/db1",
        "host": "hv2",
        "details": "{}",
    }
    value: Any
    for field, value in changes.items():
        forged = replace(made[2], entry=replace(made[2].entry, **{field: value}))
        found = list(breaks(Head(), [*made[:2], forged, *made[3:]]))
        assert [one.sequence for one in found] == [3], field
        assert "changed" in found[0].reason


def test_a_record_made_anew_with_its_own_digest_does_not_fit_the_next() -> None:
    made = records()
    head = Head(made[1].sequence, made[1].digest)
    (forged,) = chain(head, [replace(ENTRIES[2], endpoint="acme/db1")])
    assert [one.sequence for one in breaks(Head(), [*made[:2], forged, *made[3:]])] == [4]


def test_records_taken_out_or_put_in_another_order_are_missed() -> None:
    made = records()
    without = list(breaks(Head(), [*made[:2], *made[3:]]))
    assert [(one.sequence, one.reason) for one in without] == [(4, "record 3 between 2 and 4 missing")]
    assert [one.sequence for one in breaks(Head(), [made[0], made[2], made[1], *made[3:]])] == [3, 2, 4]


def test_the_beginning_cannot_be_cut_off() -> None:
    assert [one.sequence for one in breaks(Head(), records()[2:])] == [3]


def test_details_that_are_nested_without_end_are_none() -> None:
    assert replace(ENTRIES[0], details="[" * 200_000).said == {}
