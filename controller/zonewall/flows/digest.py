"""A bridge's state in few bytes that another process makes of the same state, too."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from zonewall.flows.encoded import BridgeState

_FLOW: Final = struct.Struct("!BHQI")
_BYTES: Final = 16


def digest(state: BridgeState) -> str:
    """Return what two states have in common exactly when they hold the same flows, groups and meters.

    When a flow ends by itself does not count. Hashes are added up, so that the order does not matter.
    """
    total = sum(int.from_bytes(blake2b(part, digest_size=_BYTES).digest(), "big") for part in _parts(state))
    return f"{total % (1 << 8 * _BYTES):032x}"


def _parts(state: BridgeState) -> Iterator[bytes]:
    for flow in state.flows.values():
        head = _FLOW.pack(flow.table, flow.priority, flow.cookie, len(flow.match))
        yield b"f" + head + flow.match + flow.instructions
    for group in state.groups.values():
        yield b"g" + struct.pack("!IB", group.number, group.kind) + group.buckets
    for meter in state.meters.values():
        yield b"m" + repr(meter).encode()
