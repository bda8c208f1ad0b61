"""Frames from packets and packets from frames (RFC 791, 8200, 793, 768, 9260, 792, 4443, 4861, 826).

Only what zonewall's tables can see; every frame that is built has right lengths and checksums.
"""

from __future__ import annotations

import struct

from zonewall.flows.simulate import Packet, packet
from zonewall.flows.simulate.slots import INNER_VLAN, VLAN

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
IPV4, IPV6, ARP, RARP, TAG = 0x0800, 0x86DD, 0x0806, 0x8035, 0x8100

QUERIES = {ICMP: (0, 8, 13, 14, 15, 16), ICMPV6: (128, 129)}
ERRORS = {ICMP: (3, 4, 5, 11, 12), ICMPV6: (1, 2, 3, 4)}
SEQUENCE = 1000
"""Sequence and acknowledgement number of every segment: always inside the window of such connections."""
WINDOW = 0xFFFF


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of data whose checksum field is zero."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def build(one: Packet) -> bytes:
    """Return the Ethernet frame of a packet."""
    tags = b"".join(struct.pack("!HH", TAG, tci) for tci in (one.values[VLAN], one.values[INNER_VLAN]) if tci)
    addresses = one["eth_dst"].to_bytes(6, "big") + one["eth_src"].to_bytes(6, "big")
    return addresses + tags + struct.pack("!H", one["eth_type"]) + _network(one)


def _network(one: Packet) -> bytes:
    match one["eth_type"]:
        case 0x0800:
            return _ipv4(one)
        case 0x86DD:
            return _ipv6(one)
        case 0x0806 | 0x8035:
            return _arp(one)
        case _:
            return b"\0" * 46


def _arp(one: Packet) -> bytes:
    head = struct.pack("!HHBBH", 1, IPV4, 6, 4, one["arp_op"])
    sender = one["arp_sha"].to_bytes(6, "big") + one["arp_spa"].to_bytes(4, "big")
    return head + sender + one["arp_tha"].to_bytes(6, "big") + one["arp_tpa"].to_bytes(4, "big")


def _ipv4(one: Packet) -> bytes:
    addresses = one["ipv4_src"].to_bytes(4, "big") + one["ipv4_dst"].to_bytes(4, "big")
    payload = _transport(one, addresses)
    fragment = {0: 0, 1: 0x2000, 3: 185}[one["ip_frag"]]
    head = struct.pack(
        "!BBHHHBBH",
        0x45,
        one["nw_tos"],
        20 + len(payload),
        0x1234 if fragment else 0,
        fragment,
        one["nw_ttl"] or 64,
        one["ip_proto"],
        0,
    )
    return _with_sum(head + addresses, 10) + payload


def _ipv6(one: Packet) -> bytes:
    addresses = one["ipv6_src"].to_bytes(16, "big") + one["ipv6_dst"].to_bytes(16, "big")
    payload = _transport(one, addresses)
    first = 6 << 28 | one["nw_tos"] << 20
    return (
        struct.pack("!IHBB", first, len(payload), one["ip_proto"], one["nw_ttl"] or 64) + addresses + payload
    )


def _transport(one: Packet, addresses: bytes) -> bytes:
    protocol = one["ip_proto"]
    match protocol:
        case 6:
            flags = 5 << 12 | one["tcp_flags"]
            body = struct.pack(
                "!HHIIHHHH", one["tcp_src"], one["tcp_dst"], SEQUENCE, SEQUENCE, flags, WINDOW, 0, 0
            )
            return _with_sum(body, 16, _pseudo(addresses, protocol, len(body)))
        case 17:
            body = struct.pack("!HHHH", one["udp_src"], one["udp_dst"], 8, 0)
            return _with_sum(body, 6, _pseudo(addresses, protocol, len(body)))
        case 132:
            body = struct.pack("!HHII", one["sctp_src"], one["sctp_dst"], 0, 0) + struct.pack(
                "!BBHI", 0, 3, 8, 0
            )
            return body[:8] + struct.pack("<I", _crc32c(body)) + body[12:]
        case 1:
            return _with_sum(_icmp_body(one), 2)
        case 58:
            body = _icmp_body(one)
            return _with_sum(body, 2, _pseudo(addresses, protocol, len(body)))
        case _:
            return b"\0" * 16


def _icmp_body(one: Packet) -> bytes:
    kind = one["icmpv4_type"]
    head = struct.pack("!BBH", kind, one["icmpv4_code"], 0)
    if one["ip_proto"] == ICMPV6 and kind in (135, 136):
        option = _nd_option(1, one["nd_sll"]) if kind == 135 else _nd_option(2, one["nd_tll"])
        return head + b"\0" * 4 + one["nd_target"].to_bytes(16, "big") + option
    if one.quoted is not None:
        return head + b"\0" * 4 + _network(one.quoted)
    return head + struct.pack("!HH", one.icmp_id, 1) + b"\0" * 8


