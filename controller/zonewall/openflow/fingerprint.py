"""Whether a bridge's flows are those that were read before, found out without taking them apart.

An answer differs each time in its counters. Of all else in a flow's entry a hash is taken, and the hashes are
added up, so that the order does not matter. Python's hash of bytes has a key of its own in each process, so
that nobody who changes flows can make the sum come out the same.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from zonewall.openflow.errors import Malformed

_ENTRY: Final = struct.Struct("!H8xH12xHH")
"""Its length, its hard timeout, and its match's type and length (OpenFlow 1.5.1, 7.3.5.2)."""
_LEAST: Final = 32
_ONES: Final = 0xFFFFFFFF_FFFFFFFF


class Fingerprint(NamedTuple):
    """How many flows there are, and the sum of their hashes."""

    flows: int
    total: int


class Fingerprinter:
    """Takes the parts of one answer as they come."""

    def __init__(self) -> None:
        """Begin with no flow."""
        self._flows = self._total = 0
        self._lasts = True

    @property
    def result(self) -> Fingerprint | None:
        """Return the fingerprint; None where a flow ends by itself: when, is no byte there."""
        return Fingerprint(self._flows, self._total & _ONES) if self._lasts else None

    def take(self, body: bytes) -> int:
        """Take one part, and return how many flows it has.

        Raises:
            Malformed: its entries do not fit.
        """
        at, end, before = 0, len(body), self._flows
        while at < end:
            if at + _LEAST > end:
                raise Malformed("a flow does not fit its message")
            length, hard_timeout_s, kind, size = _ENTRY.unpack_from(body, at)
            statistics = at + 24 + (size + 7 & ~7)
            following = at + length
            if length < _LEAST or following > end or kind != 1 or statistics + 4 > following:
                raise Malformed("a flow does not fit its message")
            counted = int.from_bytes(body[statistics + 2 : statistics + 4], "big")
            instructions = statistics + (counted + 7 & ~7)
            if counted < 4 or instructions > following:
                raise Malformed("a flow's statistics are longer than the flow")
            self._total += hash(body[at:statistics] + body[instructions:following])
            self._flows += 1
            self._lasts = self._lasts and not hard_timeout_s
            at = following
        return self._flows - before
