"""What a switch looks at when it takes a flow: how it is built, not which addresses and numbers it has."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from zonewall.flows.encoded import EncodedFlow
from zonewall.flows.oxm import FORMS, PACKET_REGISTERS

Shape = tuple[int, bytes, bytes]
"""A flow's table, how it matches, and how it acts."""

_JUDGED: Final = ("eth_type", "vlan_vid", "ip_frag", "ip_proto", "tcp_flags", "arp_op", "ct_state")
_FREE: Final = frozenset(
    form.header >> 9 for name, form in FORMS.items() if name not in _JUDGED and not name.startswith("icmp")
) | {PACKET_REGISTERS << 7 | number for number in range(8)}
"""Fields of which no value decides what else may be matched or set, or is refused itself."""
_APPLY_ACTIONS: Final = b"\x00\x04"
_OUTPUT: Final = b"\x00\x00\x00\x10\x00\x00"
"""To a port below 65,536; those from 0xff00 on are reserved and stand in the shape."""
_RESERVED_PORTS: Final = 0xFF
_SET_FIELD: Final = b"\x00\x19"
_METER: Final = b"\x00\x1d"
_TO_CONTROLLER: Final = b"\x00\x00\x23\x20\x00\x25"
"""NXAST_CONTROLLER2 (nicira-ext.h)."""
_ITS_METER: Final = b"\x00\x05\x00\x08"
"""The last of its properties."""


def shape_of(flow: EncodedFlow) -> Shape:
    """Return a flow's shape: a switch that has taken one flow takes any other of its shape.

    Left out are addresses, transport's ports, registers, and the numbers of ports and of meters: Open vSwitch
    looks at none of these when a flow is put into a bundle (ofp-actions.c, meta-flow.c); whether a meter or a
    group is there it asks when the bundle is committed. All that it might look at stands in the shape.
    """
    return flow.table, _match_shape(flow.match), _instructions_shape(flow.instructions)


@lru_cache(maxsize=1024)
def _match_shape(match: bytes) -> bytes:
    parts, at = [], 0
    while at < len(match):
        header = int.from_bytes(match[at : at + 4], "big")
        end = at + 4 + (header & 0xFF)
        parts.append(match[at : at + 4] if header >> 9 in _FREE else match[at:end])
        at = end
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _instructions_shape(instructions: bytes) -> bytes:
    if not instructions:
        return b""
    kind, size = instructions[:2], int.from_bytes(instructions[2:4], "big")
    if kind != _APPLY_ACTIONS or size > len(instructions):
        return instructions
    parts, at = [kind], 8
    while at < size:
        end = at + int.from_bytes(instructions[at + 2 : at + 4], "big")
        if end <= at:
            return instructions
        part = _action_shape(instructions[at:end])
        if part != parts[-1]:  # to a hundred ports as to one
            parts.append(part)
        at = end
    return b"".join((*parts, instructions[size:]))


def _action_shape(action: bytes) -> bytes:
    if action.startswith(_OUTPUT) and action[6] < _RESERVED_PORTS:
        return action[:6]
    if action.startswith(_SET_FIELD) and int.from_bytes(action[4:8], "big") >> 9 in _FREE:
        return action[:8]
    if action.startswith(_METER):
        return action[:4]
    if action[4:10] == _TO_CONTROLLER and action[-8:-4] == _ITS_METER:
        return action[:-4]
    return action
