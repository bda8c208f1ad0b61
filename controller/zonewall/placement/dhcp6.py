"""Read what a DHCPv6 server grants and what a client gives up (RFC 8415); every byte of it is hostile.

Unlike DHCPv4 (which says the client's MAC inside) an answer names no more than a DUID: it is for whom it is
delivered to, by its Ethernet destination.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator

from zonewall.placement.dhcp import Grant
from zonewall.values.addresses import IpAddress, MacAddress, is_group_mac, is_host_address, link_local_address

_HEADER_BYTES = 14 + 40 + 8
_IPV6, _UDP = 0x86DD, 17
_CLIENT, _SERVER = 546, 547
_REPLY, _RELEASE, _DECLINE = 7, 8, 9
_CLIENT_ID, _SERVER_ID, _STATUS = 1, 2, 13
_IDENTITY_ASSOCIATIONS = {3: 12, 4: 4}
"""IA_NA and IA_TA, and the bytes before their options; IA_PD delegates prefixes and grants nothing here."""
_ADDRESS = 5
_FOREVER = 0xFFFFFFFF

Options = list[tuple[int, bytes]]


def parse_grants_6(frame: bytes) -> tuple[Grant, ...]:
    """Return the addresses that an untagged Ethernet frame grants; none where it is no whole, good Reply.

    A lease of 0 s takes an address away; one without end is None.
    """
    datagram = _datagram(frame)
    if datagram is None:
        return ()
    mac, destination, ports, message = datagram
    if ports != (_SERVER, _CLIENT) or message[0] != _REPLY or is_group_mac(mac) or not mac:
        return ()
    if destination.is_multicast or (destination.is_link_local and destination != link_local_address(mac)):
        return ()
    leases = dict(_leases(message, is_answer=True))
    return tuple(Grant(mac, address, lease) for address, lease in leases.items())


def parse_given_up(frame: bytes) -> tuple[IpAddress, ...]:
    """Return the addresses that a client's Release or Decline gives up; none where it is neither."""
    datagram = _datagram(frame)
    if datagram is None or datagram[2][1] != _SERVER or datagram[3][0] not in (_RELEASE, _DECLINE):
        return ()
    return tuple(dict(_leases(datagram[3], is_answer=False)))


def _datagram(frame: bytes) -> tuple[MacAddress, ipaddress.IPv6Address, tuple[int, int], bytes] | None:
    """Return who a whole UDP datagram is for, its ports and what it carries: a message with its head."""
    if len(frame) < _HEADER_BYTES + 4 or int.from_bytes(frame[12:14], "big") != _IPV6:
        return None
    packet = frame[14:]
    length, following = struct.unpack_from("!HB", packet, 4)
    source, destination, size = struct.unpack_from("!HHH", packet, 40)
    if packet[0] >> 4 != 6 or following != _UDP or length > len(packet) - 40 or not 12 <= size <= length:
        return None
    mac = MacAddress(int.from_bytes(frame[:6], "big"))
    return mac, ipaddress.IPv6Address(packet[24:40]), (source, destination), packet[48 : 40 + size]


def _leases(message: bytes, *, is_answer: bool) -> Iterator[tuple[IpAddress, int | None]]:
    """Yield addresses and for how many seconds they are granted; none where the message is malformed."""
    options = _options(message[4:])
    if options is None or not _is_fine(options) or not _says_who(options):
        return
    for kind, body in options:
        if kind not in _IDENTITY_ASSOCIATIONS:
            continue
        inner = _options(body[_IDENTITY_ASSOCIATIONS[kind] :])
        if inner is None or len(body) < _IDENTITY_ASSOCIATIONS[kind] or not _is_fine(inner):
            continue
        if kind == 3 and is_answer and not _renews_in_order(body):
            continue
        yield from _granted(inner)


def _granted(options: Options) -> Iterator[tuple[IpAddress, int | None]]:
    for kind, body in options:
        if kind != _ADDRESS or len(body) < 24:
            continue
        address = ipaddress.IPv6Address(body[:16])
        preferred, valid = struct.unpack_from("!II", body, 16)
        inner = _options(body[24:])
        if inner is None or not _is_fine(inner) or preferred > valid or not _is_lendable(address):
            continue
        yield address, None if valid == _FOREVER else valid


def _options(data: bytes) -> Options | None:
    """Return the options in their order; None where one is cut short."""
    found: Options = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            return None
        kind, length = struct.unpack_from("!HH", data, at)
        if at + 4 + length > len(data):
            return None
        found.append((kind, data[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def _is_fine(options: Iterable[tuple[int, bytes]]) -> bool:
    """Say whether no status among the options is other than success (section 21.13)."""
    return all(body[:2] == b"\x00\x00" for kind, body in options if kind == _STATUS)


def _says_who(options: Options) -> bool:
    """Say whether it names its client and its server, each once (section 16)."""
    kinds = [kind for kind, body in options if body]
    return kinds.count(_CLIENT_ID) == kinds.count(_SERVER_ID) == 1


def _renews_in_order(body: bytes) -> bool:
    """Say whether T1 is not after T2, where both are said (section 21.4: else discard)."""
    first, second = struct.unpack_from("!II", body, 4)
    return not (first > second > 0)


def _is_lendable(address: ipaddress.IPv6Address) -> bool:
    return is_host_address(address) and not address.is_link_local and address.ipv4_mapped is None
