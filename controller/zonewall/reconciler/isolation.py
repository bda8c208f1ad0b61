"""Isolating endpoints and letting them go, for operators and for what answers alerts."""

from __future__ import annotations

import time

from zonewall.errors import ZonewallError
from zonewall.journal.record import Kind
from zonewall.reconciler.reconciler import Reconciler
from zonewall.values.names import EndpointKey


def quarantine(reconciler: Reconciler, endpoint: EndpointKey, reason: str, who: str) -> None:
    """Isolate an endpoint: first on its bridges, ``remembered`` says when a restart knows it, too.

    Raises:
        ZonewallError: the inventory does not have it.
    """
    _require(reconciler, endpoint)
    reconciler.recorder.note(Kind.ADMIN, who, endpoint=endpoint, action="quarantine", reason=reason)
    reconciler.take(reconciler.world.fleet.quarantine(endpoint, reason, time.monotonic()), who)
    reconciler.remembered()


def release(reconciler: Reconciler, endpoint: EndpointKey, reason: str | None, who: str) -> None:
    """Lift an endpoint's isolation: what was imposed for one reason, or all that can be lifted.

    Raises:
        ZonewallError: the inventory does not have it.
    """
    _require(reconciler, endpoint)
    reconciler.recorder.note(Kind.ADMIN, who, endpoint=endpoint, action="release", reason=reason or "")
    reconciler.take(reconciler.world.fleet.release(endpoint, time.monotonic(), reason), who)
    reconciler.remembered()


def _require(reconciler: Reconciler, endpoint: EndpointKey) -> None:
    known = reconciler.world.configuration.inventory.endpoints
    if endpoint not in known and endpoint not in reconciler.world.fleet.records:
        raise ZonewallError(f"{endpoint}: no such endpoint; write tenant/name, as the inventory does")
