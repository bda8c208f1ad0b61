"""Messages of a bridge, unpacked with every length checked: a bridge may be hostile."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from zonewall.errors import EncodingError
from zonewall.flows.encoded import EncodedFlow, EncodedGroup, FlowKey
from zonewall.flows.wire import GROUP_MOD, METER_MOD
from zonewall.flows.wire_match import canonical_match
from zonewall.openflow import messages
from zonewall.openflow.errors import Malformed
from zonewall.openflow.events import (
    FlowCount,
    FlowRemoved,
    FlowUpdate,
    PacketIn,
    Port,
    PortChange,
    PortChanged,
    RequestForwarded,
)
from zonewall.pipeline.model import MeterEntry, MeterUnit

_PORT_DOWN: Final = 1
_LINK_DOWN: Final = 1


class Header(NamedTuple):
    """The first 8 bytes of every message."""

    version: int
    kind: int
    length: int
    xid: int


_HEADER = struct.Struct("!BBHI")
_FLOW_DESC = struct.Struct("!HxxBxHHHHHQ")
_TWO_SHORTS = struct.Struct("!HH")
_CT_LABEL = 108


def parse_header(data: bytes | bytearray, offset: int = 0) -> Header:
    """Return the header at an offset; at least 8 bytes must be there."""
    header = Header._make(_HEADER.unpack_from(data, offset))
    if header.length < 8:
        raise Malformed(f"a message says it is {header.length} bytes long, shorter than its own header")
    return header


def parse_hello(version: int, body: bytes) -> frozenset[int]:
    """Return the versions that a hello offers: its bitmap's, or all up to its own (OpenFlow 1.5.1, 7.5.1)."""
    position = 0
    while position + 4 <= len(body):
        kind, length = _TWO_SHORTS.unpack_from(body, position)
        if length < 4 or position + length > len(body):
            raise Malformed("an element of the hello is longer than the hello")
        if kind == 1 and length >= 8:
            bitmap = int.from_bytes(body[position + 4 : position + 8], "big")
            return frozenset(bit for bit in range(32) if bitmap >> bit & 1)
        position += (length + 7) & ~7
    return frozenset(range(1, version + 1))


def parse_error(body: bytes) -> tuple[int, int]:
    """Return type and code of an error."""
    _need(body, 4, "error")
    kind, code = _TWO_SHORTS.unpack_from(body)
    return kind, code


def parse_features(body: bytes) -> tuple[int, int, int]:
    """Return datapath id, number of tables and auxiliary connection number."""
    _need(body, 24, "features reply")
    datapath_id, _, tables, auxiliary = struct.unpack_from("!QIBB", body)
    return datapath_id, tables, auxiliary


def parse_multipart(body: bytes) -> tuple[int, bool, bytes]:
    """Return kind, whether more parts follow, and the content."""
    _need(body, 8, "multipart reply")
    kind, flags = _TWO_SHORTS.unpack_from(body)
    return kind, bool(flags & 1), body[8:]


def take_flows(body: bytes, flows: dict[FlowKey, EncodedFlow]) -> int:
    """Put the flows of one part where the others are, and return how many it has.

    A flow that ends by itself has the seconds that are left, at least 1. It is written as one loop, because a
    restart waits for it: a bridge has tens of thousands of flows.

    Raises:
        Malformed: its entries do not fit.
    """
    position, count, total = 0, 0, len(body)
    while position < total:
        if position + 32 > total:
            raise Malformed("a flow does not fit its message")
        length, table, priority, hard_timeout_s, cookie, kind, size = _FLOW.unpack_from(body, position)
        end, after_match = position + length, position + 24 + (size + 7 & ~7)
        if length < 32 or end > total:
            raise Malformed(f"a flow of {length} bytes does not fit its message")
        if kind != 1 or size < 4 or after_match > end:
            raise Malformed("a match is not OXM, or longer than what holds it")
        if after_match + 4 > end:
            raise Malformed("a flow ends before its statistics")
        stats_size = body[after_match + 2] << 8 | body[after_match + 3]
        instructions = after_match + (stats_size + 7 & ~7)
        if stats_size < 4 or instructions > end:
            raise Malformed("a flow's statistics are longer than the flow")
        match = _canonical(body[position + 28 : position + 24 + size])
        ends_at = 0
        if hard_timeout_s:
            age_s = _duration_s(body[after_match + 4 : after_match + stats_size])
            hard_timeout_s = max(1, hard_timeout_s - age_s)
            ends_at = int(time.time()) + hard_timeout_s
        made = (table, priority, match, body[instructions:end], cookie, hard_timeout_s, ends_at)
        flows[_new(FlowKey, made[:3])] = _new(EncodedFlow, made)
        position, count = end, count + 1
    return count