def _nd_option(kind: int, address: int) -> bytes:
    return struct.pack("!BB", kind, 1) + address.to_bytes(6, "big") if address else b""


def _pseudo(addresses: bytes, protocol: int, length: int) -> bytes:
    if len(addresses) == 8:
        return addresses + struct.pack("!HH", protocol, length)
    return addresses + struct.pack("!II", length, protocol)


def _with_sum(data: bytes, offset: int, pseudo: bytes = b"") -> bytes:
    value = checksum(pseudo + data) or (0xFFFF if pseudo else 0)
    return data[:offset] + struct.pack("!H", value) + data[offset + 2 :]


def _crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def parse(frame: bytes, in_port: int = 0) -> Packet:
    """Return the packet of an Ethernet frame, as Open vSwitch with ``vlan-limit=2`` reads it.

    Raises:
        struct.error, IndexError: the frame ends too early.
    """
    vlans: list[int] = []
    offset = 12
    while (kind := int.from_bytes(frame[offset : offset + 2], "big")) in (TAG, 0x88A8) and len(vlans) < 2:
        vlans.append(int.from_bytes(frame[offset + 2 : offset + 4], "big"))
        offset += 4
    base = packet(
        in_port=in_port,
        eth_dst=int.from_bytes(frame[0:6], "big"),
        eth_src=int.from_bytes(frame[6:12], "big"),
        eth_type=kind,
        vlans=tuple(tci & 0xFFF for tci in vlans),
    )
    if vlans:
        base = base.but(vlan_tci=vlans[0] | 0x1000)
    body = frame[offset + 2 :]
    if kind in (ARP, RARP):
        return base.but(
            arp_op=int.from_bytes(body[6:8], "big"),
            arp_sha=int.from_bytes(body[8:14], "big"),
            arp_spa=int.from_bytes(body[14:18], "big"),
            arp_tha=int.from_bytes(body[18:24], "big"),
            arp_tpa=int.from_bytes(body[24:28], "big"),
        )
    return _parse_ip(base, body) if kind in (IPV4, IPV6) else base


def _parse_ip(base: Packet, body: bytes) -> Packet:
    if base["eth_type"] == IPV4:
        length, offset = struct.unpack("!2xH2xH", body[:8])
        fragment = 3 if offset & 0x1FFF else 1 if offset & 0x2000 else 0
        found = base.but(
            nw_tos=body[1],
            nw_ttl=body[8],
            ip_proto=body[9],
            ip_frag=fragment,
            ipv4_src=int.from_bytes(body[12:16], "big"),
            ipv4_dst=int.from_bytes(body[16:20], "big"),
        )
        return _parse_transport(found, body[(body[0] & 15) * 4 : length])
    found = base.but(
        nw_tos=int.from_bytes(body[:2], "big") >> 4 & 0xFF,
        ip_proto=body[6],
        nw_ttl=body[7],
        ipv6_src=int.from_bytes(body[8:24], "big"),
        ipv6_dst=int.from_bytes(body[24:40], "big"),
    )
    return _parse_transport(found, body[40 : 40 + int.from_bytes(body[4:6], "big")])


def _parse_transport(found: Packet, body: bytes) -> Packet:
    if found["ip_frag"] & 2:
        return found
    protocol = found["ip_proto"]
    if protocol in (TCP, UDP, SCTP):
        src, dst = struct.unpack("!HH", body[:4])
        found = found.but(tcp_src=src, tcp_dst=dst)
        return found.but(tcp_flags=int.from_bytes(body[12:14], "big") & 0xFFF) if protocol == TCP else found
    if protocol not in (ICMP, ICMPV6):
        return found
    found = found.but(icmpv4_type=body[0], icmpv4_code=body[1])
    if protocol == ICMPV6 and body[0] in (135, 136):
        found = found.but(nd_target=int.from_bytes(body[8:24], "big"))
        if len(body) >= 32:
            found = found.but(
                **{"nd_sll" if body[0] == 135 else "nd_tll": int.from_bytes(body[26:32], "big")}
            )
        return found
    icmp_id = int.from_bytes(body[4:6], "big") if body[0] in QUERIES[protocol] else 0
    quoted = None
    if body[0] in ERRORS[protocol]:
        quoted = _parse_ip(packet(eth_type=found["eth_type"]), body[8:])
    return Packet(found.values, icmp_id, quoted)


def ipv4(text: str) -> int:
    """Return a dotted address as a number."""
    value = 0
    for part in text.split("."):
        value = value << 8 | int(part)
    return value
