"""Rows that count connections, as bridges tell of them: bytes of a match -> whose connection it is."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.flows.oxm import FORMS, register_pair_header
from zonewall.flows.wire_actions import encode_actions
from zonewall.pipeline.cookie import is_of_a_row, is_ours
from zonewall.pipeline.model import SetField
from zonewall.pipeline.registers import LOG_KNOWN
from zonewall.pipeline.tables import LOG_BEGIN, LOG_ROWS
from zonewall.values.addresses import IpAddress

_REGISTERS_0_1 = register_pair_header(0) >> 9
_REGISTERS_2_3 = register_pair_header(1) >> 9
_NAMES = {
    FORMS[base].header >> 9: name
    for base, name in (
        ("ip_proto", "protocol"), ("ipv4_src", "source"), ("ipv4_dst", "destination"),
        ("ipv6_src", "source"), ("ipv6_dst", "destination"), ("tcp_src", "sport"), ("tcp_dst", "dport"),
        ("udp_src", "sport"), ("udp_dst", "dport"), ("sctp_src", "sport"), ("sctp_dst", "dport"),
    )
}  # fmt: skip


_KNOWN = encode_actions((SetField(LOG_KNOWN, 1),))
_FIN_TIMEOUT = struct.pack("!HHIH", 0xFFFF, 16, 0x00002320, 19)
"""How Open vSwitch begins a fin_timeout action (ovs-actions(7)), which it makes of ``fin_idle_timeout``."""


def _says_known(instructions: bytes) -> bool:
    """Say whether all that a flow does is to say that a connection is known, and to note its end."""
    kind, size = struct.unpack_from("!HH", instructions + bytes(4))
    before = instructions[8 : -len(_KNOWN)]
    return (
        (kind, size) == (4, len(instructions))
        and instructions.endswith(_KNOWN)
        and (not before or (len(before) == 16 and before.startswith(_FIN_TIMEOUT)))
    )


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    """A connection in its first direction; ports are None where the protocol has none.

    Attributes:
        rule, source_identity, destination_identity: numbers.
    """

    protocol: int
    source: IpAddress
    destination: IpAddress
    sport: int | None
    dport: int | None
    rule: int
    source_identity: int
    destination_identity: int


def is_row(key: FlowKey) -> bool:
    """Say whether a flow is a row that counts one connection."""
    return key.table == LOG_ROWS.number


def is_put(flow: EncodedFlow) -> bool:
    """Say whether a flow is one that zonewall puts, or passes for one; not a row that the bridge made.

    A row says that its connection is known and does nothing else: whoever uses its cookie for another flow is
    found. What a bridge made by another layout's flows counts as put: nobody reads it any more.
    """
    if not is_ours(flow.cookie):
        return False
    return not (is_of_a_row(flow.cookie) and is_row(flow.key) and _says_known(flow.instructions))


def makes_rows(key: FlowKey) -> bool:
    """Say whether a flow makes rows, and so counts the packets that made one or found no room."""
    return key.table == LOG_BEGIN.number


def read_row(match: bytes) -> ConnectionRow | None:
    """Return the connection that a row's match is about; None where it is about no connection."""
    found: dict[str, int] = {}
    ends: dict[str, IpAddress] = {}
    registers: dict[int, int] = {}
    position = 0
    while position + 4 <= len(match):
        header = int.from_bytes(match[position : position + 4], "big")
        size = header & 0xFF
        value = match[position + 4 : position + 4 + size]
        position += 4 + size
        number = header >> 9
        if header >> 8 & 1:
            value = value[: size // 2]
        if number in (_REGISTERS_0_1, _REGISTERS_2_3):
            registers[number] = int.from_bytes(value, "big")
        elif (name := _NAMES.get(number)) in ("source", "destination"):
            if len(value) not in (4, 16):
                return None
            ends[name] = ip_address(value)
        elif name is not None:
            found[name] = int.from_bytes(value, "big")
    if len(ends) != 2 or "protocol" not in found or len(registers) != 2:
        return None
    identities = registers[_REGISTERS_0_1]
    return ConnectionRow(
        found["protocol"], ends["source"], ends["destination"], found.get("sport"), found.get("dport"),
        registers[_REGISTERS_2_3] >> 32, identities >> 32, identities & 0xFFFFFFFF,
    )  # fmt: skip
