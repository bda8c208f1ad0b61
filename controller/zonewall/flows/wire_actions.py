"""Actions -> bytes, in the forms that Open vSwitch itself reports (OpenFlow 1.5.1, 7.2.6; ovs-actions(7))."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

from zonewall.errors import EncodingError
from zonewall.flows.oxm import canonical_port, form_of
from zonewall.pipeline.model import (
    Action,
    Clone,
    Conjunction,
    Ct,
    Field,
    Goto,
    Group,
    Learn,
    Meter,
    Move,
    Output,
    OutputCut,
    OutputField,
    PopField,
    PopVlan,
    PushField,
    PushVlan,
    Resubmit,
    SamplePacket,
    SetField,
    Spread,
    ToController,
    ToInPort,
)

EXPERIMENTER: Final = 0xFFFF
NICIRA_VENDOR: Final = 0x00002320
PORT_IN_PORT: Final = 0xFFFFFFF8
NXM_IN_PORT: Final = 0x00000002
"""Class 0, field 0, two bytes."""
MAX_INSTRUCTIONS_BYTES: Final = 60_000
"""A message is at most 65,535 bytes, all told."""

_OUTPUT = struct.Struct("!HHIH6x")
_NICIRA = struct.Struct("!HHIH")
_HEADER_AND_ID = struct.Struct("!HHI")
_PORT_CONTROLLER_MAX = 0xFFFF


def encode_instructions(actions: tuple[Action, ...]) -> bytes:
    """Return a flow's instructions: the actions as one apply_actions, and a last goto; empty drops.

    Raises:
        EncodingError: a goto that is not the last, or an action that has no form.
    """
    if not actions:
        return b""
    last = actions[-1]
    if type(last) is Goto:
        rest = actions[:-1]
        goto = _goto(last.table.number)
        return _apply(encode_actions(rest)) + goto if rest else goto
    return _apply(encode_actions(actions))


def encode_actions(actions: Iterable[Action]) -> bytes:
    """Return a list of actions without any instruction around it.

    Raises:
        EncodingError: an action that has no form here; a goto among them.
    """
    return b"".join(
        [_to_port(action.port) if type(action) is Output else _encode(action) for action in actions]
    )


def _encode(action: Action) -> bytes:
    encoder = _ENCODERS.get(type(action))
    if encoder is None:
        raise EncodingError(f"{action!r} can only be a flow's last action")
    return encoder(action)


def _apply(actions: bytes) -> bytes:
    if len(actions) > MAX_INSTRUCTIONS_BYTES:
        raise EncodingError(f"{len(actions)} bytes of actions in one flow: split them over several tables")
    return struct.pack("!HH4x", 4, 8 + len(actions)) + actions


@lru_cache(maxsize=256)
def _goto(table: int) -> bytes:
    return struct.pack("!HHB3x", 1, 8, _table_number(table))


def _table_number(number: int) -> int:
    if not 0 <= number <= 253:
        raise EncodingError(f"table {number} is not one of Open vSwitch's 0 to 253")
    return number


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _nicira(subtype: int, body: bytes) -> bytes:
    """Return a Nicira extension action (ovs-actions(7)), its body padded to 8 bytes."""
    size = (10 + len(body) + 7) & ~7
    return _NICIRA.pack(EXPERIMENTER, size, NICIRA_VENDOR, subtype) + body + bytes(size - 10 - len(body))


@lru_cache(maxsize=4096)
def _to_port(number: int) -> bytes:
    """Return an output; what is flooded has one for each of a tenant's ports, made anew when one comes."""
    return _OUTPUT.pack(0, 16, canonical_port(number), 0)


def _output_field(action: OutputField) -> bytes:
    field = action.field
    body = struct.pack("!HIH6x", _slice(field), form_of(field).nxm_header, 0xFFFF)
    return _nicira(15, body)


def _output_cut(action: OutputCut) -> bytes:
    """NXAST_OUTPUT_TRUNC: the shortest that Open vSwitch takes is an Ethernet header."""
    if not 14 <= action.max_len <= _PORT_CONTROLLER_MAX:
        raise EncodingError(f"output: max_len {action.max_len} is not in 14 to 65535")
    return _nicira(39, struct.pack("!HI", action.port & 0xFFFF, action.max_len))


