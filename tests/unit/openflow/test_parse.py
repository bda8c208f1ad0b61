"""What a hostile bridge may send: every length is checked, and only one kind of error comes out."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.openflow import parse
from zonewall.openflow.errors import Malformed
from zonewall.openflow.events import Port
from zonewall.openflow.fingerprint import Fingerprinter

READERS: tuple[Callable[[bytes], object], ...] = (
    parse.parse_error,
    parse.parse_features,
    parse.parse_multipart,
    lambda body: parse.parse_hello(6, body),
    lambda body: parse.parse_port_status(1, body),
    lambda body: parse.parse_flow_removed(1, body),
    lambda body: parse.parse_request_forward(1, body),
    lambda body: parse.parse_packet_in(1, body),
)


def fingerprinted(body: bytes) -> Iterable[object]:
    Fingerprinter().take(body)
    return ()


def flows_taken(body: bytes) -> Iterable[object]:
    flows: dict[FlowKey, EncodedFlow] = {}
    count = parse.take_flows(body, flows)
    assert len(flows) <= count  # the same flow may come twice
    return flows


PART_READERS: tuple[Callable[[bytes], Iterable[object]], ...] = (
    flows_taken,
    parse.parse_groups,
    parse.parse_meters,
    parse.parse_ports,
    parse.parse_table_counts,
    fingerprinted,
)


@given(st.binary(max_size=300), st.sampled_from(READERS))
def test_any_bytes_are_read_or_called_malformed(body: bytes, read: Callable[[bytes], object]) -> None:
    with contextlib.suppress(Malformed):
        read(body)


@given(st.binary(max_size=300), st.sampled_from(PART_READERS))
def test_any_part_is_read_or_called_malformed(body: bytes, read: Callable[[bytes], Iterable[object]]) -> None:
    with contextlib.suppress(Malformed):
        list(read(body))


@given(st.integers(32, 120), st.binary(min_size=118, max_size=118), st.sampled_from(PART_READERS))
def test_an_entry_of_the_right_length_and_any_content_is_read_or_called_malformed(
    length: int, content: bytes, read: Callable[[bytes], Iterable[object]]
) -> None:
    with contextlib.suppress(Malformed):
        list(read((struct.pack("!H", length) + content)[:length]))


def test_an_entry_of_no_length_does_not_go_on_for_ever() -> None:
    with pytest.raises(Malformed, match="flow of 0 bytes"):
        parse.take_flows(bytes(64), {})
    with pytest.raises(Malformed):
        Fingerprinter().take(bytes(64))


def test_a_message_shorter_than_its_header_is_malformed() -> None:
    with pytest.raises(Malformed, match="7 bytes long"):
        parse.parse_header(struct.pack("!BBHI", 6, 0, 7, 1))


def test_a_hello_without_a_bitmap_offers_all_versions_up_to_its_own() -> None:
    assert parse.parse_hello(4, b"") == {1, 2, 3, 4}


def test_a_hello_with_a_bitmap_offers_what_is_in_it() -> None:
    assert parse.parse_hello(6, struct.pack("!HHI", 1, 8, 1 << 1 | 1 << 6)) == {1, 6}


def test_a_port_that_is_set_down_is_not_up() -> None:
    port = struct.pack("!IHxx6sxx16sII", 5, 40, b"\0\0\0\0\0\7", b"tap0", 1, 0)
    assert list(parse.parse_ports(port)) == [Port(5, "tap0", 7, False)]


def test_a_port_name_that_is_no_text_is_written_out() -> None:
    port = struct.pack("!IHxx6sxx16sII", 5, 40, bytes(6), b"\xff\nx", 0, 0)
    assert next(iter(parse.parse_ports(port))).name == "\\xff\\x0ax"


def test_a_frame_keeps_one_value_of_each_register_however_many_it_is_sent_with() -> None:
    """A thousand frames of a bridge may wait: each that is kept must be as small as what it was sent in."""
    fields = b"".join(struct.pack("!HBBI", 1, 3 << 1, 4, value) for value in range(1, 8_001))
    fields += struct.pack("!HBB", 0x8001, 2 << 1, 32) + bytes([255] * 32)
    metadata = struct.pack("!HH", 6, 4 + len(fields)) + fields
    frame = parse.parse_packet_in(1, metadata)
    assert frame.registers == ((3, 8_000), (4, 0xFFFFFFFF), (5, 0xFFFFFFFF))
