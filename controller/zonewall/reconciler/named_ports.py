"""Ports as their bridges name them over OpenFlow, of hosts whose database nobody has connected."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from zonewall.openflow.events import Port
from zonewall.placement.binding_ports import HostView
from zonewall.placement.binding_record import PortRef
from zonewall.placement.model import BridgeKey
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.seldom import Names

_HIGHEST_OFPORT = 0xFEFF
TAKEN_AT_ONCE = 100
"""So many ports of a bridge are taken before others have their turn: 5 ms."""


class NamedPorts:
    """Takes ports into the world; called from the inbox only."""

    def __init__(self, reconciler: Reconciler) -> None:
        """Feed ``reconciler``."""
        self._reconciler = reconciler
        self._names = Names()

    def all_of(self, key: BridgeKey, ports: Iterable[Port]) -> Iterator[None]:
        """Take all ports that a bridge has, so many at a time; others went while it could not tell."""
        there = {port.name: port for port in ports}
        view = self._reconciler.world.fleet.hosts.get(key.host, HostView())
        went = [known.name for known in sorted(view.ports) if known.bridge == key and known.name not in there]
        for number, name in enumerate([*went, *there], 1):
            self.take(key, name, there.get(name))
            if number % TAKEN_AT_ONCE == 0:
                yield

    def forget(self, key: BridgeKey) -> None:
        """Forget a bridge that is none of the inventory's any more."""
        self._names.forget(key)

    def take(self, key: BridgeKey, name: str, port: Port | None) -> None:
        """Take a port as it is now; None: it has gone."""
        if not self._names.admit(key, name, gone=port is None):
            return
        at, fleet = time.monotonic(), self._reconciler.world.fleet
        if port is None:
            change = fleet.port_gone(PortRef(key, name), at)
        else:
            number = port.number if port.number <= _HIGHEST_OFPORT else None
            change = fleet.port_seen(key.host, key.bridge, name, number, {}, at)
        self._reconciler.take(change, f"bridge {key}")
        if self._reconciler.world.fleet.roles != fleet.roles:
            self._reconciler.roles_changed()
