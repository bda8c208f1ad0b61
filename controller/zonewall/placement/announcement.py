"""Read the frames by which a virtual machine says "I am here now"; every byte of them is hostile.

Three kinds count: RARP as QEMU sends it after a migration (net/announce.c; RFC 903), gratuitous ARP
(RFC 5227, 2.3) and unsolicited neighbour advertisements (RFC 4861, 7.2.6).
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from enum import Enum

from zonewall.values.addresses import IpAddress, MacAddress, is_group_mac, is_host_address

_ETHERTYPE_ARP = 0x0806
_ETHERTYPE_RARP = 0x8035
_ETHERTYPE_IPV6 = 0x86DD
_ETHERNET_BYTES = 14
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ARP_ETHERNET_IPV4 = (1, 0x0800, 6, 4)
_ARP_OPERATIONS = frozenset({1, 2})
_IPV6_BYTES = 40
_ICMPV6 = 58
_NEIGHBOUR_ADVERTISEMENT = 136
_NA_BYTES = 24
_NA_SOLICITED = 0x40
_NA_OVERRIDE = 0x20
_OPTION_TARGET_LINK_LAYER = 2
_ALL_NODES = ipaddress.IPv6Address("ff02::1")
_SHORTEST_FRAME = 60
_LONGEST_FRAME = 9216


class AnnouncementKind(Enum):
    """How an endpoint announced itself."""

    RARP = "rarp"
    GARP = "garp"
    NA = "na"


@dataclass(frozen=True, slots=True)
class Announcement:
    """A well-formed announcement; whose it is, and whether that is true, is not decided here.

    Attributes:
        mac: the Ethernet source, equal to the address inside.
        ip: the address it claims; None for a RARP that carries none.
    """

    kind: AnnouncementKind
    mac: MacAddress
    ip: IpAddress | None


@dataclass(frozen=True, slots=True)
class Forged:
    """An announcement for one MAC, sent from another.

    Attributes:
        sender: the Ethernet source.
        claimed: the hardware address inside.
    """

    kind: AnnouncementKind
    sender: MacAddress
    claimed: MacAddress


def parse_announcement(frame: bytes) -> Announcement | Forged | None:
    """Return what an untagged Ethernet frame announces; None where it is no announcement or malformed.

    Never raises, and reads no more than the frame's headers; padding after them is ignored.
    """
    if not _ETHERNET_BYTES <= len(frame) <= _LONGEST_FRAME:
        return None
    sender = MacAddress(int.from_bytes(frame[6:12], "big"))
    if sender == 0 or is_group_mac(sender):
        return None
    ethertype = int.from_bytes(frame[12:14], "big")
    payload = frame[_ETHERNET_BYTES:]
    if ethertype == _ETHERTYPE_RARP:
        return _read_arp(AnnouncementKind.RARP, sender, payload)
    if ethertype == _ETHERTYPE_ARP:
        return _read_arp(AnnouncementKind.GARP, sender, payload)
    if ethertype == _ETHERTYPE_IPV6:
        return _read_advertisement(sender, payload)
    return None


def build_rarp(mac: MacAddress) -> bytes:
    """Return the frame that tells where a MAC is now, as QEMU sends it (net/announce.c)."""
    address = mac.to_bytes(6, "big")
    body = _ARP.pack(*_ARP_ETHERNET_IPV4, 3, address, bytes(4), address, bytes(4))
    return (b"\xff" * 6 + address + _ETHERTYPE_RARP.to_bytes(2, "big") + body).ljust(_SHORTEST_FRAME, b"\0")


def _read_arp(kind: AnnouncementKind, sender: MacAddress, payload: bytes) -> Announcement | Forged | None:
    """Return what an ARP or RARP body says; a RARP's operation is free (QEMU writes 3, OVN's test 1)."""
    if len(payload) < _ARP.size:
        return None
    *header, operation, hardware, source, _, target = _ARP.unpack_from(payload)
    if tuple(header) != _ARP_ETHERNET_IPV4:
        return None
    address = ipaddress.IPv4Address(source)
    if kind is AnnouncementKind.GARP and (operation not in _ARP_OPERATIONS or source != target):
        return None
    claimed = MacAddress(int.from_bytes(hardware, "big"))
    if claimed != sender:
        return Forged(kind, sender, claimed)
    if address.is_unspecified:
        return Announcement(kind, sender, None) if kind is AnnouncementKind.RARP else None
    return Announcement(kind, sender, address) if is_host_address(address) else None


def _read_advertisement(sender: MacAddress, packet: bytes) -> Announcement | Forged | None:
    """Return what an unsolicited neighbour advertisement says (checks of RFC 4861, 7.1.2)."""
    message = _advertisement_message(packet)
    if message is None:
        return None
    flags = message[4]
    destination = ipaddress.IPv6Address(packet[24:40])
    if flags & _NA_SOLICITED or not (destination == _ALL_NODES or flags & _NA_OVERRIDE):
        return None
    target = ipaddress.IPv6Address(message[8:24])
    claimed = _target_link_layer(message[_NA_BYTES:])
    if claimed is None or not is_host_address(target):
        return None
    if claimed != sender:
        return Forged(AnnouncementKind.NA, sender, claimed)
    return Announcement(AnnouncementKind.NA, sender, target)


def _advertisement_message(packet: bytes) -> bytes | None:
    """Return the ICMPv6 message of a valid advertisement: from the link, whole, checksum right."""
    if len(packet) < _IPV6_BYTES + _NA_BYTES or packet[0] >> 4 != 6:
        return None
    length, next_header, hop_limit = struct.unpack_from("!HBB", packet, 4)
    if next_header != _ICMPV6 or hop_limit != 255 or length < _NA_BYTES:
        return None
    message = packet[_IPV6_BYTES : _IPV6_BYTES + length]
    if len(message) != length or message[0] != _NEIGHBOUR_ADVERTISEMENT or message[1] != 0:
        return None
    if not is_host_address(ipaddress.IPv6Address(packet[8:24])):
        return None
    pseudo_header = packet[8:40] + struct.pack("!II", length, _ICMPV6)
    return message if _ones_complement_sum(pseudo_header + message) == 0xFFFF else None


def _target_link_layer(options: bytes) -> MacAddress | None:
    """Return the target link-layer address; None where it is missing or any option is malformed."""
    found: MacAddress | None = None
    while options:
        if len(options) < 8 or options[1] == 0 or options[1] * 8 > len(options):
            return None
        if options[0] == _OPTION_TARGET_LINK_LAYER:
            if options[1] != 1 or found is not None:
                return None
            found = MacAddress(int.from_bytes(options[2:8], "big"))
        options = options[options[1] * 8 :]
    return found


def _ones_complement_sum(data: bytes) -> int:
    """Return the folded 16-bit sum of RFC 1071; 0xffff over data with a right checksum in it."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1]))
    if len(data) & 1:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
