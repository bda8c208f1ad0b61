"""One pass of a packet through the tables, up to the next connection tracking: what it would do."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from zonewall.flows.simulate.slots import (
    ETH_TYPE,
    IN_PORT,
    INNER_VLAN,
    IPV4,
    IPV6,
    SLOT,
    TRACKING,
    VLAN,
    VLAN_PRESENT,
    always_there,
    canonical,
    packet_has,
    place,
)
from zonewall.flows.simulate.tables import FlowTables
from zonewall.pipeline.model import (
    Action,
    Bucket,
    Clone,
    Conjunction,
    Ct,
    Field,
    Flow,
    Goto,
    Group,
    Learn,
    Meter,
    Move,
    Output,
    OutputCut,
    OutputField,
    PopField,
    PopVlan,
    PushField,
    PushVlan,
    Resubmit,
    SamplePacket,
    SetField,
    Spread,
    ToController,
    ToInPort,
)

MAX_DEPTH: Final = 64
MAX_RESUBMITS: Final = 4096
"""Limits of ovs-actions(7), "resubmit": nested searches that do not lead on, and searches of one pass."""

IN_PORT_NUMBER: Final = 0xFFF8
_HIGHEST_16_BIT: Final = 0xFFFF
_TRANSPORT_PAIRS: Final = (
    (SLOT["nw_proto"], SLOT["ct_nw_proto"]),
    (SLOT["tp_src"], SLOT["ct_tp_src"]),
    (SLOT["tp_dst"], SLOT["ct_tp_dst"]),
)
_PAIRS: Final = {
    IPV4: ((SLOT["nw_src"], SLOT["ct_nw_src"]), (SLOT["nw_dst"], SLOT["ct_nw_dst"]), *_TRANSPORT_PAIRS),
    IPV6: (
        (SLOT["ipv6_src"], SLOT["ct_ipv6_src"]),
        (SLOT["ipv6_dst"], SLOT["ct_ipv6_dst"]),
        *_TRANSPORT_PAIRS,
    ),
}
"""By family: where the packet's own tuple and its connection's are."""


class GivenUp(Exception):  # noqa: N818
    """Open vSwitch gives this pass up, and drops the packet."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Leave by a port, looking like this."""

    port: int
    values: list[int]


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy to the controller."""

    userdata: bytes
    values: list[int]


@dataclass(frozen=True, slots=True)
class Track:
    """Pass connection tracking looking like ``values``; then a fork of it goes on in ``table``, if any.

    ``mark`` and ``label`` are the (value, mask) that a commit sets.
    """

    values: list[int]
    zone: int
    commit: bool
    mark: tuple[int, int]
    label: tuple[int, int]
    table: int | None
    resumed: list[int]
    stack: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Forked:
    """What a clone or a bucket does: tracking in it leaves the packet outside as it was."""

    effects: list[Effect]


Effect = Emit | Copy | Track | Forked


class Translation:
    """The state of one pass.

    Attributes:
        values: one value a slot, changed in place.
        stack: (value, width) pushed, last on top.
        effects: what the pass would do, in order.
    """

    def __init__(self, flows: FlowTables, values: list[int], stack: list[tuple[int, int]]) -> None:
        """Begin with these values and this stack, which become its own."""
        self.flows = flows
        self.values = values
        self.stack = stack
        self.effects: list[Effect] = []
        self.trail: list[Flow] = []
        self.ambiguous: list[tuple[Flow, Flow]] = []
        self._depth = 0
        self._resubmits = 0
        self._table = -1

    def search(self, table: int, original: bool = False) -> None:
        """Search a table and do what the flow says; ``original`` presents the connection's first direction.

        Raises:
            GivenUp: a limit was passed.
        """
        if self._depth >= MAX_DEPTH:
            raise GivenUp(f"more than {MAX_DEPTH} nested searches")
        if self._resubmits >= MAX_RESUBMITS:
            raise GivenUp(f"more than {MAX_RESUBMITS} searches")
        found = self.flows.find(table, self._turned() if original else self.values)
        if found is None:
            return
        self.trail.append(found.flow)
        if found.rival is not None:
            self.ambiguous.append((found.flow, found.rival))
        before, deeper = self._table, table <= self._table
        self._table = table
        self._depth += deeper
        self._resubmits += 1
        self.do(found.flow.actions)
        self._depth -= deeper
        self._table = before

    def _turned(self) -> list[int]:
        """Return the values with packet's and connection's tuple exchanged."""
        turned = list(self.values)
        for one, other in _PAIRS[turned[ETH_TYPE]]:
            turned[one], turned[other] = turned[other], turned[one]
        return turned

    def do(self, actions: tuple[Action, ...]) -> None:
        """Do actions in order."""
        for action in actions:
            self._do_one(action)

    def _do_one(self, action: Action) -> None:
        match action:
            case SetField():
                self._set(action)
            case Resubmit():
                self._resubmit(action)
            case Goto():
                self.search(action.table.number)
            case Output() | OutputCut():
                self._output(action.port)
            case OutputField():
                self._output_field(action.field)
            case ToInPort():
                self._emit(self.values[IN_PORT])
            case Ct():
                self._track(action)
            case Clone():
                self._apart(action.actions)
            case Group():
                self._group(action)
            case ToController():
                self.effects.append(Copy(action.userdata, list(self.values)))
            case Meter() | Conjunction() | Learn() | SamplePacket():
                pass
            case _:
                self._reshape(action)

    def _reshape(self, action: Move | PushField | PopField | PushVlan | PopVlan | Spread) -> None:
        match action:
            case Spread():
                self._write(action.field, self._hash() % action.count, action.field.width)
            case Move():
                if self._has(action.source) and self._has(action.destination):
                    self._write(action.destination, self._read(action.source), action.source.width)
            case PushField():
                self.stack.append((self._read(action.field), action.field.width))
            case PopField():
                if self.stack:
                    value, _ = self.stack.pop()
                    self._write(action.field, value & action.field.ones, action.field.width)
            case PushVlan():
                if self.values[INNER_VLAN]:
                    raise GivenUp("a third VLAN tag is not modelled")
                self.values[INNER_VLAN], self.values[VLAN] = self.values[VLAN], VLAN_PRESENT
            case PopVlan():
                self.values[VLAN], self.values[INNER_VLAN] = self.values[INNER_VLAN], 0

    def _hash(self) -> int:
        """Return a number that both directions of a connection share; not Open vSwitch's own."""
        values = self.values
        ends = [
            (values[SLOT["nw_src"]], values[SLOT["ipv6_src"]], values[SLOT["tp_src"]]),
            (values[SLOT["nw_dst"]], values[SLOT["ipv6_dst"]], values[SLOT["tp_dst"]]),
        ]
        return zlib.crc32(repr((sorted(ends), values[SLOT["nw_proto"]])).encode())

    def _has(self, field: Field) -> bool:
        return always_there(field.base) or packet_has(field.base, self.values)

    def _read(self, field: Field) -> int:
        slot, low, mask = place(field)
        return (self.values[slot] & mask) >> low

    def _write(self, field: Field, value: int, width: int) -> None:
        slot, low, _ = place(field)
        self.values[slot] = self.values[slot] & ~(((1 << width) - 1) << low) | value << low

    def _set(self, action: SetField) -> None:
        if not self._has(action.field):
            return
        slot, low, mask = place(action.field)
        bits = mask if action.mask is None else action.mask << low
        self.values[slot] = self.values[slot] & ~bits | action.value << low
        if canonical(action.field.base) == "vlan_vid" and not self.values[VLAN] & VLAN_PRESENT:
            self.values[VLAN] = 0

    def _resubmit(self, action: Resubmit) -> None:
        if action.ct and (not self.values[SLOT["ct_nw_proto"]] or self.values[ETH_TYPE] not in (IPV4, IPV6)):
            return
        self.search(action.table.number, action.ct)

    def _output(self, port: int) -> None:
        port &= _HIGHEST_16_BIT
        if port == IN_PORT_NUMBER:
            self._emit(self.values[IN_PORT])
        elif port != self.values[IN_PORT]:
            self._emit(port)

    def _output_field(self, field: Field) -> None:
        port = self._read(field)
        if port <= _HIGHEST_16_BIT:
            self._output(port)

    def _emit(self, port: int) -> None:
        self.effects.append(Emit(port, list(self.values)))

    def _track(self, action: Ct) -> None:
        zone = action.zone if isinstance(action.zone, int) else self._read(action.zone) & 0xFFFF
        seen = list(self.values)
        mark, label = self._writes(action)
        resumed = list(self.values)
        resumed[TRACKING] = [0] * (TRACKING.stop - TRACKING.start)
        table = None if action.table is None else action.table.number
        self.effects.append(Track(seen, zone, action.commit, mark, label, table, resumed, tuple(self.stack)))
        # ovs-actions(7), "ct": what follows sees an untracked packet.
        self.values[TRACKING] = [0] * (TRACKING.stop - TRACKING.start)

    def _writes(self, action: Ct) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return (value, mask) of mark and label that the nested actions write."""
        masks = {SLOT["ct_mark"]: 0, SLOT["ct_label"]: 0}
        for inner in action.fields:
            target = inner.field if isinstance(inner, SetField) else inner.destination
            slot, low, mask = place(target)
            if isinstance(inner, Move):
                mask = inner.source.ones << low
            elif inner.mask is not None:
                mask = inner.mask << low
            self._do_one(inner)
            masks[slot] |= mask
        mark, label = ((self.values[slot] & mask, mask) for slot, mask in masks.items())
        return mark, label

    def _apart(self, actions: tuple[Action, ...]) -> None:
        """Do actions on a copy of the packet, of its registers and of the stack."""
        values, stack, effects = list(self.values), list(self.stack), self.effects
        self.effects = []
        self.do(actions)
        effects.append(Forked(self.effects))
        self.values, self.stack, self.effects = values, stack, effects

    def _group(self, action: Group) -> None:
        group = self.flows.groups[action.number]
        live = [bucket for bucket in group.buckets if self._is_live(bucket)]
        if group.kind == "select" and live:
            live = [_chosen(live, self.values)]
        if self._depth >= MAX_DEPTH:
            raise GivenUp(f"more than {MAX_DEPTH} nested searches")
        self._depth += 1
        for bucket in live:
            self._apart(_as_action_set(bucket.actions))
        self._depth -= 1

    def _is_live(self, bucket: Bucket) -> bool:
        return bucket.watch_port is None or self.flows.ports is None or bucket.watch_port in self.flows.ports


def _chosen(buckets: list[Bucket], values: list[int]) -> Bucket:
    """Return one bucket, by weight and by a hash of the packet that is the same in every process."""
    names = ("nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "nw_proto", "tp_src", "tp_dst", "eth_src", "eth_dst")
    digest = zlib.crc32(repr([values[SLOT[name]] for name in names]).encode())
    point = digest % max(1, sum(bucket.weight for bucket in buckets))
    for bucket in buckets:
        point -= bucket.weight
        if point < 0:
            return bucket
    return buckets[-1]


def _as_action_set(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """Return a bucket's actions in the order in which an action set is done (OpenFlow 1.5.1, 5.6).

    Only one action that ends it is done: a group before an output before a resubmit before a ct.
    """
    pops = [action for action in actions if isinstance(action, PopVlan)][-1:]
    pushes = [action for action in actions if isinstance(action, PushVlan)][-1:]
    writes = [action for action in actions if isinstance(action, SetField | Move)]
    for kind in (Group, Output | OutputField | ToInPort, Resubmit, Ct):
        ends = [action for action in actions if isinstance(action, kind)]
        if ends:
            return (*pops, *pushes, *writes, ends[-1])
    return ()
