"""Matches as bytes: one canonical form, whatever way they were written."""

from __future__ import annotations

import pytest

from zonewall.errors import EncodingError
from zonewall.flows.wire_match import canonical_match, encode_match
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import Field, register

HIGH = register("high", 3, 16, 16)
LOW = register("low", 3, 0, 8)


def test_a_match_of_nothing_is_empty() -> None:
    assert encode_match(()) == b""


def test_a_whole_field_is_its_header_and_value() -> None:
    assert encode_match(((pf.IN_PORT, 7, None),)).hex() == "8000000400000007"


def test_fields_of_one_register_become_one_masked_field() -> None:
    assert (
        encode_match(((HIGH, 5, None), (LOW, 6, None))).hex()
        == "80010310" + "0000000000050006" + "00000000ffff00ff"
    )


def test_two_whole_registers_of_a_pair_need_no_mask() -> None:
    match = ((register("a", 0), 1, None), (register("b", 1), 2, None))
    assert encode_match(match).hex() == "80010008" + "0000000100000002"


def test_the_order_of_conditions_makes_no_difference() -> None:
    match = ((pf.ETH_TYPE, 0x800, None), (pf.IP_PROTO, 6, None), (pf.TCP_DST, 80, None), (HIGH, 1, None))
    assert encode_match(match) == encode_match(match[::-1])


def test_a_prerequisite_that_can_only_be_one_is_added() -> None:
    written_out = ((pf.ETH_TYPE, 0x86DD, None), (pf.IP_PROTO, 58, None), (pf.ICMPV6_TYPE, 135, None))
    assert encode_match(((pf.ICMPV6_TYPE, 135, None),)) == encode_match(written_out)


def test_a_port_without_a_family_is_refused() -> None:
    with pytest.raises(EncodingError, match=r"tcp_dst.*eth_type=0x800 or 0x86dd: say which"):
        encode_match(((pf.TCP_DST, 80, None),))


def test_a_field_beside_the_wrong_protocol_is_refused() -> None:
    with pytest.raises(EncodingError, match="tcp_dst cannot be matched with ip_proto=0x11"):
        encode_match(((pf.ETH_TYPE, 0x800, None), (pf.IP_PROTO, 17, None), (pf.TCP_DST, 80, None)))


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ((HIGH, 0x10000, None), "bits outside"),
        ((HIGH, 2, 1), "bits outside"),
        ((pf.IN_PORT, 1, 1), "only be matched whole"),
        ((pf.IN_PORT, 0x10000, None), "no OpenFlow port"),
        ((pf.CT_STATE, 0x100, None), "mean nothing"),
        ((Field("odd", "no_such", 0, 8, 8), 1, None), "no base field"),
        ((Field("far", "reg1", 30, 8, 32), 1, None), "not in reg1"),
    ],
)
def test_a_condition_that_cannot_be_is_refused(condition: tuple[Field, int, int | None], reason: str) -> None:
    with pytest.raises(EncodingError, match=reason):
        encode_match((condition,))


def test_an_arp_operation_of_more_than_8_bits_is_refused() -> None:
    with pytest.raises(EncodingError, match="arp_op: value 0x100 has bits that mean nothing"):
        encode_match(((pf.ETH_TYPE, 0x806, None), (pf.ARP_OP, 0x100, None)))


def test_bits_matched_twice_are_refused() -> None:
    with pytest.raises(EncodingError, match="twice"):
        encode_match(((HIGH, 5, None), (HIGH, 6, None)))


def test_the_local_port_has_one_form() -> None:
    assert encode_match(((pf.IN_PORT, 65534, None),)) == encode_match(((pf.IN_PORT, 0xFFFFFFFE, None),))


def test_fields_read_in_another_order_are_put_in_ours() -> None:
    match = encode_match(((pf.ETH_SRC, 1, None), (pf.ETH_TYPE, 0x800, None)))
    assert canonical_match(match[10:] + match[:10]) == match
    assert canonical_match(match) == match
    # What was in order is remembered, and what has other fields at the same length is not taken for it.
    assert canonical_match(match) is match
    assert canonical_match(match[10:] + match[:10]) == match


def test_a_match_cut_in_the_middle_of_a_field_is_refused() -> None:
    with pytest.raises(EncodingError, match="middle of a field"):
        canonical_match(encode_match(((pf.ETH_SRC, 1, None),))[:-1])
