"""Rows that only cached decisions can still need: kept for a moment, so that renumbering loses nothing.

A packet is decided in two halves, before and after tracking, and the datapath caches each by itself. When an
identity's number goes, a packet whose first half is still the cached one arrives at the second with the old
number. So a verdict's rows for a number that nobody is given any more go a moment later than all the rest:
no packet that is classified now can meet them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from zonewall.flows.encoded import BridgeState, EncodedFlow, FlowKey
from zonewall.flows.generation import is_out_of_force
from zonewall.flows.layers import Layers
from zonewall.flows.wire_actions import encode_actions
from zonewall.flows.wire_match import encode_match
from zonewall.pipeline.cookie import rule_of
from zonewall.pipeline.model import SetField
from zonewall.pipeline.registers import DST_IDENTITY, SRC_IDENTITY
from zonewall.pipeline.tables import MIRROR_SELECT, VERDICT_TABLE

FlowTable = Mapping[FlowKey, EncodedFlow]

REVALIDATION_S = 0.5
"""After so long no decision cached in the datapath is older than the last change."""

_PAIR = int.from_bytes(encode_match(((SRC_IDENTITY, 1, None),))[:4], "big") >> 9
_HEADS = tuple(encode_actions((SetField(each, 0),))[:8] for each in (SRC_IDENTITY, DST_IDENTITY))
_SETS = re.compile(b"|".join(re.escape(head) + b"(....)" for head in _HEADS), re.DOTALL)
SEARCHED = (VERDICT_TABLE.number, MIRROR_SELECT.number)
"""The tables whose rows ask for identities; where none of theirs goes, nothing goes later."""

_EXACT = 0xFFFFFFFF


def identities_matched(match: bytes) -> tuple[int | None, int | None]:
    """Return the source's and the destination's identity that a match asks for.

    None where it asks for none, -1 where it asks for several by a mask.
    """
    position, end = 0, len(match)
    while position + 4 <= end:
        header = int.from_bytes(match[position : position + 4], "big")
        length = header & 0xFF
        if header >> 9 == _PAIR:
            value = int.from_bytes(match[position + 4 : position + 12], "big")
            mask = int.from_bytes(match[position + 12 : position + 20], "big") if header >> 8 & 1 else -1
            return _number(value >> 32, mask >> 32 & _EXACT), _number(value & _EXACT, mask & _EXACT)
        position += 4 + length
    return None, None


def _number(value: int, mask: int) -> int | None:
    if mask == _EXACT:
        return value
    return -1 if mask else None


def identities_set(flows: Iterable[EncodedFlow], asked: Set[int]) -> frozenset[int]:
    """Return the identities among those asked for that some flow gives to a packet; it stops at the last."""
    found: set[int] = set()
    left = set(asked)
    source, destination = _HEADS
    for flow in flows if left else ():
        if source in flow.instructions or destination in flow.instructions:
            given = left.intersection(
                int.from_bytes(a or b, "big") for a, b in _SETS.findall(flow.instructions)
            )
            if given:
                found |= given
                left -= given
                if not left:
                    break
    return frozenset(found)


def going(installed: FlowTable, wanted: FlowTable) -> list[EncodedFlow]:
    """Return the flows that go; of states made of pieces, by the pieces that differ."""
    if isinstance(installed, Layers) and isinstance(wanted, Layers):
        gone, come = wanted.changed_since(installed)
        stays = {flow.key for block in come for flow in block.flows}
        return [flow for block in gone for flow in block.flows if flow.key not in stays]
    return [flow for key, flow in installed.items() if key not in wanted]


def retired(installed: FlowTable, wanted: FlowTable) -> set[FlowKey]:
    """Return the rows that go, and that no packet can need but for decisions cached before."""
    gone = [flow for flow in going(installed, wanted) if not is_out_of_force(flow.match)]
    searched = [flow for flow in gone if flow.table in SEARCHED]
    if not searched:
        return set()
    asked = {number for flow in searched for number in identities_matched(flow.match)}
    given = identities_set(wanted.values(), {number for number in asked if number not in (None, -1)})
    lines: dict[tuple[int, int, int], list[EncodedFlow]] = defaultdict(list)
    for flow in searched:
        lines[flow.table, flow.priority, flow.cookie].append(flow)
    found = {flow.key: flow for flow in searched if _has_retired(flow, given)}
    for_nobody = {line for line, flows in lines.items() if _is_for_nobody(flows, given)}
    if for_nobody:
        for_nobody -= {(f.table, f.priority, f.cookie) for f in wanted.values() if f.table in SEARCHED}
        found.update((flow.key, flow) for line in for_nobody for flow in lines[line])
    if not found:
        return set()
    rules = {rule_of(flow.cookie) for flow in found.values()} - {rule_of(f.cookie) for f in wanted.values()}
    behind = (f for f in gone if f.table > VERDICT_TABLE.number and rule_of(f.cookie) in rules - {0})
    return {*found, *(flow.key for flow in behind)}


@dataclass(slots=True)
class Leaving:
    """The rows of one bridge that go a moment later, and until when; confined to its keeper."""

    until: dict[FlowKey, float] = field(default_factory=dict)

    def keep(self, installed: BridgeState, wanted: BridgeState, at: float) -> BridgeState:
        """Return what is wanted together with the rows that go later."""
        keys = retired(installed.flows, wanted.flows)
        self.until = {key: self.until.get(key, at + REVALIDATION_S) for key in keys}
        kept = {key: installed.flows[key] for key, until in self.until.items() if until > at}
        if not kept:
            return wanted
        # A meter takes the flows that use it along: those that may be used stay, too.
        meters = {**installed.meters, **wanted.meters}
        return BridgeState({**wanted.flows, **kept}, wanted.groups, meters)

    @property
    def last_at(self) -> float | None:
        """Return when the last of them may go, None if there is none."""
        return max(self.until.values(), default=None)


def _has_retired(flow: EncodedFlow, given: frozenset[int]) -> bool:
    return any(number not in given for number in identities_matched(flow.match) if number not in (None, -1))


def _is_for_nobody(flows: list[EncodedFlow], given: frozenset[int]) -> bool:
    """Say whether all that a line's rows ask of one of the sides is retired."""
    for side in (0, 1):
        asked = [number for flow in flows if (number := identities_matched(flow.match)[side]) is not None]
        if asked and not given.intersection(asked) and -1 not in asked:
            return True
    return False
