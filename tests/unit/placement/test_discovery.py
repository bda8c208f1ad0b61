"""Links are believed only from signed, fresh frames that both ends have heard."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zonewall.placement.discovery import (
    End,
    LinkChange,
    LinkClaim,
    LinkTable,
    build_discovery_frame,
    parse_discovery_frame,
)
from zonewall.placement.model import BridgeKey, Link
from zonewall.values.names import BridgeName, DatapathId, HostName, OfPort

KEY = b"k" * 32
CLAIM = LinkClaim(DatapathId(0xA1), OfPort(7), 1_000_000, 15)
FRAME = build_discovery_frame(CLAIM, KEY)


def end(host: str, ofport: int = 1) -> End:
    return BridgeKey(HostName(host), BridgeName("br-int")), OfPort(ofport)


A, B, C = end("a"), end("b"), end("c")
LINK = Link(A, B)


def claim(at: float) -> LinkClaim:
    return replace(CLAIM, counter=int(at * 1000))


def hear(table: LinkTable, sender: End, receiver: End, at: float) -> tuple[LinkTable, LinkChange]:
    return table.seen(sender, receiver, claim(at), at)


def joined(at: float = 100.0) -> LinkTable:
    table, _ = hear(LinkTable(), A, B, at)
    return hear(table, B, A, at)[0]


# Frames -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        CLAIM,
        LinkClaim(DatapathId(0), OfPort(1), 0, 1),
        LinkClaim(DatapathId(2**64 - 1), OfPort(0xFFFFFEFF), 2**64 - 1, 0xFFFF),
    ],
)
def test_what_was_built_is_read_back(said: LinkClaim) -> None:
    frame = build_discovery_frame(said, KEY)

    assert parse_discovery_frame(frame, KEY) == said
    assert frame[:6].hex() == "0180c200000e"
    assert frame[12:14].hex() == "88cc"
    assert not frame[6] & 1


def test_a_frame_is_plain_lldp_to_others() -> None:
    body = FRAME[14:]
    assert body[:2] == bytes([1 << 1, 17])
    assert body[3:19] == b"00000000000000a1"
    assert body[19:21] == bytes([2 << 1, 2])
    assert body[22:23] == b"7"


def test_a_frame_of_another_key_is_nothing() -> None:
    assert parse_discovery_frame(FRAME, b"x" * 32) is None


def test_no_bit_of_a_frame_can_be_changed() -> None:
    length = len(FRAME.rstrip(b"\0")) + 2
    believed = [
        (position, bit)
        for position in [*range(6), *range(12, length)]
        for bit in range(8)
        if parse_discovery_frame(
            FRAME[:position] + bytes([FRAME[position] ^ 1 << bit]) + FRAME[position + 1 :], KEY
        )
    ]
    assert believed == []


def test_no_part_of_a_frame_is_one() -> None:
    whole = len(FRAME.rstrip(b"\0")) + 2
    assert {parse_discovery_frame(FRAME[:length], KEY) for length in range(whole)} == {None}
    assert parse_discovery_frame(FRAME + bytes(200), KEY) is None


def test_a_leading_zero_in_a_port_is_refused() -> None:
    at = FRAME.index(b"\x07" + b"7")
    padded = FRAME[: at - 1] + bytes([3]) + FRAME[at : at + 1] + b"07" + FRAME[at + 2 :]

    assert parse_discovery_frame(padded, KEY) is None


@pytest.mark.parametrize("said", [replace(CLAIM, counter=-1), replace(CLAIM, ttl_s=1 << 16)])
def test_a_claim_that_does_not_fit_is_refused_with_a_reason(said: LinkClaim) -> None:
    with pytest.raises(ValueError, match="does not fit a discovery frame"):
        build_discovery_frame(said, KEY)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="give it 16 or more"):
        build_discovery_frame(CLAIM, b"short")


# The table --------------------------------------------------------------------------------------------


def test_a_link_is_live_once_both_ends_have_heard_each_other() -> None:
    table, change = hear(LinkTable(), A, B, 100)
    assert not change
    assert table.links == frozenset()

    table, change = hear(table, B, A, 100)
    assert change == LinkChange(appeared=frozenset({LINK}))
    assert table.links == {LINK}


def test_a_replayed_frame_is_refused() -> None:
    table = joined()
    again, change = table.seen(A, C, claim(100), 101)

    assert again == table
    assert not change


@pytest.mark.parametrize("at", [94, 106])
def test_a_frame_from_another_time_is_refused_even_by_a_table_that_knows_nothing(at: float) -> None:
    assert LinkTable().seen(A, B, claim(100), at) == (LinkTable(), LinkChange())


def test_a_ports_own_frame_makes_no_link() -> None:
    assert hear(LinkTable(), A, A, 100) == (LinkTable(), LinkChange())


def test_a_link_that_is_not_heard_any_more_goes() -> None:
    table, change = joined().expire(114.9)
    assert not change

    table, change = table.expire(115)
    assert change == LinkChange(gone=frozenset({LINK}))
    assert table.links == frozenset()


def test_a_link_that_is_heard_again_and_again_stays() -> None:
    table = joined()
    for at in range(105, 200, 5):
        table, first = hear(table, A, B, at)
        table, second = hear(table, B, A, at)
        table, third = table.expire(at)
        assert not any((first, second, third))
    assert table.links == {LINK}


def test_a_wire_that_breaks_one_way_is_no_link() -> None:
    table = joined()
    table, _ = hear(table, A, B, 110)
    table, change = table.expire(116)

    assert change.gone == {LINK}


def test_a_port_that_goes_down_takes_its_link_along_at_once() -> None:
    table, change = joined().lost(A)

    assert change == LinkChange(gone=frozenset({LINK}))
    assert table.lost(A) == (table, LinkChange())


def test_a_port_that_is_joined_to_another_leaves_the_first() -> None:
    table, _ = hear(joined(), C, A, 101)
    table, _ = hear(table, A, C, 101)

    assert table.links == {Link(A, C)}
