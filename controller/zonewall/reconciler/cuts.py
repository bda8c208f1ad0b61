"""Connections that are cut: what bridges report of them becomes one record each."""

from __future__ import annotations

import time
from typing import Any

import structlog

from zonewall.flows.packet_ends import PacketEnds, packet_ends
from zonewall.journal.record import Kind
from zonewall.openflow.events import PacketIn
from zonewall.pipeline.registers import ANSWER, LABEL_DST, LABEL_RULE, LABEL_SRC, REJECT, RULE, VERDICT
from zonewall.placement.model import BridgeKey
from zonewall.reconciler.naming import Naming, protocol_word, value_of, written
from zonewall.reconciler.reconciler import Reconciler

SAME_WITHIN_S = 60.0
"""Both ends' bridges report a connection that runs both ways: the second report so soon is the same cut."""

TOGETHER_S = 1.0
"""Packets that a bridge handles together all find the mark, before the first of them takes it away."""

MOST_REMEMBERED = 20_000

_log = structlog.get_logger()


class Cuts:
    """Confined to the controller's loop."""

    def __init__(self, reconciler: Reconciler) -> None:
        """Record into the journal of ``reconciler``."""
        self._reconciler = reconciler
        self._naming = Naming(reconciler)
        self._told: dict[tuple[int, PacketEnds], tuple[float, set[BridgeKey]]] = {}

    def take(self, bridge: BridgeKey, event: PacketIn) -> None:
        """Take the report of a bridge: a refused packet of a connection that had been allowed."""
        ends = packet_ends(event.frame)
        if ends is None:
            return
        if value_of(event, ANSWER):
            ends = ends.turned()
        number = event.label >> LABEL_RULE.low & LABEL_RULE.ones
        if self._is_known((number, ends), bridge, time.monotonic()):
            return
        names = self._naming.current()
        rule = names.rules.get(number, str(number))
        by = names.rules.get(value_of(event, RULE))
        source = names.end(ends.source, event.label >> LABEL_SRC.low & LABEL_SRC.ones)
        destination = names.end(ends.destination, event.label >> LABEL_DST.low & LABEL_DST.ones)
        details: dict[str, Any] = {
            "bridge": bridge.bridge, "rule": rule, "by": by,
            "verdict": "reject" if value_of(event, VERDICT) == REJECT else "drop",
            "protocol": protocol_word(ends.protocol),
            **written("source", ends.source, ends.sport, source),
            **written("destination", ends.destination, ends.dport, destination),
        }  # fmt: skip
        endpoint = str(source["endpoint"] or destination["endpoint"] or "")
        self._reconciler.recorder.note(
            Kind.CUT, f"rule {rule} no longer allows it", endpoint=endpoint, host=bridge.host, **details
        )
        _log.info("connection_cut", endpoint=endpoint, **details)

    def _is_known(self, key: tuple[int, PacketEnds], bridge: BridgeKey, now_s: float) -> bool:
        """Say whether another bridge has told of this cut; one that tells again has allowed it in between."""
        at, bridges = self._told.get(key, (0.0, set()))
        if bridges and now_s - at < (TOGETHER_S if bridge in bridges else SAME_WITHIN_S):
            bridges.add(bridge)
            return True
        if len(self._told) >= MOST_REMEMBERED:
            self._told = {one: known for one, known in self._told.items() if now_s - known[0] < SAME_WITHIN_S}
        if len(self._told) < MOST_REMEMBERED:
            self._told[key] = (now_s, {bridge})
        return False
