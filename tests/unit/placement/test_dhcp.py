"""What a DHCP server grants, read from its frames: only a whole, proper acknowledgement counts."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zonewall.placement.dhcp import Grant, parse_grant
from zonewall.values.addresses import MacAddress

MAC = 0x525400000001


def ack(
    *,
    kind: int = 5,
    address: str = "10.0.0.9",
    operation: int = 2,
    lease: int | None = 3600,
    ports: tuple[int, int] = (67, 68),
    protocol: int = 17,
    fragment: int = 0,
    cookie: bytes = b"\x63\x82\x53\x63",
    hardware: tuple[int, int] = (1, 6),
    mac: int = MAC,
) -> bytes:
    options = bytes([53, 1, kind]) + (b"" if lease is None else b"\x33\x04" + lease.to_bytes(4, "big"))
    message = struct.pack("!BBBBIHH", operation, *hardware, 0, 7, 0, 0)
    message += bytes(4) + ipaddress.IPv4Address(address).packed + bytes(8)
    message += mac.to_bytes(6, "big") + bytes(10 + 192) + cookie + b"\x00" + options + b"\xff"
    udp = struct.pack("!HHHH", *ports, 8 + len(message), 0) + message
    ip = struct.pack(
        "!BBHHHBBHII", 0x45, 0, 20 + len(udp), 1, fragment, 64, protocol, 0, 0x0A000002, 0xFFFFFFFF
    )
    return b"\xff" * 6 + bytes.fromhex("525400000002") + b"\x08\x00" + ip + udp


def test_an_acknowledgement_grants_an_address_to_a_client_for_a_time() -> None:
    granted = Grant(MacAddress(MAC), ipaddress.IPv4Address("10.0.0.9"), 3600)
    assert parse_grant(ack()) == granted
    assert parse_grant(ack() + bytes(20)) == granted
    assert parse_grant(ack(lease=None)) == Grant(granted.mac, granted.address, None)


@pytest.mark.parametrize(
    "frame",
    [
        ack(kind=2),
        ack(kind=6),
        ack(operation=1),
        ack(address="0.0.0.0"),
        ack(address="224.0.0.1"),
        ack(address="255.255.255.255"),
        ack(ports=(68, 67)),
        ack(protocol=6),
        ack(fragment=0x2000),
        ack(cookie=b"abcd"),
        ack(hardware=(6, 8)),
        ack(mac=0),
        ack(mac=0x0100_5E00_0001),
        ack()[:290],
        b"",
    ],
)
def test_anything_else_grants_nothing(frame: bytes) -> None:
    assert parse_grant(frame) is None


@given(st.binary(max_size=700), st.integers(0, 300))
@settings(max_examples=200)
def test_no_bytes_whatever_break_the_reader(noise: bytes, at: int) -> None:
    parse_grant(noise)
    parse_grant(ack()[:at] + noise)
