"""Whether service functions can be reached: a leg whose link is down counts as away until it is up again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import structlog

from zonewall.journal.record import Kind
from zonewall.openflow.events import Port
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import PortRole
from zonewall.reconciler.reconciler import Reconciler

_log = structlog.get_logger()


class Health:
    """Follows the links of service functions' legs; called from the inbox only."""

    def __init__(self, reconciler: Reconciler) -> None:
        """Tell ``reconciler`` which legs are away."""
        self._reconciler = reconciler
        self._since: dict[tuple[BridgeKey, str], float] = {}

    def take(self, bridge: BridgeKey, ports: Iterable[Port], *, gone: bool = False) -> None:
        """Take ports as a bridge tells of them."""
        world = self._reconciler.world
        declared = world.configuration.inventory.hosts[bridge.host].bridges[bridge.bridge].ports
        down = set(world.down)
        for port in ports:
            known = declared.get(port.name)
            if known is None or known.role is not PortRole.SERVICE:
                continue
            leg = (bridge, port.name)
            if port.is_up or gone:
                down.discard(leg)
            else:
                down.add(leg)
        if down == world.down:
            return
        for leg in sorted(down ^ world.down):
            self._tell(leg, is_down=leg in down)
        self._reconciler.legs_down(frozenset(down))

    def status(self) -> list[dict[str, Any]]:
        """Return the legs that are away, and since when."""
        return [
            {"port": f"{bridge}/{name}", "since": self._since.get((bridge, name))}
            for bridge, name in sorted(self._reconciler.world.down)
        ]

    def _tell(self, leg: tuple[BridgeKey, str], *, is_down: bool) -> None:
        bridge, name = leg
        self._since[leg] = time.time()
        state = "down" if is_down else "up"
        _log.warning("service_leg", bridge=str(bridge), port=name, state=state)
        self._reconciler.recorder.note(
            Kind.SERVICE_LEG, f"{bridge}, port {name}", host=bridge.host, port=name, state=state
        )