_FLOW: Final = struct.Struct("!HxxBxHxxHxxxxQHH")
"""Length, table, priority, hard timeout, cookie, the match's type and length (OpenFlow 1.5.1, 7.3.5.2)."""
_new: Final = tuple.__new__


def parse_counts(body: bytes) -> Iterator[FlowCount]:
    """Yield the counters of the flows of one part (OpenFlow 1.5.1, 7.3.5.2 and 7.2.4)."""
    for start, end in _entries(body, 32, "flow"):
        _, table, priority, _, _, _, _, cookie = _FLOW_DESC.unpack_from(body, start)
        match, at = _match(body, start + 24, end)
        size = _TWO_SHORTS.unpack_from(body, at)[1] if at + 4 <= end else 0
        if size < 4 or at + size > end:
            raise Malformed("a flow's statistics are longer than the flow")
        found = _statistics(body[at + 4 : at + size])
        key = FlowKey(table, priority, match)
        age = found.get(0, 0)
        age_us = (age & 0xFFFFFFFF) // 1000
        yield FlowCount(key, cookie, found.get(4, 0), found.get(5, 0), age >> 32, age_us)


def _seconds(duration: int) -> float:
    """Return a duration of OXS, seconds above nanoseconds, in seconds."""
    return (duration >> 32) + (duration & 0xFFFFFFFF) / 1e9


