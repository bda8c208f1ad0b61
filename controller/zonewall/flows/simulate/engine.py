"""Run a packet through flow tables, as ovs-actions(7) tells it: translate a pass, carry it out, recirculate.

A pass ends where ct hands the packet back to a table. Only then is anything done, because Open vSwitch drops
the whole pass when its translation fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from zonewall.flows.simulate.connections import ConnTrack, Tracker, Tracking, Tuple, Writes
from zonewall.flows.simulate.outcome import Commit, Copied, Outcome, Sent
from zonewall.flows.simulate.packet import Packet, from_values
from zonewall.flows.simulate.slots import (
    COUNT,
    CT_STATE,
    ETH_TYPE,
    HEADERS,
    ICMP,
    ICMPV6,
    IP_FRAG,
    IPV4,
    LATER_FRAGMENT,
    SCRATCH,
    SLOT,
    TP_DST,
    TP_SRC,
)
from zonewall.flows.simulate.tables import FlowTables
from zonewall.flows.simulate.translation import (
    Copy,
    Effect,
    Emit,
    Forked,
    GivenUp,
    Track,
    Translation,
)
from zonewall.pipeline.model import Flow

MAX_RECIRCULATIONS: Final = 6
"""Passes within passes after which the user-space datapath drops the packet (seen on 3.1)."""

FIRST_TABLE: Final = 0
_REGISTERS: Final = tuple(name for name in SCRATCH if name == "metadata" or name.startswith("reg"))


def simulate(flows: FlowTables, packet: Packet, connections: ConnTrack | None = None) -> Outcome:
    """Return what the bridge does with a packet that arrives at its ``in_port``.

    Args:
        flows: what the bridge holds.
        packet: as it arrives. A fragment is one whose datagram's others never come.
        connections: the connection table before; None is an empty one.

    Returns:
        Everything that left, with the connection table afterwards. Meters let everything pass; a select group
        picks its bucket by a hash of the packet's addresses and ports that is always the same.
    """
    return simulate_datagram(flows, (packet, None) if packet["ip_frag"] else (packet,), connections)


def simulate_datagram(
    flows: FlowTables, parts: tuple[Packet | None, ...], connections: ConnTrack | None = None
) -> Outcome:
    """Return what the bridge does with the fragments of one datagram, in the order in which they arrive.

    The bridge shows the tables the first fragment's ports (``nx-match`` of ovs-ofctl(8), "set-frags").

    Args:
        flows: what the bridge holds.
        parts: as they arrive; None is a part that never does.
        connections: the connection table before; None is an empty one.

    Returns:
        As ``simulate``, for all of them together.
    """
    run = _Run(flows, len(parts), Tracker(connections or ConnTrack()))
    for number, part in enumerate(parts):
        if part is None:
            continue
        values = [0] * COUNT
        values[: len(HEADERS)] = part.values
        if values[IP_FRAG] & LATER_FRAGMENT:
            values[TP_SRC] = values[TP_DST] = values[SLOT["tcp_flags"]] = 0
        run.pass_through(Pass(part, number, values, [], FIRST_TABLE))
    return Outcome(
        tuple(run.sent),
        tuple(run.copies),
        tuple(run.commits),
        tuple(run.trail),
        run.tracker.result,
        tuple(run.ambiguous),
        tuple(run.errors),
    )


@dataclass(slots=True)
class Pass:
    """A packet on its way from a table on.

    Attributes:
        packet: as it arrived.
        number: which of its datagram's parts it is.
        came: what recirculation it comes from: table, registers and stack; None before the first.
    """

    packet: Packet
    number: int
    values: list[int]
    stack: list[tuple[int, int]]
    table: int
    tracking: Tracking = field(default_factory=Tracking)
    depth: int = 0
    came: tuple[object, ...] | None = None


@dataclass(slots=True)
class _Run:
    """One datagram's whole way, over all its passes.

    Attributes:
        waits: by zone and recirculation, the fragments that tracking holds until all are there (ipf.c).
    """

    flows: FlowTables
    parts: int
    tracker: Tracker
    sent: list[Sent] = field(default_factory=list)
    copies: list[Copied] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    trail: list[Flow] = field(default_factory=list)
    ambiguous: list[tuple[Flow, Flow]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    waits: dict[object, dict[int, tuple[Pass, list[int]]]] = field(default_factory=dict)

    def pass_through(self, one: Pass) -> None:
        """Translate one pass, and do what came of it."""
        if one.depth > MAX_RECIRCULATIONS:
            self.errors.append(f"more than {MAX_RECIRCULATIONS} passes through connection tracking")
            return
        translation = Translation(self.flows, one.values, one.stack)
        try:
            translation.search(one.table)
        except GivenUp as reason:
            self.errors.append(str(reason))
            translation.effects.clear()
        self.trail.extend(translation.trail)
        self.ambiguous.extend(translation.ambiguous)
        self._carry_out(translation.effects, one, one.tracking)

    def _carry_out(self, effects: list[Effect], one: Pass, tracking: Tracking) -> None:
        for place, effect in enumerate(effects):
            match effect:
                case Emit():
                    self._emit(effect, one.packet)
                case Copy():
                    registers = {name: effect.values[SLOT[name]] for name in _REGISTERS}
                    self.copies.append(
                        Copied(
                            effect.userdata,
                            from_values(effect.values, one.packet),
                            {name: value for name, value in registers.items() if value},
                        )
                    )
                case Forked():
                    self._carry_out(effect.effects, one, tracking)
                case Track() if effect.values[IP_FRAG]:
                    released = self._wait(effect, one)
                    if effect.table is None:
                        self._go_on(effects[place + 1 :], released)
                    return
                case Track():
                    tracking = self._track(effect, effect.values, one.packet, tracking)
                    self._resume(effect, effect.values, one, tracking)

    def _wait(self, effect: Track, one: Pass) -> list[tuple[Pass, list[int]]]:
        """Hold a fragment; with the last of its datagram, let all go on as that one would.

        Returns:
            What is not held any more, in the datagram's order.
        """
        key = (effect.zone, one.came)
        held = self.waits.setdefault(key, {})
        if one.number in held:
            self.errors.append("a fragment that waits already comes again")
        held[one.number] = (one, effect.values)
        if len(held) < self.parts:
            return []
        del self.waits[key]
        released = sorted(held.values(), key=lambda each: each[1][IP_FRAG] & LATER_FRAGMENT)
        first, values = released[0]
        whole = list(values)
        whole[IP_FRAG] = 0
        tracking = self._track(effect, whole, first.packet, first.tracking)
        for each, own in released:
            self._resume(effect, own, each, tracking)
        return released

    def _go_on(self, effects: list[Effect], released: list[tuple[Pass, list[int]]]) -> None:
        """Do what follows a ct that nothing comes back from: with each fragment, as it was then."""
        for effect in effects if released else ():
            if not isinstance(effect, Emit):
                self.errors.append("behind a ct that fragments do not come back from they can only leave")
                continue
            for one, own in released:
                self._emit(Emit(effect.port, own), one.packet)

    def _resume(self, effect: Track, own: list[int], one: Pass, tracking: Tracking) -> None:
        """Let a packet go on with its own headers and what the tables left beside those of the effect's."""
        if effect.table is None:
            return
        beside = effect.resumed[len(HEADERS) :]
        again = _with_tracking([*own[: len(HEADERS)], *beside], tracking)
        came = (effect.table, *beside, *effect.stack)
        self.pass_through(
            Pass(
                one.packet, one.number, again, list(effect.stack), effect.table, tracking, one.depth + 1, came
            )
        )

    def _emit(self, effect: Emit, packet: Packet) -> None:
        if self.flows.ports is None or effect.port in self.flows.ports:
            self.sent.append(Sent(effect.port, from_values(effect.values, packet)))

    def _track(self, effect: Track, values: list[int], packet: Packet, before: Tracking) -> Tracking:
        writes = Writes(effect.mark, effect.label) if effect.commit else None
        known = len(self.tracker.result.entries)
        after = self.tracker.track(from_values(values, packet), effect.zone, writes, before)
        if effect.commit and after.known is not None:
            entries = self.tracker.result.entries
            self.commits.append(Commit(entries[after.known], len(entries) > known))
        return after


