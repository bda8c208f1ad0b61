"""The ends of a frame, whatever is in it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from zonewall.flows.packet_ends import PacketEnds, packet_ends

MACS = bytes(12)
TCP4 = bytes([0x45, *bytes(8), 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x9C, 0x40, 0x15, 0x38])
WITH_OPTIONS = bytes([0x46, *TCP4[1:20], 1, 1, 1, 0, *TCP4[20:]])
UDP6 = bytes([0x60, *bytes(5), 17, 64, 0xFD, *bytes(14), 1, 0xFD, *bytes(14), 2, 0, 53, 0, 99])
V4 = PacketEnds(6, ip_address("10.0.0.1"), ip_address("10.0.0.2"), 40000, 5432)


def test_both_families_show_their_ports() -> None:
    v6 = PacketEnds(17, ip_address("fd00::1"), ip_address("fd00::2"), 53, 99)

    assert packet_ends(MACS + b"\x08\0" + TCP4) == V4
    assert packet_ends(MACS + b"\x08\0" + WITH_OPTIONS) == V4
    assert packet_ends(MACS + b"\x86\xdd" + UDP6) == v6


def test_an_answer_has_its_ends_changed_over() -> None:
    assert V4.turned() == PacketEnds(6, V4.destination, V4.source, 5432, 40000)
    assert V4.turned().turned() == V4


def test_what_is_cut_off_or_has_no_ports_shows_none() -> None:
    assert packet_ends(MACS + b"\x08\0" + TCP4[:20]) == PacketEnds(6, V4.source, V4.destination)
    icmp = TCP4[:9] + b"\x01" + TCP4[10:]
    assert packet_ends(MACS + b"\x08\0" + icmp) == PacketEnds(1, V4.source, V4.destination)


def test_a_first_fragment_shows_its_ports_a_later_one_none() -> None:
    udp6 = PacketEnds(17, ip_address("fd00::1"), ip_address("fd00::2"), 53, 99)
    for at, is_first in ((0, True), (175, False)):
        more4 = TCP4[:6] + (0x2000 | at).to_bytes(2, "big") + TCP4[8:]
        more6 = (
            UDP6[:6]
            + b"\x2c"
            + UDP6[7:40]
            + b"\x11\0"
            + (at << 3 | 1).to_bytes(2, "big")
            + bytes(4)
            + UDP6[40:]
        )
        for word, frame, whole in ((b"\x08\0", more4, V4), (b"\x86\xdd", more6, udp6)):
            found = packet_ends(MACS + word + frame)
            assert found == (whole if is_first else replace(whole, sport=None, dport=None))


@given(st.binary(max_size=80), st.sampled_from([b"\x08\0", b"\x86\xdd", b"\x08\x06", b"\x81\0", b""]))
def test_no_frame_is_too_strange(rest: bytes, ethertype: bytes) -> None:
    found = packet_ends(MACS + ethertype + rest)

    assert found is None or (found.sport is None) == (found.dport is None)
