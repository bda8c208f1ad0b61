"""Mirror targets that send: a port that should only listen speaks, which is dropped and told."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import structlog

from zonewall.journal.record import Kind
from zonewall.openflow.events import PacketIn
from zonewall.placement.model import BridgeKey
from zonewall.reconciler.recorder import Recorder
from zonewall.values.addresses import format_mac

TOLD_EVERY_S = 60.0

MOST_PORTS = 64
"""So many ports of a bridge are told apart: a bridge that lies can name as many as it likes."""

OTHERS = "others"

_log = structlog.get_logger()


class Intruders:
    """Counts what mirror targets send; the first is told at once, the rest once a minute."""

    def __init__(self, recorder: Recorder) -> None:
        """Record into ``recorder``."""
        self._recorder = recorder
        self._seen: dict[tuple[BridgeKey, str], dict[str, Any]] = {}
        self._ports: Counter[BridgeKey] = Counter()

    def take(self, bridge: BridgeKey, port: str, event: PacketIn) -> None:
        """Take the report of one frame that was dropped; bridges send at most one a second for each port."""
        now = time.monotonic()
        if (bridge, port) not in self._seen and self._ports[bridge] >= MOST_PORTS:
            port = OTHERS
        if (bridge, port) not in self._seen:
            self._ports[bridge] += 1
        known = self._seen.setdefault((bridge, port), {"reports": 0, "told": -TOLD_EVERY_S})
        known["reports"] += 1
        known["mac"] = format_mac(int.from_bytes(event.frame[6:12], "big"))
        if now - known["told"] < TOLD_EVERY_S:
            return
        known["told"] = now
        _log.warning("mirror_target_sent", bridge=str(bridge), port=port, mac=known["mac"])
        self._recorder.note(
            Kind.INTRUDED, f"{bridge}, port {port}", host=bridge.host, port=port, mac=known["mac"]
        )

    def forget(self, bridge: BridgeKey) -> None:
        """Forget what ports of a bridge have sent that is none of the inventory's any more."""
        self._seen = {place: known for place, known in self._seen.items() if place[0] != bridge}
        self._ports.pop(bridge, None)

    def status(self) -> list[dict[str, Any]]:
        """Return who has sent since the controller started."""
        return [
            {"port": f"{bridge}/{port}", "mac": known["mac"], "reports": known["reports"]}
            for (bridge, port), known in sorted(self._seen.items())
        ]
