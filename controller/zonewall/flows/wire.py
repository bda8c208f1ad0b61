"""Flows, groups and meters -> OpenFlow 1.5 messages, packed by hand (OpenFlow 1.5.1, 7.3.4)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final

from zonewall.errors import EncodingError
from zonewall.flows.encoded import BridgeState, EncodedFlow, EncodedGroup, FlowKey
from zonewall.flows.oxm import canonical_port
from zonewall.flows.wire_actions import encode_actions, encode_instructions
from zonewall.flows.wire_match import encode_match
from zonewall.pipeline.model import Action, BridgeProgram, Flow, GroupEntry, MeterEntry, MeterUnit

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


class MeterCommand(IntEnum):
    """What a meter message does."""

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
            flow.ends_at,
        )
    except EncodingError as error:
        where = f"flow of table {flow.table.name}, priority {flow.priority}"
        raise EncodingError(f"{where}: {error}") from None


def encode_flows(flows: Iterable[Flow]) -> Iterator[EncodedFlow]:
    """Yield flows' canonical bytes; what flows in a row do alike is put into bytes once.

    Raises:
        EncodingError: as ``encode_flow``.
    """
    actions: tuple[Action, ...] | None = None
    instructions = b""
    for flow in flows:
        if flow.actions is not actions:
            encoded = encode_flow(flow)
            actions, instructions = flow.actions, encoded.instructions
            yield encoded
        else:
            match = encode_match(flow.match)
            number, timeout = flow.table.number, flow.hard_timeout_s
            yield EncodedFlow(number, flow.priority, match, instructions, flow.cookie, timeout, flow.ends_at)


def encode_program(program: BridgeProgram) -> BridgeState:
    """Return all that a bridge should hold.

    Raises:
        EncodingError: something has no OpenFlow form, or two flows, groups or meters are one.
    """
    flows: dict[FlowKey, EncodedFlow] = {}
    for flow, encoded in zip(program.flows, encode_flows(program.flows), strict=True):
        if flows.setdefault(encoded.key, encoded) is not encoded:
            where = f"table {flow.table.name}, priority {flow.priority}"
            raise EncodingError(f"two flows have the same match: {where}")
    groups = {group.number: encode_group(group) for group in program.groups}
    meters = {meter.number: meter for meter in program.meters}
    if len(groups) != len(program.groups) or len(meters) != len(program.meters):
        raise EncodingError("two groups or two meters have the same number")
    return BridgeState(flows, groups, meters)


def flow_delete_body(key: FlowKey) -> bytes:
    """Return the message that deletes one flow, without its header."""
    return flow_mod_body(EncodedFlow(*key, b""), FlowCommand.DELETE_STRICT)


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


def encode_group(entry: GroupEntry) -> EncodedGroup:
    """Return a group's canonical bytes, buckets numbered from 0 (OpenFlow 1.5.1, 7.3.4.3.1).

    Raises:
        EncodingError: an unknown kind, or an action that has no form.
    """
    if entry.kind not in _GROUP_KINDS:
        raise EncodingError(f"group {entry.number}: kind {entry.kind!r} is neither select nor all")
    parts: list[bytes] = []
    for number, bucket in enumerate(entry.buckets):
        actions = encode_actions(bucket.actions)
        properties = b""
        if entry.kind == "select":
            properties += struct.pack("!HHHxx", 0, 8, bucket.weight)
        if bucket.watch_port is not None:
            properties += struct.pack("!HHI", 1, 8, canonical_port(bucket.watch_port))
        size = 8 + len(actions) + len(properties)
        parts.append(struct.pack("!HHI", size, len(actions), number) + actions + properties)
    return EncodedGroup(entry.number, _GROUP_KINDS[entry.kind], b"".join(parts))


def group_put_body(group: EncodedGroup) -> bytes:
    """Return the message that makes or replaces a group, without its header (Open vSwitch's ADD_OR_MOD)."""
    head = struct.pack("!HBxIH2xI", 0x8000, group.kind, group.number, len(group.buckets), _ANY)
    return head + group.buckets


def group_delete_body(number: int) -> bytes:
    """Return the message that deletes a group, without its header."""
    return struct.pack("!HBxIH2xI", 2, 0, number, 0, _ANY)


def meter_mod_body(entry: MeterEntry, command: MeterCommand = MeterCommand.ADD) -> bytes:
    """Return the message that makes or changes a meter, without its header (OpenFlow 1.5.1, 7.3.4.5)."""
    unit = 2 if entry.unit is MeterUnit.PPS else 1
    has_burst = 4
    band = struct.pack("!HHII4x", 1, 16, entry.rate, entry.burst)
    return struct.pack("!HHI", command, unit | has_burst, entry.number) + band


def meter_delete_body(number: int) -> bytes:
    """Return the message that deletes a meter, without its header."""
    return struct.pack("!HHI", MeterCommand.DELETE, 0, number)
