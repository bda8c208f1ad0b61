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
        packet: as it arrives.
        connections: the connection table before; None is an empty one.

    Returns:
        Everything that left, with the connection table afterwards. Meters let everything pass; a select group
        picks its bucket by a hash of the packet's addresses and ports that is always the same.
    """
    run = _Run(flows, packet, Tracker(connections or ConnTrack()))
    values = [0] * COUNT
    values[: len(HEADERS)] = packet.values
    if values[IP_FRAG]:
        # ovs-fields(7): in the default fragment mode every fragment's ports are 0.
        values[TP_SRC] = values[TP_DST] = 0
    run.pass_through(values, [], FIRST_TABLE, Tracking(), 0)
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
class _Run:
    """One packet's whole way, over all its passes."""

    flows: FlowTables
    packet: Packet
    tracker: Tracker
    sent: list[Sent] = field(default_factory=list)
    copies: list[Copied] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    trail: list[Flow] = field(default_factory=list)
    ambiguous: list[tuple[Flow, Flow]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def pass_through(
        self, values: list[int], stack: list[tuple[int, int]], table: int, before: Tracking, depth: int
    ) -> None:
        """Translate one pass from ``table`` on, and do what came of it."""
        if depth > MAX_RECIRCULATIONS:
            self.errors.append(f"more than {MAX_RECIRCULATIONS} passes through connection tracking")
            return
        translation = Translation(self.flows, values, stack)
        try:
            translation.search(table)
        except GivenUp as reason:
            self.errors.append(str(reason))
            translation.effects.clear()
        self.trail.extend(translation.trail)
        self.ambiguous.extend(translation.ambiguous)
        self._carry_out(translation.effects, before, depth)

    def _carry_out(self, effects: list[Effect], tracking: Tracking, depth: int) -> None:
        for effect in effects:
            match effect:
                case Emit():
                    self._emit(effect)
                case Copy():
                    registers = {name: effect.values[SLOT[name]] for name in _REGISTERS}
                    self.copies.append(
                        Copied(
                            effect.userdata,
                            from_values(effect.values, self.packet),
                            {name: value for name, value in registers.items() if value},
                        )
                    )
                case Forked():
                    self._carry_out(effect.effects, tracking, depth)
                case Track():
                    if effect.values[IP_FRAG] and self.packet.datagram is None:
                        # Held until the rest of the datagram comes, which it never does.
                        return
                    tracking = self._track(effect, tracking)
                    if effect.table is not None:
                        again = _with_tracking(effect.resumed, tracking)
                        self.pass_through(again, list(effect.stack), effect.table, tracking, depth + 1)

    def _emit(self, effect: Emit) -> None:
        if self.flows.ports is None or effect.port in self.flows.ports:
            self.sent.append(Sent(effect.port, from_values(effect.values, self.packet)))

    def _track(self, effect: Track, before: Tracking) -> Tracking:
        writes = Writes(effect.mark, effect.label) if effect.commit else None
        known = len(self.tracker.result.entries)
        after = self.tracker.track(from_values(effect.values, self.packet), effect.zone, writes, before)
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
        values[SLOT["ct_tp_src"]], values[SLOT["ct_tp_dst"]] = _shown_ports(original)
    return values


def _shown_ports(original: Tuple) -> tuple[int, int]:
    """Return ct_tp_src and ct_tp_dst: for ICMP the first packet's type and code."""
    if original.protocol in (ICMP, ICMPV6):
        return original.src.port >> 8, original.src.port & 0xFF
    return original.src.port, original.dst.port
