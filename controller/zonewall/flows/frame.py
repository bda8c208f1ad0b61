"""A simulated packet as the bytes of a frame, for a switch that is asked what it would do with it."""

from __future__ import annotations

import ipaddress
import struct

from zonewall.flows.refusal import checksum
from zonewall.flows.simulate.packet import Packet
from zonewall.flows.simulate.slots import SLOT
from zonewall.values.services import Protocol

_IPV4, _IPV6 = 0x0800, 0x86DD
_TTL = 64


def frame_of(packet: Packet) -> bytes:
    """Return the frame of an IP packet, tags included; checksums of transports are left 0."""
    tags = [tag for tag in (packet["vlan_tci"], packet.values[SLOT["inner_tci"]]) if tag]
    ethernet = packet["eth_dst"].to_bytes(6, "big") + packet["eth_src"].to_bytes(6, "big")
    ethernet += b"".join(struct.pack("!HH", 0x8100, tag & 0xEFFF) for tag in tags)
    protocol = packet["ip_proto"]
    body = _transport(packet, protocol)
    if packet["eth_type"] == _IPV6:
        addresses = packet["ipv6_src"].to_bytes(16, "big") + packet["ipv6_dst"].to_bytes(16, "big")
        return ethernet + struct.pack("!HIHBB", _IPV6, 6 << 28, len(body), protocol, _TTL) + addresses + body
    addresses = packet["ipv4_src"].to_bytes(4, "big") + packet["ipv4_dst"].to_bytes(4, "big")
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, _TTL, protocol, 0) + addresses
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    return ethernet + struct.pack("!H", _IPV4) + header + body


def _transport(packet: Packet, protocol: int) -> bytes:
    source, destination = packet["tcp_src"], packet["tcp_dst"]
    if protocol == Protocol.TCP:
        return struct.pack("!HHIIBBHHH", source, destination, 0, 0, 0x50, packet["tcp_flags"], 0xFFFF, 0, 0)
    if protocol == Protocol.UDP:
        return struct.pack("!HHHH", source, destination, 8, 0)
    if protocol == Protocol.SCTP:
        return struct.pack("!HHII", source, destination, 0, 0)
    if protocol in (Protocol.ICMP, Protocol.ICMPV6):
        return struct.pack("!BBHI", source, destination, 0, 0) + bytes(8)
    return bytes(8)


def arrival_text(packet: Packet) -> str:
    """Return where a packet comes from in ovs-ofctl's words: port, and tunnel if it came out of one."""
    words = [f"in_port={packet['in_port']}"]
    if packet["tun_id"] or packet["tun_src"]:
        words.append(f"tun_id={packet['tun_id']:#x}")
        words.append(f"tun_src={ipaddress.IPv4Address(packet['tun_src'])}")
        words.append(f"tun_dst={ipaddress.IPv4Address(packet['tun_dst'])}")
    return ",".join(words)
