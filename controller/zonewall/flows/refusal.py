"""What a rejected sender is told: a TCP RST, an SCTP ABORT, or ICMP "administratively prohibited".

Written from RFC 9293 (3.10.7.1), RFC 9260 (8.4), RFC 792, RFC 1812 (5.2.7.1), RFC 4443 (3.1).
"""

from __future__ import annotations

import struct

from zonewall.values.services import Protocol

_ETHERNET = 14
_IPV4_TYPE, _IPV6_TYPE = 0x0800, 0x86DD
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_QUOTED_BYTES = 128
_TTL = 64
_ICMP_ERRORS = frozenset({3, 4, 5, 11, 12})
_PROHIBITED_V4 = (3, 13)
_PROHIBITED_V6 = (1, 1)


def refuse(frame: bytes) -> bytes | None:
    """Return the untagged Ethernet frame that tells the sender its packet was rejected, None for none.

    None is returned for what must never be answered: a RST, an ABORT, an ICMP error, a later fragment, a
    multicast destination or source, and anything malformed.
    """
    if len(frame) < _ETHERNET + 20 or (frame[0] | frame[6]) & 1:
        return None
    (ethertype,) = struct.unpack_from("!H", frame, 12)
    header = frame[6:12] + frame[0:6] + frame[12:14]
    packet = frame[_ETHERNET:]
    if ethertype == _IPV4_TYPE:
        body = _refuse_v4(packet)
    elif ethertype == _IPV6_TYPE:
        body = _refuse_v6(packet)
    else:
        return None
    return None if body is None else header + body


def _refuse_v4(packet: bytes) -> bytes | None:
    length = (packet[0] & 0x0F) * 4
    (total,) = struct.unpack_from("!H", packet, 2)
    if packet[0] >> 4 != 4 or length < 20 or not length <= min(total, len(packet)):
        return None
    (fragment,) = struct.unpack_from("!H", packet, 6)
    source, destination = packet[12:16], packet[16:20]
    if fragment & 0x1FFF or not _is_unicast_v4(source) or not _is_unicast_v4(destination):
        return None
    protocol, data = packet[9], packet[length:]
    if protocol == Protocol.ICMP and data[:1] and data[0] in _ICMP_ERRORS:
        return None
    pseudo = destination + source
    reply = _transport_reply(protocol, data, total - length, pseudo, v6=False)
    if reply is None:
        return None
    answered, body = reply
    if not body:
        answered = Protocol.ICMP
        quoted = packet[: min(total, _QUOTED_BYTES)]
        body = _with_checksum(struct.pack("!BBHI", *_PROHIBITED_V4, 0, 0) + quoted, b"", 2)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, _TTL, answered, 0) + pseudo
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + body


def _refuse_v6(packet: bytes) -> bytes | None:
    if len(packet) < 40 or packet[0] >> 4 != 6:
        return None
    (length,) = struct.unpack_from("!H", packet, 4)
    source, destination = packet[8:24], packet[24:40]
    if source[0] == 0xFF or destination[0] == 0xFF or not any(source):
        return None
    protocol, data = packet[6], packet[40:]
    if protocol == Protocol.ICMPV6 and data[:1] and 0 < data[0] < 128:
        return None
    pseudo = destination + source
    reply = _transport_reply(protocol, data, length, pseudo, v6=True)
    if reply is None:
        return None
    answered, body = reply
    if not body:
        answered = Protocol.ICMPV6
        quoted = packet[: min(40 + length, _QUOTED_BYTES)]
        message = struct.pack("!BBHI", *_PROHIBITED_V6, 0, 0) + quoted
        body = _with_checksum(message, _pseudo(pseudo, answered, len(message), v6=True), 2)
    return struct.pack("!IHBB", 6 << 28, len(body), answered, _TTL) + pseudo + body


def _transport_reply(
    protocol: int, data: bytes, length: int, pseudo: bytes, *, v6: bool
) -> tuple[int, bytes] | None:
    """Return (protocol, reply); an empty reply asks for ICMP; None is no answer at all."""
    if protocol == Protocol.TCP:
        segment = _reset(data, length)
        if segment is None:
            return None
        return protocol, _with_checksum(segment, _pseudo(pseudo, protocol, len(segment), v6=v6), 16)
    if protocol == Protocol.SCTP:
        abort = _abort(data)
        return None if abort is None else (protocol, abort)
    return protocol, b""


def _reset(segment: bytes, length: int) -> bytes | None:
    """Return the RST for a segment, its checksum 0 (RFC 9293, 3.10.7.1)."""
    if len(segment) < 20:
        return None
    sport, dport, sequence, acknowledged, offset, flags = struct.unpack_from("!HHIIBB", segment)
    header = (offset >> 4) * 4
    if flags & _RST or not 20 <= header <= length:
        return None
    if flags & _ACK:
        numbers, answer = (acknowledged, 0), _RST
    else:
        taken = length - header + bool(flags & _SYN) + bool(flags & _FIN)
        numbers, answer = (0, (sequence + taken) & 0xFFFFFFFF), _RST | _ACK
    return struct.pack("!HHIIBBHHH", dport, sport, *numbers, 5 << 4, answer, 0, 0, 0)


def _abort(packet: bytes) -> bytes | None:
    """Return the ABORT for an SCTP packet (RFC 9260, 8.4): the tag of an INIT, or the packet's reflected."""
    if len(packet) < 16:
        return None
    sport, dport, tag = struct.unpack_from("!HHI", packet)
    kind = packet[12]
    if kind == 6:  # never answer an ABORT
        return None
    reflected = 1
    if kind == 1:
        if len(packet) < 20:
            return None
        (tag,) = struct.unpack_from("!I", packet, 16)
        reflected = 0
    chunk = struct.pack("!BBH", 6, reflected, 4)
    crc = _crc32c(struct.pack("!HHII", dport, sport, tag, 0) + chunk)
    return struct.pack("!HHI", dport, sport, tag) + struct.pack("<I", crc) + chunk


def _pseudo(addresses: bytes, protocol: int, length: int, *, v6: bool) -> bytes:
    return addresses + (struct.pack("!II", length, protocol) if v6 else struct.pack("!HH", protocol, length))


def _with_checksum(message: bytes, pseudo: bytes, at: int) -> bytes:
    return message[:at] + struct.pack("!H", checksum(pseudo + message)) + message[at + 2 :]


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _is_unicast_v4(address: bytes) -> bool:
    return address[0] < 224 and address[0] != 127 and any(address)


def _crc32c(data: bytes) -> int:
    """Return the CRC32c of RFC 9260, appendix A."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
