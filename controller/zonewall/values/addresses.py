"""Addresses as values: MAC addresses as integers, IP prefixes from the standard library."""

from __future__ import annotations

import ipaddress
import re
from typing import NewType

MacAddress = NewType("MacAddress", int)
"""48 bits, big end first."""

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpPrefix = ipaddress.IPv4Network | ipaddress.IPv6Network

BROADCAST = MacAddress(0xFFFFFFFFFFFF)

_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


def parse_mac(text: str) -> MacAddress:
    """Return the address written as six colon-separated octets.

    Raises:
        ValueError: it is not written so.
    """
    if not _MAC.fullmatch(text):
        raise ValueError(f"{text!r} is no MAC address; write it as 52:54:00:12:34:56")
    return MacAddress(int(text.replace(":", ""), 16))


def format_mac(mac: int) -> str:
    """Return the lower-case colon-separated form."""
    return ":".join(f"{octet:02x}" for octet in mac.to_bytes(6, "big"))


def is_group_mac(mac: int) -> bool:
    """Say whether the address is multicast or broadcast (IEEE 802.3, I/G bit)."""
    return bool(mac >> 40 & 1)


def host_prefix(address: IpAddress) -> IpPrefix:
    """Return the prefix that holds exactly this address."""
    # From its number: an address would be written out and read again.
    if address.version == 4:
        return ipaddress.IPv4Network((int(address), 32))
    return ipaddress.IPv6Network((int(address), 128))


def is_host_address(address: IpAddress) -> bool:
    """Say whether one host may have the address: it is no group's, not unspecified and not loopback's."""
    return not (
        address.is_multicast
        or address.is_unspecified
        or address.is_loopback
        or address == ipaddress.IPv4Address("255.255.255.255")
    )


def link_local_address(mac: int) -> ipaddress.IPv6Address:
    """Return the link-local address that is made of a MAC (RFC 4291, appendix A)."""
    high, low = mac >> 24, mac & 0xFFFFFF
    return ipaddress.IPv6Address(0xFE80 << 112 | (high ^ 0x020000) << 40 | 0xFFFE << 24 | low)
