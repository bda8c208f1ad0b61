"""One line's flows on all bridges: they differ in who is there, and most of them are the same."""

from __future__ import annotations

from collections.abc import Hashable

from zonewall.flows.encoded import EncodedFlow
from zonewall.flows.layers import Block
from zonewall.flows.wire import encode_flows
from zonewall.intent.lines import BankHere, EndsHere, verdict_line
from zonewall.intent.places import PlacedLine
from zonewall.intent.policy import Policy
from zonewall.pipeline.model import Conjunction, Flow
from zonewall.pipeline.stages.verdict import line_flows


class LinePieces:
    """The flows of a line at its place, by who is an end of it."""

    __slots__ = ("_blocks", "_flows", "placed")

    def __init__(self, placed: PlacedLine) -> None:
        """Remember no flows yet."""
        self.placed = placed
        self._blocks: dict[Hashable, Block | None] = {}
        self._flows: dict[Hashable, EncodedFlow] = {}

    def block(self, policy: Policy, here: BankHere, index: int, ends: EndsHere) -> Block | None:
        """Return the flows on a bridge with these ends; None where nobody can be one."""
        frame = here.frame
        key = (frame.number, index, frame.families, ends)
        try:
            return self._blocks[key]
        except KeyError:
            line = verdict_line(policy, here, self.placed)
            made = None if line is None else Block(self._encoded(list(line_flows(frame, index, line))))
            self._blocks[key] = made
            return made

    def _encoded(self, flows: list[Flow]) -> tuple[EncodedFlow, ...]:
        """Return flows in bytes, those that a bridge has already as the same objects."""
        keys = [(flow.match, _clause(flow)) for flow in flows]
        known = self._flows
        new = [(key, flow) for key, flow in zip(keys, flows, strict=True) if key not in known]
        for (key, _), encoded in zip(new, encode_flows(flow for _, flow in new), strict=True):
            known[key] = encoded
        return tuple([known[key] for key in keys])


def _clause(flow: Flow) -> Hashable:
    """Return what flows of one line and match can differ in."""
    first = flow.actions[0] if flow.actions else None
    return (first.clause, first.count) if type(first) is Conjunction else None
