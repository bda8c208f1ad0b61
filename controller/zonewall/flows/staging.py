"""A large change in small bundles: put where no packet comes yet, then put in force by one small bundle.

One bundle of many flows stops the datapath while it is carried out. So the rules of a bank whose change is
large are staged on its other side; one bundle then has packets judged there; when the datapath has been
through its cache, the old side is removed. A bridge without a first table is filled from behind, the first
table last. What another version left in another layout is exchanged in the same way (``pipeline.layout``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from zonewall.flows.diff import Change, Delta, diff
from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.flows.generation import SIDE, bank_matched, banks_set, turned_flow, turned_key
from zonewall.pipeline.cookie import is_of_another_layout, rule_of
from zonewall.pipeline.layout import FIRST_TABLE, is_own_table
from zonewall.pipeline.tables import CLASSIFY, VERDICT_TABLE

LARGE = 1000
"""A change of more flows than this is staged; one bundle of so many stops the datapath for about 3 ms."""

FlowTable = Mapping[FlowKey, EncodedFlow]


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of a change.

    Attributes:
        is_whole: it is one bundle; otherwise it may be many small ones.
        is_gentle: packets pass meanwhile, so that the bridge is to have time for them between bundles.
        waits: the datapath must have been through its cache since the part before.
    """

    delta: Delta
    is_whole: bool = False
    is_gentle: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A change in its parts, as the bridge has to be told (sides turned), and the sides afterwards."""

    stages: tuple[Stage, ...]
    turned: frozenset[int]


def is_takeover(delta: Delta) -> bool:
    """Say whether flows go that a version with another layout has left."""
    return any(map(is_of_another_layout, delta.cookies))


class _Banks(dict[bytes, int | None]):
    """The bank that each match asks for, found once."""

    def __missing__(self, match: bytes) -> int | None:
        self[match] = bank = bank_matched(match)
        return bank

    def is_out_of_force(self, key: FlowKey) -> bool:
        return (self[key.match] or 0) & SIDE != 0


def plan(
    change: Change,
    installed: FlowTable,
    wanted: FlowTable,
    turned: frozenset[int] = frozenset(),
    large: int = LARGE,
) -> Plan:
    """Return how to make a change of flows.

    Args:
        change: what differs between ``installed`` and ``wanted``; compiled sides.
        installed: what the bridge holds; flows of the side that is not in force have the bit.
        wanted: what it should hold.
        turned: banks that stand on their other side on this bridge.
        large: how many flows one bundle may change.
    """
    delta = change.flows
    if is_takeover(delta):
        return _taken_over(delta, installed, wanted, turned, large)
    bank_of = _Banks()
    remains = tuple(key for key in delta.delete if bank_of.is_out_of_force(key))
    if len(delta.put) + len(delta.delete) - len(remains) <= large:
        kept = Delta(delta.put, tuple(key for key in delta.delete if not bank_of.is_out_of_force(key)))
        return Plan((*_removed(remains, turned), Stage(_turned(kept, turned), is_whole=True)), turned)
    if not any(key.table == CLASSIFY.number for key in installed):
        return _filled(delta, turned)
    counts: Counter[int | None] = Counter(bank_of[flow.match] for flow in delta.put)
    counts.update(bank_of[key.match] for key in delta.delete if not bank_of.is_out_of_force(key))
    flipped = {bank for bank, count in counts.items() if bank is not None and count > large // 4}
    return _flipped(delta, installed, wanted, turned, frozenset(flipped), remains, bank_of)


def _taken_over(
    delta: Delta, installed: FlowTable, wanted: FlowTable, turned: frozenset[int], large: int
) -> Plan:
    """Put flows of this layout beside those of another one, have packets come to them, and remove the others.

    A packet that is on its way, or whose way is cached, is in the middle of the other layout's tables, and
    what its registers say is for those alone. So they stay until there is none. A layout whose tables are in
    the same place (``pipeline.layout``) cannot be exchanged so: nothing passes until it is gone.
    """
    own = {key: flow for key, flow in installed.items() if not is_of_another_layout(flow.cookie)}
    others = tuple(key for key in installed if key not in own)
    behind = tuple(key for key in others if key.table != FIRST_TABLE)
    is_in_the_way = any(is_own_table(key.table) for key in behind)
    if len(behind) == len(others):
        rest = plan(Change(diff(own, wanted)), own, wanted, turned, large)
        if is_in_the_way:
            return Plan((Stage(Delta((), behind)), *rest.stages), rest.turned)
        return Plan((*rest.stages, Stage(Delta((), behind), is_gentle=True, waits=True)), rest.turned)
    first = tuple(flow for flow in wanted.values() if flow.table == FIRST_TABLE)
    entries = tuple(key for key in installed if key.table == FIRST_TABLE)
    put = tuple(flow for flow in delta.put if flow.table != FIRST_TABLE)
    stale = tuple(key for key in delta.delete if key in own and key.table != FIRST_TABLE)
    staged = _turned(Delta(put, stale), turned)
    entering = _turned(Delta(first), turned).put
    if is_in_the_way:
        return Plan(
            (
                Stage(Delta((), entries)),
                Stage(Delta((), behind), waits=True),
                Stage(staged),
                Stage(Delta(entering), is_whole=True),
            ),
            turned,
        )
    gone = tuple(key for key in entries if key not in wanted)
    return Plan(
        (
            Stage(staged, is_gentle=True),
            Stage(Delta(entering, gone), is_whole=True),
            Stage(Delta((), behind), is_gentle=True, waits=True),
        ),
        turned,
    )


def _removed(keys: tuple[FlowKey, ...], turned: frozenset[int]) -> tuple[Stage, ...]:
    return (Stage(_turned(Delta((), keys), turned), is_gentle=True),) if keys else ()


def _filled(delta: Delta, turned: frozenset[int]) -> Plan:
    """Fill a bridge on which no packet gets beyond the first table."""
    behind = tuple(flow for flow in delta.put if flow.table != CLASSIFY.number)
    first = tuple(flow for flow in delta.put if flow.table == CLASSIFY.number)
    return Plan(
        (
            Stage(_turned(Delta((), delta.delete), turned)),
            Stage(_turned(Delta(behind), turned)),
            Stage(_turned(Delta(first), turned), is_whole=True),
        ),
        turned,
    )


def _flipped(
    delta: Delta,
    installed: FlowTable,
    wanted: FlowTable,
    turned: frozenset[int],
    flipped: frozenset[int],
    remains: tuple[FlowKey, ...],
    bank_of: _Banks,
) -> Plan:
    after = turned ^ flipped
    staged, setting = [], []
    rules = set()
    for flow in wanted.values():
        if bank_of[flow.match] in flipped:
            staged.append(flow)
        elif banks_set(flow) & flipped:
            setting.append(flow)
        if flow.table == VERDICT_TABLE.number:
            rules.add(rule_of(flow.cookie))
    flip = {flow.key: flow for flow in setting}
    flip.update((flow.key, flow) for flow in delta.put if bank_of[flow.match] not in flipped)
    past = {
        flow.key
        for flow in installed.values()
        if flow.table > VERDICT_TABLE.number and rule_of(flow.cookie) not in rules
    }
    retired = [key for key in installed if bank_of[key.match] in flipped]
    now: list[FlowKey] = []
    later: list[FlowKey] = []
    for key in delta.delete:
        if bank_of[key.match] in flipped or bank_of.is_out_of_force(key):
            continue
        (later if key in past else now).append(key)
    ordered = tuple(sorted(flip.values(), key=lambda flow: (-flow.table, -flow.priority, flow.match)))
    return Plan(
        (
            *_removed(remains, turned),
            Stage(_turned(Delta(tuple(staged)), after), is_gentle=True),
            Stage(
                Delta(
                    tuple(turned_flow(flow, after) for flow in ordered),
                    tuple(turned_key(key, turned) for key in now),
                ),
                is_whole=True,
            ),
            Stage(_turned(Delta((), (*retired, *later)), turned), is_gentle=True, waits=True),
        ),
        after,
    )


def _turned(delta: Delta, turned: frozenset[int]) -> Delta:
    if not turned:
        return delta
    return Delta(
        tuple(turned_flow(flow, turned) for flow in delta.put),
        tuple(turned_key(key, turned) for key in delta.delete),
    )
