"""Flows that end at a known moment: from that moment to the seconds that a bridge is told."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from zonewall.flows.encoded import BridgeState
from zonewall.pipeline.model import BridgeProgram

MOST_S = 0xFFFF
"""A timeout has 16 bits (OpenFlow 1.5.1, 7.3.4.2); what ends later gets one when it is that near."""


def seconds_left(ends_at: int, now_s: float) -> int:
    """Return the hard timeout of a flow that ends at a moment (seconds since 1970), 0 for none yet.

    Not a second too few: a flow that ended before its moment would be missed, and put back after a gap.
    """
    left = ceil(ends_at - now_s)
    return 0 if not ends_at or left > MOST_S else max(1, left)


def with_timeouts(state: BridgeState, now_s: float) -> BridgeState:
    """Return the same flows, those that end soon with the seconds that are left; without those that are over.

    A flow that ends is one that allows, so that without it less passes.
    """
    flows = {
        key: flow._replace(hard_timeout_s=seconds_left(flow.ends_at, now_s)) if flow.ends_at else flow
        for key, flow in state.flows.items()
        if not flow.ends_at or flow.ends_at > now_s
    }
    return replace(state, flows=flows)


def program_with_timeouts(program: BridgeProgram, now_s: float) -> BridgeProgram:
    """Return the same program, flows that end soon with the seconds that are left."""
    flows = tuple(
        replace(flow, hard_timeout_s=seconds_left(flow.ends_at, now_s)) if flow.ends_at else flow
        for flow in program.flows
    )
    return replace(program, flows=flows)
