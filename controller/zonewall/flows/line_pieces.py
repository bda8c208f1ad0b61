"""One line's flows on all bridges: they differ in who is there, and most of them are the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from zonewall.flows.encoded import EncodedFlow
from zonewall.flows.layers import Block
from zonewall.flows.wire import encode_flows
from zonewall.intent.banks import Crowd
from zonewall.intent.crowds import is_outside_name
from zonewall.intent.lines import BankHere, verdict_line
from zonewall.intent.model import VerdictLine
from zonewall.intent.places import PlacedLine
from zonewall.intent.policy import Policy
from zonewall.pipeline.model import Action, Condition, Conjunction
from zonewall.pipeline.stages.verdict import line_flow, line_rows

_Row = tuple[tuple[Condition, ...], tuple[Action, ...]]
_SOMEBODY, _INSIDE, _OUTSIDE = 1, 2, 4
_MOST_HERE = 1024
"""So many crowds of bridges are remembered: each endpoint that comes or goes makes another."""
_NAMED = 3
"""The lowest bit that stands for an identity by its name."""


class Marks:
    """The identities that a bank's lines name, a bit each: who is an end of a line here is one operation."""

    __slots__ = ("_bits", "_here")

    def __init__(self) -> None:
        """Know no names yet."""
        self._bits: dict[str, int] = {}
        self._here: dict[frozenset[str], int] = {}

    def of_crowd(self, crowd: Crowd) -> int:
        """Return the marks of a side of a line: it concerns everybody here who has one of them."""
        if crowd.everybody:
            return _SOMEBODY
        marks = _INSIDE * crowd.inside | _OUTSIDE * crowd.outside
        for name in crowd.identities:
            bit = self._bits.get(name)
            if bit is None:
                bit = self._bits[name] = 1 << _NAMED + len(self._bits)
                self._here.clear()
            marks |= bit
        return marks

    def of_here(self, names: frozenset[str]) -> int:
        """Return the marks of some identities together, those of a bridge."""
        marks = self._here.get(names)
        if marks is None:
            if len(self._here) >= _MOST_HERE:
                self._here.clear()
            marks = _SOMEBODY if names else 0
            for name in names:
                marks |= self._bits.get(name, 0) | (_OUTSIDE if is_outside_name(name) else _INSIDE)
            self._here[names] = marks
        return marks


class LinePieces:
    """The flows of a line at its place, by who is an end of it."""

    __slots__ = ("_blocks", "_destinations", "_flows", "_sources", "marks", "placed")

    def __init__(self, placed: PlacedLine, marks: Marks) -> None:
        """Remember no flows yet."""
        self.placed = placed
        self.marks = marks
        self._sources = marks.of_crowd(placed.line.sources)
        self._destinations = marks.of_crowd(placed.line.destinations)
        self._blocks: dict[Hashable, Block | None] = {}
        self._flows: dict[Hashable, EncodedFlow] = {}

    def _made(self, policy: Policy, here: BankHere, index: int, key: Hashable) -> Block | None:
        line = verdict_line(policy, here, self.placed)
        made = None if line is None else Block(self._encoded(line, list(line_rows(here.frame, index, line))))
        if len(self._blocks) >= _MOST_HERE:
            self._blocks.clear()
        self._blocks[key] = made
        return made

    def _encoded(self, line: VerdictLine, rows: list[_Row]) -> tuple[EncodedFlow, ...]:
        """Return flows in bytes, those that a bridge has already as the same objects."""
        keys = [(match, _clause(actions)) for match, actions in rows]
        known = self._flows
        new = {key: row for key, row in zip(keys, rows, strict=True) if key not in known}
        flows = encode_flows(line_flow(line, *row) for row in new.values())
        for key, encoded in zip(new, flows, strict=True):
            known[key] = encoded
        return tuple([known[key] for key in keys])

    @staticmethod
    def blocks_here(
        lines: Iterable[LinePieces], policy: Policy, here: BankHere, index: int, marks: Marks
    ) -> dict[str, Block]:
        """Return the flows of a section's lines on a bridge, less the lines that nobody here is an end of."""
        sources, destinations = marks.of_here(here.sources), marks.of_here(here.destinations)
        context = here.frame.number, index, here.frame.families
        made: dict[str, Block] = {}
        for line in lines:
            source, destination = line._sources & sources, line._destinations & destinations
            if source and destination:
                # Both sides stay whole; of one that nobody here is on, the other is narrowed to who is here.
                key: Hashable = context
            elif source:
                key = (context, source >> _NAMED)
            elif destination:
                key = (context, None, destination >> _NAMED)
            else:
                continue
            known = line._blocks
            block = known[key] if key in known else line._made(policy, here, index, key)
            if block is not None:
                made[line.placed.line.key] = block
        return made


def _clause(actions: tuple[Action, ...]) -> Hashable:
    """Return what flows of one line and match can differ in."""
    first = actions[0] if actions else None
    return (first.clause, first.count) if type(first) is Conjunction else None
