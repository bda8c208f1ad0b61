"""Read what a DHCP server grants (RFC 2131); every byte of it is hostile."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from zonewall.values.addresses import IpAddress, MacAddress, is_group_mac, is_host_address

_ETHERNET_BYTES = 14
_IPV4 = 0x0800
_UDP = 17
_SERVER, _CLIENT = 67, 68
_FIXED_BYTES = 240
_REPLY = 2
_ETHERNET_HARDWARE = (1, 6)
_COOKIE = b"\x63\x82\x53\x63"
_PAD, _END = 0, 255
_LEASE_TIME, _MESSAGE_TYPE = 51, 53
_ACK = 5
_FRAGMENT = 0x3FFF


@dataclass(frozen=True, slots=True)
class Grant:
    """An address that a server acknowledges to a client.

    Attributes:
        lease_s: for how long; None where the server does not say, 0 where it takes the address away.
    """

    mac: MacAddress
    address: IpAddress
    lease_s: int | None


def parse_grant(frame: bytes) -> Grant | None:
    """Return what an untagged Ethernet frame grants; None where it is no DHCPACK with an address."""
    message = _udp_payload(frame)
    if message is None or len(message) < _FIXED_BYTES:
        return None
    operation, hardware, length = message[0], message[1], message[2]
    if operation != _REPLY or (hardware, length) != _ETHERNET_HARDWARE or message[236:240] != _COOKIE:
        return None
    options = _options(message[_FIXED_BYTES:])
    if options.get(_MESSAGE_TYPE) != bytes([_ACK]):
        return None
    mac = MacAddress(int.from_bytes(message[28:34], "big"))
    address = ipaddress.IPv4Address(message[16:20])
    if mac == 0 or is_group_mac(mac) or not is_host_address(address):
        return None
    lease = options.get(_LEASE_TIME, b"")
    return Grant(mac, address, int.from_bytes(lease, "big") if len(lease) == 4 else None)


def _udp_payload(frame: bytes) -> bytes | None:
    """Return what a whole UDP datagram from a server's to a client's port carries."""
    if len(frame) < _ETHERNET_BYTES + 20 or int.from_bytes(frame[12:14], "big") != _IPV4:
        return None
    packet = frame[_ETHERNET_BYTES:]
    header = (packet[0] & 0xF) * 4
    total, fragment = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[6:8], "big")
    if packet[0] >> 4 != 4 or header < 20 or packet[9] != _UDP or fragment & _FRAGMENT:
        return None
    if total > len(packet) or total < header + 8:
        return None
    source, destination, length = struct.unpack_from("!HHH", packet, header)
    if (source, destination) != (_SERVER, _CLIENT) or not 8 <= length <= total - header:
        return None
    return packet[header + 8 : header + length]


def _options(data: bytes) -> dict[int, bytes]:
    """Return the options by number, up to the first that is cut short; a repeated one is the first."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != _END:
        if data[at] == _PAD:
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            break
        found.setdefault(data[at], data[at + 2 : at + 2 + data[at + 1]])
        at += 2 + data[at + 1]
    return found
