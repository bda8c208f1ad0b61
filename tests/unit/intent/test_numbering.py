"""Numbers are given once, carried over, and never given to another name."""

from __future__ import annotations

import re

import pytest

from zonewall.errors import CompileError
from zonewall.intent.numbering import Kind, Numbering, NumberingBuilder


def test_a_name_keeps_its_number_and_a_new_one_gets_the_next() -> None:
    before = Numbering({"rule": {"a": 1, "b": 7}})
    builder = NumberingBuilder(before)

    assert [builder.number(Kind.RULE, name) for name in ("b", "new", "a", "new")] == [7, 8, 1, 8]
    assert before == Numbering({"rule": {"a": 1, "b": 7}})


def test_a_name_that_is_not_asked_for_any_more_keeps_its_number() -> None:
    builder = NumberingBuilder(Numbering({"rule": {"gone": 1}}))
    builder.number(Kind.RULE, "new")

    assert builder.freeze().numbers["rule"] == {"gone": 1, "new": 2}


def test_scopes_count_apart() -> None:
    builder = NumberingBuilder(Numbering())

    assert builder.number(Kind.BRIDGE_ON_HOST, "br", scope="hv1") == 0
    assert builder.number(Kind.BRIDGE_ON_HOST, "br", scope="hv2") == 0


def test_identities_of_outside_addresses_have_the_highest_bit() -> None:
    assert NumberingBuilder(Numbering()).number(Kind.OUTSIDE, "acme!{}") == 0x80000001


def test_numbers_that_are_used_up_are_an_error_that_says_how_many_there_are() -> None:
    builder = NumberingBuilder(Numbering({"tenant": {"last": 4094}}))

    with pytest.raises(CompileError, match="4094 is the most there can be"):
        builder.number(Kind.TENANT, "one-more")


@pytest.mark.parametrize(
    "document", [None, [], {1: {}}, {"rule": []}, {"rule": {"a": "1"}}, {"rule": {"a": True}}]
)
def test_what_is_no_numbering_is_refused(document: object) -> None:
    with pytest.raises(ValueError):
        Numbering.from_plain(document)


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"rule": {"acme/t/x": 7, "y": 8, "blue/t/y": 7}}, "'acme/t/x' and 'blue/t/y' have one number, 7"),
        ({"tenant": {"acme": 0}}, "'acme' has the number 0, and may have 1 to 4094"),
        ({"tenant": {"acme": 4095}}, "1 to 4094"),
        ({"rule": {"z": -3}}, "-3"),
        ({"identity": {"z": 0x80000000}}, "may have 1 to"),
        ({"bridge-on-host/hv1": {"a": 16}}, "0 to 15"),
        ({"of a newer version": {"a": 1, "b": 1}}, "have one number"),
    ],
)
def test_a_number_that_could_be_read_as_another_is_refused(
    plain: dict[str, dict[str, int]], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Numbering.from_plain(plain)


def test_every_kind_has_its_first_and_last_number_in_each_scope() -> None:
    for kind in Kind:
        plain = {f"{kind.word}/{scope}": {"a": kind.first, "b": kind.last} for scope in ("one", "other")}
        assert Numbering.from_plain(plain).to_plain() == plain


def test_a_numbering_reads_back_what_it_wrote() -> None:
    plain = {"rule": {"a": 1, "b": 2}}

    assert Numbering.from_plain(plain).to_plain() == plain


def test_kinds_that_got_no_name_are_those_of_before_which_stay_as_they_were() -> None:
    before = Numbering({"rule": {"a": 1}, "tenant": {"acme": 1}})
    builder = NumberingBuilder(before)
    builder.number(Kind.TENANT, "acme")
    builder.number(Kind.RULE, "b")
    first = builder.freeze()
    builder.number(Kind.RULE, "c")
    builder.give_block(Kind.DOMAIN, {"d": 0})

    assert first.numbers["tenant"] is before.numbers["tenant"]
    assert before.numbers == {"rule": {"a": 1}, "tenant": {"acme": 1}}
    assert first.numbers == {"rule": {"a": 1, "b": 2}, "tenant": {"acme": 1}}
    assert builder.freeze().numbers["rule"] == {"a": 1, "b": 2, "c": 3}


def test_meters_of_those_that_are_gone_are_given_again_once_none_are_left() -> None:
    first, last = Kind.LIMIT.first, Kind.LIMIT.last
    old = {f"old{number}": number for number in range(first, last - 1)}
    numbering = Numbering({"limit": {**old, "kept": last - 1}})
    builder = NumberingBuilder(numbering)
    builder.number_all(Kind.LIMIT, ["kept", "new"])
    numbers = builder.numbers_of(Kind.LIMIT)
    assert (numbers["kept"], numbers["new"]) == (last - 1, last)
    assert numbers.keys() >= old.keys()
    builder = NumberingBuilder(builder.freeze())
    builder.number_all(Kind.LIMIT, ["newer", "kept", "new", "newest", f"old{first + 7}"])
    numbers = builder.numbers_of(Kind.LIMIT)
    assert numbers == {
        "kept": last - 1, "new": last, f"old{first + 7}": first + 7, "newer": first, "newest": first + 1
    }  # fmt: skip
    assert numbering.numbers["limit"].keys() == {*old, "kept"}


def test_all_meters_can_be_given_and_no_more() -> None:
    names = [f"r{number}" for number in range(Kind.LIMIT.last - Kind.LIMIT.first + 1)]
    builder = NumberingBuilder(Numbering({"limit": {"gone": Kind.LIMIT.last}}))
    builder.number_all(Kind.LIMIT, names)
    assert len(set(builder.numbers_of(Kind.LIMIT).values())) == len(names)
    with pytest.raises(CompileError, match="8192 is the most there can be"):
        builder.number_all(Kind.LIMIT, [*names, "another"])
