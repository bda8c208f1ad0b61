"""Announcements are read strictly: a frame is one, is forged, or is nothing."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from zonewall.placement.announcement import Announcement, AnnouncementKind, Forged, parse_announcement
from zonewall.values.addresses import MacAddress, parse_mac

MAC = parse_mac("52:54:00:12:34:56")
OTHER = parse_mac("52:54:00:aa:bb:cc")
BROADCAST = b"\xff" * 6


def octets(mac: MacAddress) -> bytes:
    return mac.to_bytes(6, "big")


def arp(
    ethertype: int = 0x0806,
    *,
    operation: int = 1,
    sender: MacAddress = MAC,
    inner: MacAddress = MAC,
    spa: str = "10.0.0.10",
    tpa: str = "10.0.0.10",
    header: tuple[int, int, int, int] = (1, 0x0800, 6, 4),
) -> bytes:
    body = struct.pack("!HHBBH", *header, operation)
    body += octets(inner) + ipaddress.IPv4Address(spa).packed + bytes(6) + ipaddress.IPv4Address(tpa).packed
    return BROADCAST + octets(sender) + ethertype.to_bytes(2, "big") + body


def advertisement(
    *,
    flags: int = 0x20,
    destination: str = "ff02::1",
    source: str = "fd10::10",
    target: str = "fd10::10",
    hop_limit: int = 255,
    options: bytes = b"\x02\x01" + octets(MAC),
    checksum_error: int = 0,
    code: int = 0,
) -> bytes:
    message = struct.pack("!BBHBxxx", 136, code, 0, flags) + ipaddress.IPv6Address(target).packed + options
    addresses = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(destination).packed
    data = addresses + struct.pack("!II", len(message), 58) + message
    data += b"\x00" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    checksum = int(~total & 0xFFFF) ^ checksum_error
    message = message[:2] + checksum.to_bytes(2, "big") + message[4:]
    ip = struct.pack("!IHBB", 6 << 28, len(message), 58, hop_limit) + addresses
    return bytes.fromhex("333300000001") + octets(MAC) + b"\x86\xdd" + ip + message


@pytest.mark.parametrize("operation", [0, 1, 3, 4, 0xFFFF])
def test_a_rarp_counts_whatever_its_operation(operation: int) -> None:
    frame = arp(0x8035, operation=operation, spa="0.0.0.0", tpa="0.0.0.0")

    assert parse_announcement(frame) == Announcement(AnnouncementKind.RARP, MAC, None)


@pytest.mark.parametrize("operation", [1, 2])
def test_an_arp_for_its_own_address_is_gratuitous(operation: int) -> None:
    expected = Announcement(AnnouncementKind.GARP, MAC, ipaddress.ip_address("10.0.0.10"))

    assert parse_announcement(arp(operation=operation)) == expected


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(arp(tpa="10.0.0.11"), id="a question for somebody else"),
        pytest.param(arp(operation=3), id="an operation that ARP has not"),
        pytest.param(arp(spa="0.0.0.0", tpa="0.0.0.0"), id="no address at all"),
        pytest.param(arp(spa="224.0.0.1", tpa="224.0.0.1"), id="a multicast address"),
        pytest.param(arp(spa="127.0.0.1", tpa="127.0.0.1"), id="a loopback address"),
        pytest.param(arp(header=(6, 0x0800, 6, 4)), id="another hardware type"),
        pytest.param(arp(header=(1, 0x0800, 8, 4)), id="another hardware length"),
        pytest.param(arp(0x0800), id="an IPv4 packet"),
        pytest.param(arp(sender=parse_mac("01:00:5e:00:00:01")), id="a multicast sender"),
        pytest.param(b"", id="nothing"),
        pytest.param(arp() + bytes(10000), id="longer than any frame"),
    ],
)
def test_an_arp_that_announces_nothing_is_ignored(frame: bytes) -> None:
    assert parse_announcement(frame) is None


@pytest.mark.parametrize(
    ("ethertype", "kind"), [(0x8035, AnnouncementKind.RARP), (0x0806, AnnouncementKind.GARP)]
)
def test_a_hardware_address_that_is_not_the_senders_is_forged(ethertype: int, kind: AnnouncementKind) -> None:
    frame = arp(ethertype, sender=OTHER, inner=MAC)

    assert parse_announcement(frame) == Forged(kind, OTHER, MAC)


def test_an_advertisement_to_all_nodes_counts() -> None:
    expected = Announcement(AnnouncementKind.NA, MAC, ipaddress.ip_address("fd10::10"))

    assert parse_announcement(advertisement()) == expected
    assert parse_announcement(advertisement(flags=0)) == expected
    assert parse_announcement(advertisement(destination="fd10::1")) == expected


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(advertisement(flags=0x60), id="an answer to a solicitation"),
        pytest.param(advertisement(flags=0, destination="fd10::1"), id="to one neighbour and not overriding"),
        pytest.param(advertisement(hop_limit=254), id="routed"),
        pytest.param(advertisement(code=1), id="a code that it has not"),
        pytest.param(advertisement(checksum_error=1), id="a wrong checksum"),
        pytest.param(advertisement(target="ff02::2"), id="a multicast target"),
        pytest.param(advertisement(source="::"), id="no source"),
        pytest.param(advertisement(options=b""), id="no link-layer address"),
        pytest.param(advertisement(options=b"\x02\x00" + octets(MAC)), id="an option of no length"),
        pytest.param(advertisement(options=b"\x02\x02" + octets(MAC)), id="an option past the end"),
        pytest.param(advertisement(options=(b"\x02\x01" + octets(MAC)) * 2), id="two link-layer addresses"),
        pytest.param(advertisement()[:-1], id="cut short"),
    ],
)
def test_an_advertisement_that_announces_nothing_is_ignored(frame: bytes) -> None:
    assert parse_announcement(frame) is None


def test_an_advertisement_of_anothers_link_layer_address_is_forged() -> None:
    frame = advertisement(options=b"\x02\x01" + octets(OTHER))

    assert parse_announcement(frame) == Forged(AnnouncementKind.NA, MAC, OTHER)


@pytest.mark.parametrize("frame", [arp(0x8035), arp(), advertisement()], ids=["rarp", "garp", "na"])
def test_no_prefix_of_an_announcement_is_one(frame: bytes) -> None:
    assert parse_announcement(frame) is not None
    assert [parse_announcement(frame[:length]) for length in range(len(frame))] == [None] * len(frame)
