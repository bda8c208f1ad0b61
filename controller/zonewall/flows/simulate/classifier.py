"""Find the flow of one table that a packet matches: a hash for each set of masks, and conjunctive matches.

Conjunctions as in ovs-fields(7), "Conjunctive Match".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

from zonewall.errors import EncodingError
from zonewall.flows.simulate.slots import CONJ_ID, place
from zonewall.pipeline.model import Condition, Conjunction, Flow

Masks = tuple[tuple[int, int], ...]
"""(slot, mask) by rising slot."""


def resolve_match(match: tuple[Condition, ...]) -> dict[int, tuple[int, int]]:
    """Return a match as slot to (value, mask), several conditions on one slot made one.

    Raises:
        EncodingError: a value outside its mask or field, two conditions on the same bits.
    """
    resolved: dict[int, tuple[int, int]] = {}
    for field, value, mask in match:
        slot, low, ones = place(field)
        bits = ones if mask is None else mask << low
        if bits & ~ones or value << low & ~bits:
            raise EncodingError(f"{field!r}: value {value:#x} or its mask has bits outside what is matched")
        known_value, known_bits = resolved.get(slot, (0, 0))
        if known_bits & bits:
            raise EncodingError(f"{field!r}: its bits are matched twice in one flow")
        if bits:
            resolved[slot] = (known_value | value << low, known_bits | bits)
    return resolved


@dataclass(frozen=True, slots=True)
class Found:
    """The flow that matched, and one of the same priority that matched as well, if there was one."""

    flow: Flow
    rival: Flow | None = None


class _Row:
    """A flow, ready for the search."""

    __slots__ = ("clauses", "flow", "priority")

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.priority = flow.priority
        self.clauses = tuple(action for action in flow.actions if isinstance(action, Conjunction))


class _Group:
    """All flows of one table that match the same bits: same value, one chain by falling priority."""

    __slots__ = ("chains", "highest", "masks")

    def __init__(self, masks: Masks) -> None:
        self.masks = masks
        self.highest = -1
        self.chains: dict[tuple[int, ...], list[_Row]] = {}


class Classifier:
    """The flows of one table."""

    __slots__ = ("_groups",)

    def __init__(self, flows: Iterable[Flow]) -> None:
        """Sort the flows in.

        Raises:
            EncodingError: two flows of one key, or a match that cannot be.
        """
        groups: dict[Masks, _Group] = {}
        for flow in flows:
            match = sorted(resolve_match(flow.match).items())
            masks = tuple((slot, mask) for slot, (_, mask) in match)
            group = groups.setdefault(masks, _Group(masks))
            group.highest = max(group.highest, flow.priority)
            group.chains.setdefault(tuple(value for _, (value, _) in match), []).append(_Row(flow))
        for group in groups.values():
            for chain in group.chains.values():
                chain.sort(key=attrgetter("priority"), reverse=True)
                _refuse_twins(chain)
        self._groups = sorted(groups.values(), key=attrgetter("highest"), reverse=True)

    def find(self, values: list[int]) -> Found | None:
        """Return the flow of the highest priority that these slot values match; None is a miss."""
        hard, rival, soft = self._candidates(values, True)
        lowest = -1 if hard is None else hard.priority
        while soft:
            top = max(chain[position].priority for chain, position in soft)
            if top < lowest:
                break
            complete = _complete(soft, top)
            if top == lowest:
                rival = rival or _row_of(soft, complete)
                break
            if complete:
                found = self._find_by_number(values, complete)
                if found is not None:
                    return found
            soft, hard, lowest, rival = _next_rows(soft, top, hard, lowest, rival)
        return None if hard is None else Found(hard.flow, None if rival is None else rival.flow)

    def _candidates(
        self, values: list[int], conjunctive: bool
    ) -> tuple[_Row | None, _Row | None, list[tuple[list[_Row], int]]]:
        """Return the best plain flow, another of its priority, and the chains that begin with a clause."""
        hard: _Row | None = None
        rival: _Row | None = None
        best = -1
        soft: list[tuple[list[_Row], int]] = []
        for group in self._groups:
            if group.highest < best:
                break
            chain = group.chains.get(tuple([values[slot] & mask for slot, mask in group.masks]))
            if chain is None:
                continue
            head = chain[0]
            if head.clauses:
                if conjunctive:
                    soft.append((chain, 0))
            elif head.priority > best:
                hard, rival, best = head, None, head.priority
            elif head.priority == best:
                rival = head
        return hard, rival, soft

    def _find_by_number(self, values: list[int], complete: list[tuple[int, Flow]]) -> Found | None:
        """Search again, without clauses, as a packet that has the conjunction's number."""
        number = complete[0][0]
        saved, values[CONJ_ID] = values[CONJ_ID], number
        hard, rival, _ = self._candidates(values, False)
        values[CONJ_ID] = saved
        if hard is None:
            return None
        if len(complete) > 1:
            return Found(hard.flow, complete[1][1])
        return Found(hard.flow, None if rival is None else rival.flow)


def _refuse_twins(chain: list[_Row]) -> None:
    for one, other in pairwise(chain):
        if one.priority == other.priority:
            raise EncodingError(
                f"{one.flow.table!r}: two flows of priority {one.priority} with the same match"
            )


def _complete(soft: list[tuple[list[_Row], int]], priority: int) -> list[tuple[int, Flow]]:
    """Return the numbers of conjunctions all of whose clauses matched, each with a flow it came by."""
    seen: dict[tuple[int, int], set[int]] = {}
    complete: list[tuple[int, Flow]] = []
    for chain, position in soft:
        row = chain[position]
        if row.priority != priority:
            continue
        for clause in row.clauses:
            clauses = seen.setdefault((clause.number, clause.count), set())
            if clause.clause not in clauses:
                clauses.add(clause.clause)
                if len(clauses) == clause.count:
                    complete.append((clause.number, row.flow))
    return complete


def _row_of(soft: list[tuple[list[_Row], int]], complete: list[tuple[int, Flow]]) -> _Row | None:
    """Return the row by which the first complete conjunction came."""
    rows = (chain[position] for chain, position in soft)
    return next((row for row in rows if complete and row.flow is complete[0][1]), None)


def _next_rows(
    soft: list[tuple[list[_Row], int]], top: int, hard: _Row | None, lowest: int, rival: _Row | None
) -> tuple[list[tuple[list[_Row], int]], _Row | None, int, _Row | None]:
    """Step to the next lower flow in each chain whose flow of priority ``top`` led nowhere."""
    rest: list[tuple[list[_Row], int]] = []
    for chain, position in soft:
        step = position + (chain[position].priority == top)
        if step == len(chain) or chain[step].priority < lowest:
            continue
        row = chain[step]
        if row.clauses:
            rest.append((chain, step))
        elif row.priority > lowest:
            hard, lowest, rival = row, row.priority, None
        elif row is not hard:
            rival = row
    return rest, hard, lowest, rival