def _with_tracking(values: list[int], tracking: Tracking) -> list[int]:
    """Return the slot values of a packet that comes back from connection tracking."""
    values = list(values)
    values[CT_STATE] = tracking.state
    values[SLOT["ct_zone"]] = tracking.zone
    values[SLOT["ct_mark"]] = tracking.mark
    values[SLOT["ct_label"]] = tracking.label
    original = tracking.original
    if original is not None and original.family == values[ETH_TYPE]:
        names = ("ct_nw_src", "ct_nw_dst") if original.family == IPV4 else ("ct_ipv6_src", "ct_ipv6_dst")
        values[SLOT[names[0]]] = original.src.address
        values[SLOT[names[1]]] = original.dst.address
        values[SLOT["ct_nw_proto"]] = original.protocol
        if not values[IP_FRAG] & LATER_FRAGMENT:
            values[SLOT["ct_tp_src"]], values[SLOT["ct_tp_dst"]] = _shown_ports(original)
    return values


def _shown_ports(original: Tuple) -> tuple[int, int]:
    """Return ct_tp_src and ct_tp_dst: for ICMP the first packet's type and code."""
    if original.protocol in (ICMP, ICMPV6):
        return original.src.port >> 8, original.src.port & 0xFF
    return original.src.port, original.dst.port
