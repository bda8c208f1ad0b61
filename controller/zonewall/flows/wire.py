"""Flows, groups and meters -> OpenFlow 1.5 messages, packed by hand (OpenFlow 1.5.1, 7.3.4)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from zonewall.errors import EncodingError
from zonewall.flows.encoded import EncodedFlow
from zonewall.flows.wire_actions import encode_actions, encode_instructions
from zonewall.flows.wire_match import encode_match
from zonewall.pipeline.model import Flow, GroupEntry, MeterEntry, MeterUnit

VERSION: Final = 6
"""OpenFlow 1.5."""
FLOW_MOD: Final = 14
GROUP_MOD: Final = 15
METER_MOD: Final = 29

_ANY: Final = 0xFFFFFFFF
_HEADER = struct.Struct("!BBHI")
_FLOW_MOD = struct.Struct("!QQBBHHHIIIHHHH")
_SEND_FLOW_REMOVED: Final = 1


class FlowCommand(IntEnum):
    """What a flow message does; both name one flow by its exact key."""

    ADD = 0
    DELETE_STRICT = 4


class EntryCommand(IntEnum):
    """What a group or meter message does."""

    ADD = 0
    MODIFY = 1
    DELETE = 2


def encode_flow(flow: Flow) -> EncodedFlow:
    """Return a flow's canonical bytes: equal to what Open vSwitch reports once it holds the flow.

    Raises:
        EncodingError: a match or an action that has no OpenFlow form; the text names the flow.
    """
    try:
        return EncodedFlow(
            flow.table.number,
            flow.priority,
            encode_match(flow.match),
            encode_instructions(flow.actions),
            flow.cookie,
            flow.hard_timeout_s,
        )
    except EncodingError as error:
        where = f"flow of table {flow.table.name}, priority {flow.priority}"
        raise EncodingError(f"{where}: {error}") from None


def flow_mod_body(flow: EncodedFlow, command: FlowCommand = FlowCommand.ADD) -> bytes:
    """Return a flow message without its 8 bytes of header, so that it can be sent to many bridges.

    A flow that ends by itself tells when it does. A deletion carries no instructions.
    """
    adds = command is FlowCommand.ADD
    match_size = 4 + len(flow.match)
    return b"".join(
        (
            _FLOW_MOD.pack(
                flow.cookie if adds else 0,
                0,
                flow.table,
                command,
                0,
                flow.hard_timeout_s if adds else 0,
                flow.priority,
                _ANY,
                _ANY,
                _ANY,
                _SEND_FLOW_REMOVED if adds and flow.hard_timeout_s else 0,
                0,
                1,
                match_size,
            ),
            flow.match,
            bytes(-match_size % 8),
            flow.instructions if adds else b"",
        )
    )


def message(kind: int, xid: int, body: bytes) -> bytes:
    """Return an OpenFlow 1.5 message.

    Raises:
        EncodingError: longer than a message can be.
    """
    size = 8 + len(body)
    if size > 0xFFFF:
        raise EncodingError(f"a message of {size} bytes is longer than OpenFlow's 65535")
    return _HEADER.pack(VERSION, kind, size, xid) + body


def flow_mod_bytes(flow: EncodedFlow, command: FlowCommand = FlowCommand.ADD, xid: int = 0) -> bytes:
    """Return a whole flow message."""
    return message(FLOW_MOD, xid, flow_mod_body(flow, command))


_GROUP_KINDS: Final = {"all": 0, "select": 1}


def group_mod_body(entry: GroupEntry, command: EntryCommand = EntryCommand.ADD) -> bytes:
    """Return a group message without its header (OpenFlow 1.5.1, 7.3.4.3).

    Raises:
        EncodingError: an unknown kind, or an action that has no form.
    """
    if entry.kind not in _GROUP_KINDS:
        raise EncodingError(f"group {entry.number}: kind {entry.kind!r} is neither select nor all")
    kind = _GROUP_KINDS[entry.kind]
    if command is EntryCommand.DELETE:
        return struct.pack("!HBxIH2xI", command, kind, entry.number, 0, _ANY)
    buckets = encode_buckets(entry)
    return struct.pack("!HBxIH2xI", command, kind, entry.number, len(buckets), _ANY - 0) + buckets


def encode_buckets(entry: GroupEntry) -> bytes:
    """Return a group's buckets, numbered from 0 (OpenFlow 1.5.1, 7.3.4.3.1)."""
    parts: list[bytes] = []
    for number, bucket in enumerate(entry.buckets):
        actions = encode_actions(bucket.actions)
        properties = b""
        if entry.kind == "select":
            properties += struct.pack("!HHHxx", 0, 8, bucket.weight)
        if bucket.watch_port is not None:
            properties += struct.pack("!HHI", 1, 8, bucket.watch_port)
        size = 8 + len(actions) + len(properties)
        parts.append(struct.pack("!HHI", size, len(actions), number) + actions + properties)
    return b"".join(parts)


def meter_mod_body(entry: MeterEntry, command: EntryCommand = EntryCommand.ADD) -> bytes:
    """Return a meter message without its header: one drop band (OpenFlow 1.5.1, 7.3.4.5)."""
    unit = 2 if entry.unit is MeterUnit.PPS else 1
    has_burst = 4
    band = b"" if command is EntryCommand.DELETE else struct.pack("!HHII4x", 1, 16, entry.rate, entry.burst)
    return struct.pack("!HHI", command, unit | has_burst, entry.number) + band
