"""Messages of a session, packed; flows, groups and meters are in ``flows.wire`` (OpenFlow 1.5.1, 7.3)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from zonewall.flows.wire import VERSION, message

HELLO: Final = 0
ERROR: Final = 1
ECHO_REQUEST: Final = 2
ECHO_REPLY: Final = 3
EXPERIMENTER: Final = 4
FEATURES_REQUEST: Final = 5
FEATURES_REPLY: Final = 6
GET_CONFIG_REQUEST: Final = 7
SET_CONFIG: Final = 9
FLOW_REMOVED: Final = 11
PORT_STATUS: Final = 12
PACKET_OUT: Final = 13
MULTIPART_REQUEST: Final = 18
MULTIPART_REPLY: Final = 19
BARRIER_REQUEST: Final = 20
BARRIER_REPLY: Final = 21
ROLE_REQUEST: Final = 24
ROLE_REPLY: Final = 25
SET_ASYNC: Final = 28
ROLE_STATUS: Final = 30
REQUEST_FORWARD: Final = 32
BUNDLE_CONTROL: Final = 33
BUNDLE_ADD: Final = 34

MASTER: Final = 2
"""The role that this controller asks for (OFPCR_ROLE_MASTER)."""

NICIRA: Final = 0x00002320
SET_PACKET_IN_FORMAT: Final = 16
PACKET_IN2: Final = 30
NO_BUFFER_LENGTH: Final = 0xFFFF
NO_BUFFER: Final = 0xFFFFFFFF
ANY: Final = 0xFFFFFFFF
ALL_GROUPS: Final = 0xFFFFFFFC
ALL_TABLES: Final = 0xFF

_HELLO_BITMAP: Final = 1


class Multipart(IntEnum):
    """Kinds of multipart messages (OpenFlow 1.5.1, 7.3.5)."""

    FLOW_DESC = 1
    TABLE = 3
    GROUP_DESC = 7
    METER_DESC = 10
    PORT_DESC = 13
    FLOW_MONITOR = 16


class BundleStep(IntEnum):
    """Types of bundle control messages (OpenFlow 1.5.1, 7.3.9.2); a reply is the request plus one."""

    OPEN = 0
    CLOSE = 2
    COMMIT = 4
    DISCARD = 6


ATOMIC_ORDERED: Final = 3
FRAGMENTS_NX_MATCH: Final = 3
"""Nicira's form of the flags' two bits for fragments: OFPC_FRAG_NX_MATCH."""
FRAGMENTS_MASK: Final = 3


def hello(xid: int) -> bytes:
    """Return our hello: OpenFlow 1.5 and nothing else, as a version bitmap."""
    return message(HELLO, xid, struct.pack("!HHI", _HELLO_BITMAP, 8, 1 << VERSION))


def error(xid: int, kind: int, code: int, text: str = "") -> bytes:
    """Return an error message."""
    return message(ERROR, xid, struct.pack("!HH", kind, code) + text.encode()[:512])


def set_config(xid: int) -> bytes:
    """Let fragments pass as they are, the first one with its ports (ovs-ofctl(8), "nx-match").

    Misses send nothing up, whatever length is said: ``set_async`` asks for no such packet. But a bridge that
    listens tells its controller nothing by itself while that is 0 (ovs-ofctl(8), "monitor").
    """
    return message(SET_CONFIG, xid, struct.pack("!HH", FRAGMENTS_NX_MATCH, NO_BUFFER_LENGTH))


def handles_fragments_so(config: bytes) -> bool:
    """Say whether a bridge handles fragments as ``set_config`` asks, by what its GET_CONFIG_REPLY says."""
    return len(config) >= 2 and int.from_bytes(config[:2], "big") & FRAGMENTS_MASK == FRAGMENTS_NX_MATCH


def set_packet_in_format(xid: int) -> bytes:
    """Ask for NXT_PACKET_IN2, the only form that carries userdata."""
    return message(EXPERIMENTER, xid, struct.pack("!III", NICIRA, SET_PACKET_IN_FORMAT, 2))


def set_async(xid: int) -> bytes:
    """Ask for what is used: packets that a flow sends up, ports, ended flows, others' groups and meters.

    The last only as master: a slave would be told of all that the master does. Reasons are bits (OpenFlow
    1.5.1, 7.3.10): packet-in 1 apply_action; flow-removed 0 idle timeout, 1 hard timeout, 2 removed,
    5 eviction; requestforward 0 group_mod, 1 meter_mod.
    """
    masks = {
        0: 0,
        1: 1 << 1,
        2: 0b111,
        3: 0b111,
        4: 0,
        5: 0b111 | 1 << 5,
        6: 0,
        7: 0b111,
        8: 0,
        9: 0,
        10: 0,
        11: 0b11,
    }
    return message(
        SET_ASYNC, xid, b"".join(struct.pack("!HHI", kind, 8, mask) for kind, mask in masks.items())
    )


def role_master(xid: int, generation_id: int) -> bytes:
    """Ask to be the bridge's master."""
    return message(ROLE_REQUEST, xid, struct.pack("!IHxxQ", MASTER, 0, generation_id))


def multipart(xid: int, kind: Multipart, body: bytes = b"") -> bytes:
    """Return a multipart request."""
    return message(MULTIPART_REQUEST, xid, struct.pack("!HH4x", kind, 0) + body)


def flow_desc_body(cookie: int, cookie_mask: int, table: int = ALL_TABLES) -> bytes:
    """Return what follows in a request for flows, of all tables unless said, whose cookie fits."""
    return struct.pack("!B3xII4xQQHH4x", table, ANY, ANY, cookie, cookie_mask, 1, 4)


def flow_monitor_body() -> bytes:
    """Return what follows in a request to be told of flows put, changed and removed (7.3.5.17).

    What this session does itself comes as one short entry, because nothing else is asked for.
    """
    added_removed_modified = 2 | 4 | 8
    every = struct.pack("!HH4x", 1, 4)
    return struct.pack("!IIIHBB", 1, ANY, ANY, added_removed_modified, ALL_TABLES, 0) + every


def bundle_control(xid: int, bundle_id: int, step: BundleStep) -> bytes:
    """Return a bundle control message, atomic and ordered."""
    return message(BUNDLE_CONTROL, xid, struct.pack("!IHH", bundle_id, step, ATOMIC_ORDERED))


_BUNDLED = struct.Struct("!BBHIIHHBBHI")


def bundled(xid: int, bundle_id: int, kind: int, body: bytes) -> bytes:
    """Return a message within a bundle; both carry the same xid, so that an error leads back to it."""
    size = 8 + len(body)
    return (
        _BUNDLED.pack(
            VERSION, BUNDLE_ADD, 16 + size, xid, bundle_id, 0, ATOMIC_ORDERED, VERSION, kind, size, xid
        )
        + body
    )


def packet_out(xid: int, in_port: int, actions: bytes, frame: bytes) -> bytes:
    """Return a frame with what to do with it; ``in_port`` is where it is to seem to come from."""
    match = struct.pack("!HHII4x", 1, 12, 0x80000004, in_port)
    return message(PACKET_OUT, xid, struct.pack("!IH2x", NO_BUFFER, len(actions)) + match + actions + frame)
