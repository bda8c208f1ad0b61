"""What a bridge should hold while it refuses some of it: never more open than the whole would be.

To leave a flow out is not closed by itself: what it would have dropped, or sent through an appliance, could
be taken by a flow beneath it. So a flow that drops takes its place; where the bridge refuses even that, all
that lies beneath and could take its packets drops instead; and where the table is full, it ends there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from enum import IntEnum

from zonewall.flows.encoded import BridgeState, EncodedFlow, FlowKey
from zonewall.flows.overlap import may_overlap
from zonewall.pipeline.cookie import rule_of

_CONJUNCTION = struct.pack("!IH", 0x00002320, 34)
"""Vendor and subtype of a conjunction action (ovs-actions(7)); always the first of its flow."""


class Depth(IntEnum):
    """How a refused flow is set aside; each is tried when the bridge refused the one before."""

    DROPPED = 1
    """A flow with the same match drops instead; so do the others of its rule in that table."""
    BENEATH = 2
    """Nothing stands in its place: every flow beneath it that could take its packets drops."""
    ENDED = 3
    """The table has no room: it ends above the flow, and its miss drops."""


def closed(
    wanted: BridgeState, aside: Mapping[FlowKey, Depth], meters: frozenset[int] = frozenset()
) -> BridgeState:
    """Return ``wanted`` with flows and meters set aside, fail closed.

    Args:
        wanted: all that the bridge should hold.
        aside: refused flows; those that are not wanted any more count for nothing.
        meters: refused meters; the flows that use one drop.
    """
    result = dict(wanted.flows)
    for flow in _users(wanted.flows.values(), meters):
        result[flow.key] = _dropping(flow)
    for key, depth in aside.items():
        refused = wanted.flows.get(key)
        if refused is not None:
            _set_aside(result, wanted.flows, refused, depth)
    kept = {number: meter for number, meter in wanted.meters.items() if number not in meters}
    return BridgeState(result, wanted.groups, kept)


def _set_aside(
    result: dict[FlowKey, EncodedFlow],
    flows: Mapping[FlowKey, EncodedFlow],
    refused: EncodedFlow,
    depth: Depth,
) -> None:
    if depth is Depth.ENDED:
        for flow in from_there_on(flows, refused):
            result.pop(flow.key, None)
        return
    table = [flow for flow in flows.values() if flow.table == refused.table]
    if depth is Depth.BENEATH:
        beneath = [
            flow
            for flow in table
            if flow.priority < refused.priority and may_overlap(flow.match, refused.match)
        ]
        _drop(result, table, beneath)
    if rule_of(refused.cookie):
        _drop(result, table, [flow for flow in table if flow.cookie == refused.cookie])
    if depth is Depth.DROPPED:
        result[refused.key] = _dropping(refused)
    else:
        result.pop(refused.key, None)


def from_there_on(flows: Mapping[FlowKey, EncodedFlow], refused: EncodedFlow) -> list[EncodedFlow]:
    """Return a flow for which its table has no room, and all that come later in that table."""
    end = (-refused.priority, refused.match)
    return [
        flow for flow in flows.values() if flow.table == refused.table and (-flow.priority, flow.match) >= end
    ]


def _drop(
    result: dict[FlowKey, EncodedFlow], table: Iterable[EncodedFlow], flows: Iterable[EncodedFlow]
) -> None:
    """Have flows drop; a clause of a conjunction stays, and what its rule then decides drops."""
    deciding: set[int] = set()
    for flow in flows:
        if _is_clause(flow):
            deciding.add(flow.cookie)
        elif flow.key in result:
            result[flow.key] = _dropping(flow)
    if deciding:
        for flow in table:
            if flow.cookie in deciding and not _is_clause(flow) and flow.key in result:
                result[flow.key] = _dropping(flow)


def _dropping(flow: EncodedFlow) -> EncodedFlow:
    return flow._replace(instructions=b"")


def _is_clause(flow: EncodedFlow) -> bool:
    # apply_actions' 8 bytes, then type and length of the first action, then vendor and subtype.
    return flow.instructions[12:18] == _CONJUNCTION


def _users(flows: Iterable[EncodedFlow], meters: frozenset[int]) -> list[EncodedFlow]:
    """Return the flows that use a meter, as an action or as the bound of what they send up."""
    forms = [
        form
        for number in meters
        for form in (struct.pack("!HHI", 29, 8, number), struct.pack("!HHI", 5, 8, number))
    ]
    return [flow for flow in flows if any(form in flow.instructions for form in forms)] if forms else []