def parse_table_counts(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield each table of one part, and how many flows it says that it holds (OpenFlow 1.5.1, 7.3.5.5)."""
    if len(body) % _TABLE_BYTES:
        raise Malformed(f"the tables' statistics end in the middle of one: {len(body)} bytes")
    for start in range(0, len(body), _TABLE_BYTES):
        yield body[start], int.from_bytes(body[start + 4 : start + 8], "big")


_TABLE_BYTES = 24


def _statistics(stats: bytes) -> dict[int, int]:
    """Return a list of OXS fields by number: 0 duration (its seconds above), 4 packets, 5 bytes."""
    found: dict[int, int] = {}
    position = 0
    while position + 4 <= len(stats):
        header = int.from_bytes(stats[position : position + 4], "big")
        size = header & 0xFF
        if header >> 16 == 0x8002:
            found[header >> 9 & 0x7F] = int.from_bytes(stats[position + 4 : position + 4 + size], "big")
        position += 4 + size
    return found


def _duration_s(stats: bytes) -> int:
    """Return the age in a list of OXS fields (OpenFlow 1.5.1, 7.2.4), 0 if it is not there."""
    position = 0
    while position + 4 <= len(stats):
        header = int.from_bytes(stats[position : position + 4], "big")
        if header == 0x80020008 and position + 8 <= len(stats):
            return int.from_bytes(stats[position + 4 : position + 8], "big")
        position += 4 + (header & 0xFF)
    return 0


def _match(body: bytes, start: int, end: int) -> tuple[bytes, int]:
    """Return the canonical fields of an ``ofp_match``, and where what follows it begins."""
    if start + 4 > end:
        raise Malformed("a message ends before its match")
    kind, size = _TWO_SHORTS.unpack_from(body, start)
    after = start + ((size + 7) & ~7)
    if kind != 1 or size < 4 or after > end:
        raise Malformed("a match is not OXM, or longer than what holds it")
    return _canonical(body[start + 4 : start + size]), after


def _canonical(fields: bytes) -> bytes:
    try:
        return canonical_match(fields)
    except EncodingError as error:
        raise Malformed(str(error)) from None


def _entries(body: bytes, least: int, what: str) -> Iterator[tuple[int, int]]:
    """Yield begin and end of entries that begin with their own length."""
    position, total = 0, len(body)
    while position < total:
        length = int.from_bytes(body[position : position + 2], "big")
        if length < least or position + length > total:
            raise Malformed(f"a {what} of {length} bytes does not fit its message")
        yield position, position + length
        position += length


def parse_flow_updates(body: bytes) -> Iterator[FlowUpdate]:
    """Yield what a flow monitor tells of others' changes (OpenFlow 1.5.1, 7.3.5.17.2)."""
    for start, end in _entries(body, 4, "flow update"):
        event = int.from_bytes(body[start + 2 : start + 4], "big")
        if event in _PAUSES:
            yield FlowUpdate(None, 0)
        elif event in _CHANGES:
            if end - start < 24:
                raise Malformed("a flow update is too short")
            table, priority, cookie = struct.unpack_from("!B5xH4xQ", body, start + 4)
            match, _ = _match(body, start + 24, end)
            yield FlowUpdate(FlowKey(table, priority, match), cookie, event == _ADDED)


_ADDED: Final = 1
_CHANGES: Final = frozenset({1, 2, 3})
_PAUSES: Final = frozenset({5, 6})
"""Events: added, removed, modified; paused and resumed, between which changes are not told."""


def parse_groups(body: bytes) -> Iterator[EncodedGroup]:
    """Yield the groups of one part (OpenFlow 1.5.1, 7.3.5.9)."""
    for start, end in _entries(body, 16, "group"):
        kind, number, size = struct.unpack_from("!BxIH", body, start + 2)
        if start + 16 + size > end:
            raise Malformed("a group's buckets are longer than the group")
        yield EncodedGroup(number, kind, body[start + 16 : start + 16 + size])


def parse_meters(body: bytes) -> Iterator[MeterEntry]:
    """Yield the meters of one part: the first band of each is its limit (OpenFlow 1.5.1, 7.3.5.13)."""
    for start, end in _entries(body, 8, "meter"):
        flags, number = struct.unpack_from("!HI", body, start + 2)
        rate = burst = 0
        if start + 20 <= end:
            rate, burst = struct.unpack_from("!II", body, start + 12)
        yield MeterEntry(number, MeterUnit.PPS if flags & 2 else MeterUnit.KBPS, rate, burst)


def parse_ports(body: bytes) -> Iterator[Port]:
    """Yield the ports of one part (OpenFlow 1.5.1, 7.2.1)."""
    position = 0
    while position < len(body):
        if position + 40 > len(body):
            raise Malformed("a port does not fit its message")
        length = int.from_bytes(body[position + 4 : position + 6], "big")
        if length < 40 or position + length > len(body):
            raise Malformed(f"a port of {length} bytes does not fit its message")
        yield _port(body, position)
        position += length


def _port(body: bytes, at: int) -> Port:
    number, mac, name, config, state = struct.unpack_from("!I4x6sxx16sII", body, at)
    letters = name.split(b"\0", 1)[0]
    text = letters.decode("latin-1")
    if not (text.isascii() and text.isprintable() and b" " not in letters):
        text = "".join(chr(letter) if 0x20 < letter < 0x7F else f"\\x{letter:02x}" for letter in letters)
    is_up = not (config & _PORT_DOWN or state & _LINK_DOWN)
    return Port(number, text, int.from_bytes(mac, "big"), is_up)


def parse_port_status(datapath_id: int, body: bytes) -> PortChanged:
    """Return what became of a port (OpenFlow 1.5.1, 7.4.3)."""
    _need(body, 48, "port status")
    if body[0] > 2:
        raise Malformed(f"a port status has the unknown reason {body[0]}")
    return PortChanged(datapath_id, PortChange(body[0]), _port(body, 8))


def parse_role_status(body: bytes) -> int:
    """Return the role that this controller has from now on (OpenFlow 1.5.1, 7.4.4)."""
    _need(body, 16, "role status")
    return int.from_bytes(body[:4], "big")


def parse_request_forward(datapath_id: int, body: bytes) -> RequestForwarded:
    """Return which group or meter somebody else's request was about (OpenFlow 1.5.1, 7.4.6)."""
    _need(body, 16, "forwarded request")
    request = parse_header(body)
    if request.length != len(body):
        raise Malformed(f"a forwarded request of {request.length} bytes does not fit its message")
    if request.kind not in (GROUP_MOD, METER_MOD):
        raise Malformed(f"a forwarded request is of the unknown kind {request.kind}")
    return RequestForwarded(datapath_id, request.kind == METER_MOD, int.from_bytes(body[12:16], "big"))


def parse_flow_removed(datapath_id: int, body: bytes) -> FlowRemoved:
    """Return the flow that ended (OpenFlow 1.5.1, 7.4.2)."""
    _need(body, 24, "flow removed")
    table, reason, priority, _, _, cookie = struct.unpack_from("!BBHHHQ", body)
    match, at = _match(body, 16, len(body))
    size = _TWO_SHORTS.unpack_from(body, at)[1] if at + 4 <= len(body) else 4
    if size < 4 or at + size > max(len(body), at + 4):
        raise Malformed("an ended flow's statistics are longer than the message")
    found = _statistics(body[at + 4 : at + size])
    return FlowRemoved(
        datapath_id, table, priority, match, cookie, reason, found.get(4, 0), found.get(5, 0),
        _seconds(found.get(0, 0)), _seconds(found.get(1, 0)),
    )  # fmt: skip


TOLD: Final[Mapping[int, Callable[[int, bytes], PortChanged | FlowRemoved | RequestForwarded]]] = {
    messages.PORT_STATUS: parse_port_status,
    messages.FLOW_REMOVED: parse_flow_removed,
    messages.REQUEST_FORWARD: parse_request_forward,
}
"""How what a bridge tells by itself is read, by the kind of message."""


def parse_packet_in(datapath_id: int, body: bytes) -> PacketIn:
    """Return a packet of NXT_PACKET_IN2: properties of type, length, content, each padded to 8 bytes."""
    found: dict[int, bytes] = {}
    position = 0
    while position + 4 <= len(body):
        kind, length = _TWO_SHORTS.unpack_from(body, position)
        if length < 4 or position + length > len(body):
            raise Malformed("a property of a packet-in does not fit its message")
        if kind in found:
            raise Malformed("a packet-in has a property twice")
        found[kind] = body[position + 4 : position + length]
        position += (length + 7) & ~7
    in_port, registers, label = _metadata(found.get(6, b""))
    frame = found.get(0, b"")
    return PacketIn(
        datapath_id,
        table=int.from_bytes(found.get(3, b"")[:1], "big"),
        cookie=int.from_bytes(found.get(4, b"")[4:12], "big"),
        userdata=found.get(7, b""),
        in_port=in_port,
        registers=registers,
        label=label,
        full_len=int.from_bytes(found.get(1, b"")[:4], "big") or len(frame),
        frame=frame,
    )


def _metadata(fields: bytes) -> tuple[int, tuple[tuple[int, int], ...], int]:
    """Return the port, the registers and the connection's label of a packet's OXM fields."""
    in_port, label = 0, 0
    registers: dict[int, int] = {}  # a frame that waits has one value of each, however many it was sent with
    position = 0
    while position + 4 <= len(fields):
        header = int.from_bytes(fields[position : position + 4], "big")
        size = header & 0xFF
        content = fields[position + 4 : position + 4 + size]
        if len(content) != size:
            raise Malformed("a packet-in's metadata ends in the middle of a field")
        position += 4 + size
        oxm_class, number, has_mask = header >> 16, header >> 9 & 0x7F, header >> 8 & 1
        if has_mask:
            content = content[: size // 2]
        value = int.from_bytes(content, "big")
        if oxm_class == 0x8000 and number == 0:
            in_port = value & 0xFFFFFFFF
        elif oxm_class == 0x8001 and number < 8:
            registers[number * 2], registers[number * 2 + 1] = value >> 32 & 0xFFFFFFFF, value & 0xFFFFFFFF
        elif oxm_class == 1 and number < 16:
            registers[number] = value & 0xFFFFFFFF
        elif oxm_class == 1 and number == _CT_LABEL:
            label = value & (1 << 128) - 1
    return in_port, tuple((number, value) for number, value in sorted(registers.items()) if value), label


def _need(body: bytes, size: int, what: str) -> None:
    if len(body) < size:
        raise Malformed(f"a {what} of {len(body)} bytes is too short")