def _spread(action: Spread) -> bytes:
    """NXAST_MULTIPATH: fields 3 is symmetric_l3l4+udp, algorithm 0 is modulo_n."""
    if not 1 <= action.count <= min(1 << action.field.width, 0x10000):
        raise EncodingError(f"multipath: {action.count} do not fit {action.field!r}")
    header = form_of(action.field).nxm_header
    body = struct.pack("!HHHHHIHHI", 3, 0, 0, 0, action.count - 1, 0, 0, _slice(action.field), header)
    return _nicira(10, body)


def _slice(field: Field) -> int:
    """Return offset and width of bits in one number: offset << 6 | width - 1."""
    if field.width > 64:
        raise EncodingError(f"{field!r}: more than 64 bits do not fit here")
    return field.low << 6 | field.width - 1


def _set_field(action: SetField) -> bytes:
    prefix, number, size, allowed, shift = _set_layout(action.field, action.mask)
    value = action.value
    if value & ~allowed:
        raise EncodingError(f"{action.field!r}: value {value:#x} has bits outside what is set")
    return prefix + (number | value << shift).to_bytes(size, "big")


@lru_cache(maxsize=4096)
def _set_layout(field: Field, mask: int | None) -> tuple[bytes, int, int, int, int]:
    """Return (header, fixed number, bytes of it, bits a value may have, how far the value is shifted)."""
    form = form_of(field)
    allowed = field.ones if mask is None else mask
    if allowed & ~field.ones or not allowed:
        raise EncodingError(f"{field!r}: mask {allowed:#x} is empty or has bits outside the field")
    bits = allowed << field.low
    width = form.size_bytes
    if form.base == "in_port" and bits == form.ones:
        # Open vSwitch takes a number that is no port in the 16 bits of NXM_OF_IN_PORT only.
        header, width = NXM_IN_PORT, 2
        content, fixed, shift, allowed = width, 0, 0, 0xFFFF
    elif bits == form.ones:
        header, content, fixed, shift = form.header, width, 0, 0
    else:
        if not form.maskable or form.base == "vlan_vid":
            raise EncodingError(f"{field!r}: {form.base} can only be set whole")
        header, content, fixed, shift = (form.header | 0x100) + width, width * 2, bits, width * 8
    size = (8 + content + 7) & ~7
    padding = (size - 8 - content) * 8
    prefix = struct.pack("!HHI", 25, size, header)
    return prefix, fixed << padding, size - 8, allowed, shift + padding + field.low


@lru_cache(maxsize=4096)
def _copy(source: Field, destination: Field) -> bytes:
    if source.width > destination.width:
        raise EncodingError(f"{source!r} is wider than {destination!r}")
    return struct.pack(
        "!HHHHHxxII4x",
        28,
        24,
        source.width,
        source.low,
        destination.low,
        form_of(source).header,
        form_of(destination).header,
    )


def _move(action: Move) -> bytes:
    return _copy(action.source, action.destination)


def _stack(subtype: int, field: Field) -> bytes:
    return _nicira(subtype, struct.pack("!HIH", field.low, form_of(field).nxm_header, field.width))


def _resubmit(action: Resubmit) -> bytes:
    return _resubmit_bytes(action.table.number, action.ct)


@lru_cache(maxsize=512)
def _resubmit_bytes(table: int, ct: bool) -> bytes:
    return _nicira(44 if ct else 14, struct.pack("!HB", 0xFFF8, _table_number(table)))


def _ct(action: Ct) -> bytes:
    if action.fields and not action.commit:
        raise EncodingError("ct: the mark and the label can only be written with commit")
    if isinstance(action.zone, Field):
        if action.zone.width != 16:
            raise EncodingError(f"ct: the zone must be 16 bits wide, not {action.zone!r}")
        source, zone = form_of(action.zone).nxm_header, _slice(action.zone)
    else:
        source, zone = 0, action.zone
        if not 0 <= zone <= 0xFFFF:
            raise EncodingError(f"ct: zone {zone} is not in 0 to 65535")
    table = 0xFF if action.table is None else _table_number(action.table.number)
    for inner in action.fields:
        written = inner.field if isinstance(inner, SetField) else inner.destination
        if written.base not in ("ct_mark", "ct_label"):
            raise EncodingError(f"ct: only ct_mark and ct_label can be written, not {written!r}")
    body = struct.pack("!HIHB3xH", int(action.commit), source, zone, table, 0)
    return _nicira(35, body + encode_actions(action.fields))


