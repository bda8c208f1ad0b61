"""A row that no packet meets, by which the datapath gives up what it has decided, instead of changing that.

Open vSwitch 3.1.0 in user space changes the actions of a cached decision by its key, not by its name: of two
decisions that overlap, one with ports and one without, it can change the other one twice, and this one goes
on as it was for as long as it is used, whatever the flows say. So with each change of what decides, a row
comes whose match reads a bit of the packet that no decision cached before has read. Such decisions are
removed, by name, and made anew. The row goes a moment later; the next one reads another bit.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from zonewall.flows.diff import Delta
from zonewall.flows.encoded import BridgeState, EncodedFlow, FlowKey
from zonewall.flows.layers import Block, Layers
from zonewall.flows.leaving import REVALIDATION_S, SEARCHED
from zonewall.flows.wire import encode_flow
from zonewall.pipeline.make import flow
from zonewall.pipeline.packet_fields import ETH_SRC
from zonewall.pipeline.tables import VERDICT_TABLE

HIGHEST = 0xFFFF
_GROUP_BIT = 1 << 40
"""A source's address never has it (IEEE 802.3, 3.2.3): a frame from many stations there is none."""
ROWS = tuple(
    encode_flow(flow(VERDICT_TABLE, HIGHEST, ((ETH_SRC, _GROUP_BIT, _GROUP_BIT | 1 << bit),)))
    for bit in range(41, 48)
)
"""Each reads a bit of the maker's part of an address, which hardly differs among machines."""
_KEYS = frozenset(row.key for row in ROWS)


def is_stirring(key: FlowKey) -> bool:
    """Say whether a flow is one of these rows."""
    return key in _KEYS


@dataclass(slots=True)
class Stirring:
    """Which row one bridge has, and until when; confined to its keeper.

    Attributes:
        until: when the present row goes (time.monotonic()), None if there is none.
        owed: what decides has been changed without one.
    """

    at: int = 0
    until: float | None = None
    owed: bool = False
    _rests_until: float = 0.0

    def keep(
        self, delta: Delta, wanted: BridgeState, now: float, leaving: Collection[FlowKey]
    ) -> BridgeState:
        """Return what is wanted, with a row if this change needs one or the last one's is still needed.

        Args:
            delta: what is to be changed.
            leaving: rows that no packet has met for a moment.
        """
        needed, self.owed = self.owed or decides(delta, leaving), False
        if now < self._rests_until:
            return wanted
        if needed:
            self.at, self.until = (self.at + 1) % len(ROWS), now + REVALIDATION_S
        if self.until is None or self.until <= now:
            self.until = None
            return wanted
        return _with_row(wanted, ROWS[self.at])

    def refused(self, now: float, rest_s: float) -> None:
        """Take that the bridge has no room for a row: it is done without for a while."""
        self.until, self.owed, self._rests_until = None, False, now + rest_s


def decides(delta: Delta, leaving: Collection[FlowKey] = ()) -> bool:
    """Say whether a change is one of what decides over packets."""
    return any(one.table in SEARCHED for one in delta.put if one.key not in _KEYS) or any(
        key.table in SEARCHED and key not in _KEYS and key not in leaving for key in delta.delete
    )


def _with_row(state: BridgeState, row: EncodedFlow) -> BridgeState:
    flows = state.flows
    if isinstance(flows, Layers):
        moved = Block((*flows.moved.flows, row), flows.moved.meters)
        return replace(state, flows=flows.with_moved(moved))
    return replace(state, flows={**flows, row.key: row})
