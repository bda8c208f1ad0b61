"""Rows that count connections are read back from the bytes that a bridge tells of them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from zonewall.flows.connection_rows import ConnectionRow, is_put, read_row
from zonewall.flows.encoded import EncodedFlow
from zonewall.flows.wire_match import encode_match
from zonewall.pipeline.cookie import Category, cookie
from zonewall.pipeline.model import Condition
from zonewall.pipeline.packet_fields import (
    ETH_TYPE,
    IP_PROTO,
    IPV4_DST,
    IPV4_SRC,
    IPV6_DST,
    IPV6_SRC,
    TCP_DST,
    TCP_SRC,
    UDP_DST,
    UDP_SRC,
)
from zonewall.pipeline.registers import DST_IDENTITY, RULE, SRC_IDENTITY
from zonewall.pipeline.tables import LOG_ROWS

NUMBERS: tuple[Condition, ...] = ((RULE, 7, None), (SRC_IDENTITY, 0x80000003, None), (DST_IDENTITY, 4, None))
V4: tuple[Condition, ...] = ((IPV4_SRC, 0x0A000001, None), (IPV4_DST, 0x0A000002, None))
V6: tuple[Condition, ...] = ((IPV6_SRC, 0xFD << 120 | 1, None), (IPV6_DST, 0xFD << 120 | 2, None))

AS_MADE = bytes.fromhex("000400180000000000190010000119082000000020000000")
AS_MADE_OF_TCP = bytes.fromhex(
    "0004002800000000" + "ffff0010000023200013000200000000" + "00190010000119082000000020000000"
)  # fmt: skip
OUT_OF_A_PORT = bytes.fromhex("00040028000000000000001000000001ffff000000000000" + AS_MADE[8:].hex())


@pytest.mark.parametrize(
    ("table", "instructions", "is_row"),
    [
        (LOG_ROWS.number, AS_MADE, True),
        (LOG_ROWS.number, AS_MADE_OF_TCP, True),
        (LOG_ROWS.number, OUT_OF_A_PORT, False),
        (LOG_ROWS.number, b"", False),
        (0, AS_MADE, False),
    ],
)
def test_a_row_is_what_a_bridge_makes_as_it_makes_it(table: int, instructions: bytes, is_row: bool) -> None:
    """Whatever else has a row's cookie was put by somebody; the bytes are Open vSwitch's."""
    flow = EncodedFlow(table, 1, b"", instructions, cookie(Category.CONNECTION, 1))
    assert is_put(flow) is not is_row
    assert not is_put(flow._replace(cookie=0x77))


@pytest.mark.parametrize(
    ("match", "protocol", "source", "ports"),
    [
        ((*V4, (IP_PROTO, 6, None), (TCP_SRC, 40000, None), (TCP_DST, 80, None)), 6, "10.0.0.1", (40000, 80)),
        ((*V6, (IP_PROTO, 17, None), (UDP_SRC, 5353, None), (UDP_DST, 53, None)), 17, "fd00::1", (5353, 53)),
        ((*V4, (IP_PROTO, 1, None)), 1, "10.0.0.1", (None, None)),
        ((*V6, (IP_PROTO, 58, None)), 58, "fd00::1", (None, None)),
    ],
)
def test_a_row_says_who_speaks_with_whom_under_which_rule(
    match: tuple[Condition, ...], protocol: int, source: str, ports: tuple[int | None, int | None]
) -> None:
    one = ip_address(source)
    found = read_row(encode_match((*match, *NUMBERS)))
    assert found == ConnectionRow(protocol, one, one + 1, *ports, 7, 0x80000003, 4)


@pytest.mark.parametrize(
    "match",
    [b"", encode_match(((ETH_TYPE, 0x0800, None),)), encode_match((*V4, *NUMBERS, (ETH_TYPE, 0x0800, None)))],
)
def test_what_is_about_no_connection_is_none(match: bytes) -> None:
    assert read_row(match) is None
    assert read_row(match[:-1]) is None
