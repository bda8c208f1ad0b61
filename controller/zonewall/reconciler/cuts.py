"""Connections that are cut: what bridges report of them becomes one record each."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import structlog

from zonewall.flows.packet_ends import PacketEnds, packet_ends
from zonewall.journal.record import Kind
from zonewall.openflow.events import PacketIn
from zonewall.pipeline.cookie import Reason
from zonewall.pipeline.registers import (
    ANSWER,
    DST_IDENTITY,
    DST_QUARANTINED,
    HAD,
    HAD_BEGUN,
    HAD_RULE,
    LABEL_DST,
    LABEL_RULE,
    LABEL_SRC,
    REJECT,
    RULE,
    SRC_IDENTITY,
    SRC_QUARANTINED,
    VERDICT,
)
from zonewall.placement.model import BridgeKey
from zonewall.reconciler.naming import Naming, protocol_word, value_of, written
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.seldom import Seldom

SAME_WITHIN_S = 60.0
"""Both ends' bridges report a connection that runs both ways: the second report so soon is the same cut."""

TOGETHER_S = 1.0
"""Packets that a bridge handles together all find the mark, before the first of them takes it away."""

MOST_OF_ONE = 20_000
"""So many cuts that one bridge has told of are remembered, and recorded, within that time.

What it tells beyond that is counted: whoever has its host could have the journal written full.
"""

_log = structlog.get_logger()


class Cuts:
    """Confined to the controller's loop."""

    def __init__(self, reconciler: Reconciler) -> None:
        """Record into the journal of ``reconciler``."""
        self._reconciler = reconciler
        self._naming = Naming(reconciler)
        self._told: dict[tuple[int, PacketEnds], tuple[float, BridgeKey, set[BridgeKey]]] = {}
        """When a cut was told of first, by whom, and who has told of it since; the oldest first."""
        self._of: Counter[BridgeKey] = Counter()
        self._seldom = Seldom()
        self.missed = 0
        """Reports that left no record."""

    def take(self, bridge: BridgeKey, event: PacketIn) -> None:
        """Take the report of a bridge: a refused packet of a connection that had been allowed."""
        ends = packet_ends(event.frame)
        if ends is None:
            return
        if value_of(event, ANSWER):
            ends = ends.turned()
        number, _, _ = _remembered(event)
        now_s = time.monotonic()
        if self._is_known((number, ends), bridge, now_s):
            return
        if self._of[bridge] >= MOST_OF_ONE:
            self._missed(bridge, now_s)
            return
        self._told[number, ends] = (now_s, bridge, {bridge})
        self._of[bridge] += 1
        self._record(bridge, event, ends)

    def _record(self, bridge: BridgeKey, event: PacketIn, ends: PacketEnds) -> None:
        number, source_identity, destination_identity = _remembered(event)
        names = self._naming.current()
        rule = names.rules.get(number, str(number))
        by = names.rules.get(value_of(event, RULE))
        source = names.end(ends.source, source_identity)
        destination = names.end(ends.destination, destination_identity)
        both = zip((source, destination), _isolated(event), strict=True)
        isolated = [str(end["endpoint"]) for end, flag in both if flag and end["endpoint"]]
        details: dict[str, Any] = {
            "bridge": bridge.bridge, "rule": rule, "by": by,
            "verdict": "reject" if value_of(event, VERDICT) == REJECT else "drop",
            "protocol": protocol_word(ends.protocol),
            **written("source", ends.source, ends.sport, source),
            **written("destination", ends.destination, ends.dport, destination),
        }  # fmt: skip
        endpoint, cause = (
            source["endpoint"] or destination["endpoint"] or "",
            f"rule {rule} no longer allows it",
        )
        if isolated:
            details["isolated"] = isolated
            endpoint, cause = isolated[0], f"{' and '.join(isolated)} isolated"
        self._reconciler.recorder.note(Kind.CUT, cause, endpoint=str(endpoint), host=bridge.host, **details)
        _log.info("connection_cut", endpoint=endpoint, **details)

    def _is_known(self, key: tuple[int, PacketEnds], bridge: BridgeKey, now_s: float) -> bool:
        """Say whether another bridge has told of this cut; one that tells again has allowed it in between."""
        while self._told and now_s - next(iter(self._told.values()))[0] >= SAME_WITHIN_S:
            self._forget(next(iter(self._told)))
        at, _, bridges = self._told.get(key, (0.0, None, set[BridgeKey]()))
        if bridges and (bridge not in bridges or now_s - at < TOGETHER_S):
            bridges.add(bridge)
            return True
        self._forget(key)
        return False

    def _forget(self, key: tuple[int, PacketEnds]) -> None:
        if key in self._told:
            bridge = self._told.pop(key)[1]
            self._of[bridge] -= 1
            if not self._of[bridge]:
                del self._of[bridge]

    def _missed(self, bridge: BridgeKey, now_s: float) -> None:
        self.missed += 1
        if self._seldom.is_due(str(bridge), "missed", now_s):
            reason = (
                f"a bridge told of more than {MOST_OF_ONE} cut connections a minute; the rest has no record"
            )
            self._reconciler.recorder.note(
                Kind.GAP, f"bridge {bridge}", host=bridge.host, bridge=bridge.bridge, reason=reason
            )
            _log.warning("cuts_missed", bridge=str(bridge), reason=reason)


def _isolated(event: PacketIn) -> tuple[bool, bool]:
    """Return which end is isolated, if that is why: that of who began, and the other."""
    if event.userdata[0] != Reason.ISOLATED:
        return False, False
    flags = (bool(value_of(event, SRC_QUARANTINED)), bool(value_of(event, DST_QUARANTINED)))
    return flags[::-1] if value_of(event, ANSWER) else flags


def _remembered(event: PacketIn) -> tuple[int, int, int]:
    """Return what the connection was remembered by: the rule's number and both identities'.

    Of a datagram in fragments registers say it, the identities as they are now.
    """
    if value_of(event, HAD) == HAD_BEGUN:
        return value_of(event, HAD_RULE), value_of(event, SRC_IDENTITY), value_of(event, DST_IDENTITY)
    rule, source, destination = (
        event.label >> one.low & one.ones for one in (LABEL_RULE, LABEL_SRC, LABEL_DST)
    )
    return rule, source, destination