def _conjunction(action: Conjunction) -> bytes:
    if not (1 <= action.clause <= action.count and 2 <= action.count <= 64):
        raise EncodingError(f"conjunction: clause {action.clause} of {action.count} is not 1 to n of 2 to 64")
    return struct.pack(
        "!HHIHBBI", EXPERIMENTER, 16, NICIRA_VENDOR, 34, action.clause - 1, action.count, action.number
    )


def _to_controller(action: ToController) -> bytes:
    """NXAST_CONTROLLER2: properties by rising type, those at their default left out, as Open vSwitch does."""
    if not action.userdata:
        raise EncodingError("controller: the userdata must say why (its first byte is the reason)")
    if not 0 <= action.max_len <= _PORT_CONTROLLER_MAX:
        raise EncodingError(f"controller: max_len {action.max_len} is not in 0 to 65535")
    body = bytes(6)
    if action.max_len != _PORT_CONTROLLER_MAX:
        body += struct.pack("!HHHxx", 0, 8, action.max_len)
    body += _padded(struct.pack("!HH", 3, 4 + len(action.userdata)) + action.userdata)
    if action.meter is not None:
        body += struct.pack("!HHI", 5, 8, action.meter)
    return _nicira(37, body)


def _clone(action: Clone) -> bytes:
    if any(isinstance(inner, Meter) for inner in action.actions):
        raise EncodingError("clone: Open vSwitch takes no meter in it")
    return _nicira(42, bytes(6) + encode_actions(action.actions))


_LEARN2 = struct.Struct("!HHHQHBxHHIHxx")
_SEND_FLOW_REMOVED = 1
_IMMEDIATE, _LOAD = 1 << 13, 1 << 11


def _learn(action: Learn) -> bytes:
    """NXAST_LEARN2: each part says how many bits, from where (field or number), and what becomes of it."""
    if not action.limit:
        raise EncodingError("learn: a packet's sender must not be able to make rows without end")
    body = _LEARN2.pack(
        action.idle_s, 0, 1, action.cookie, _SEND_FLOW_REMOVED, _table_number(action.table.number),
        action.fin_idle_s, 0, action.limit, 0,
    )  # fmt: skip
    for field, value, mask in action.fixed:
        if mask not in (None, field.ones):
            raise EncodingError(f"learn: {field!r} is matched whole or not at all")
        body += _learn_number(field, value, 0)
    for field in action.same:
        place = struct.pack("!IH", form_of(field).nxm_header, field.low)
        body += struct.pack("!H", field.width) + place + place
    for set_field in action.actions:
        body += _learn_number(set_field.field, set_field.value, _LOAD)
    return _nicira(45, body)


def _sample(action: SamplePacket) -> bytes:
    """NXAST_SAMPLE (nicira-ext.h)."""
    if not 0 < action.probability <= _PORT_CONTROLLER_MAX:
        raise EncodingError(f"sample: {action.probability} is not in 1 to 65535")
    numbers = (action.probability, action.collectors, action.domain, action.point)
    return _nicira(29, struct.pack("!HIII", *numbers))


def _learn_number(field: Field, value: int, use: int) -> bytes:
    number = value.to_bytes((field.width + 15) // 16 * 2, "big")
    place = struct.pack("!IH", form_of(field).nxm_header, field.low)
    return struct.pack("!H", _IMMEDIATE | use | field.width) + number + place


_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    OutputField: _output_field,
    OutputCut: _output_cut,
    Spread: _spread,
    ToInPort: lambda _: _OUTPUT.pack(0, 16, PORT_IN_PORT, 0),
    SetField: _set_field,
    Move: _move,
    PushField: lambda action: _stack(27, action.field),
    PopField: lambda action: _stack(28, action.field),
    Resubmit: _resubmit,
    Ct: _ct,
    Conjunction: _conjunction,
    PushVlan: lambda _: struct.pack("!HHH2x", 17, 8, 0x8100),
    PopVlan: lambda _: struct.pack("!HH4x", 18, 8),
    Meter: lambda action: _HEADER_AND_ID.pack(29, 8, action.number),
    Group: lambda action: _HEADER_AND_ID.pack(22, 8, action.number),
    ToController: _to_controller,
    Learn: _learn,
    SamplePacket: _sample,
    Clone: _clone,
}
