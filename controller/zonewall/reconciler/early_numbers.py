"""Numbers of new ports as their bridge tells them over OpenFlow, before the host's database does.

Open vSwitch tells of a port as soon as it has made it, and writes its number into the database once it has
looked at all of its ports. Whose the port is comes from the database alone, which has the port's row before
there is a port (decision 0044).
"""

from __future__ import annotations

import time

from zonewall.openflow.events import PortChange, PortChanged
from zonewall.placement.binding_observations import observe
from zonewall.placement.binding_record import PortRef
from zonewall.placement.model import BridgeKey
from zonewall.placement.observations import PortGone, PortSeen
from zonewall.reconciler.reconciler import Reconciler
from zonewall.values.names import OfPort

_HIGHEST_OFPORT = 0xFEFF
_CUT_OFF = 15
"""Letters of a name in OpenFlow (OFP_MAX_PORT_NAME_LEN): one as long may be the beginning of a longer one."""
_MOST_AHEAD = 64
"""So many ports of a bridge wait for their database's row at a time, which is a moment behind at most."""


class EarlyNumbers:
    """Takes numbers into the world; called from the inbox only."""

    def __init__(self, reconciler: Reconciler) -> None:
        """Feed ``reconciler``."""
        self._reconciler = reconciler
        self._highest: dict[BridgeKey, int] = {}
        self._taken: dict[PortRef, int] = {}
        self._ahead: dict[BridgeKey, dict[str, int]] = {}

    def told(self, seen: PortSeen | PortGone) -> None:
        """Note what a database has said of a port, which counts whatever its bridge has told before."""
        key = BridgeKey(seen.host, seen.bridge)
        port, number = PortRef(key, seen.name), self._ahead.get(key, {}).pop(seen.name, None)
        self._taken.pop(port, None)
        if isinstance(seen, PortGone) or seen.failed:
            return
        if seen.ofport is not None and seen.ofport <= _HIGHEST_OFPORT:
            self._highest[key] = max(seen.ofport, self._highest.get(key, 0))
        elif number is not None:
            self._added(port, number)

    def take(self, key: BridgeKey, event: PortChanged) -> None:
        """Take what a bridge tells of a port, of a host whose database is connected.

        A number counts for a port that the database knows, and knows no number of. It has to be higher than
        all that the database has told of this bridge: then it is not the one that a port before it had.
        """
        port, number = PortRef(key, event.port.name), event.port.number
        if len(port.name) >= _CUT_OFF:
            return
        if event.change is PortChange.DELETED:
            self._ahead.get(key, {}).pop(port.name, None)
            if self._taken.get(port) == number:
                del self._taken[port]
                self._number(port, None)
        elif port in self._reconciler.world.fleet.ports:
            self._added(port, number)
        else:
            ahead = self._ahead.setdefault(key, {})
            ahead[port.name] = number
            if len(ahead) > _MOST_AHEAD:
                del ahead[next(iter(ahead))]

    def _added(self, port: PortRef, number: int) -> None:
        fleet = self._reconciler.world.fleet
        known, host = fleet.ports.get(port), fleet.hosts.get(port.bridge.host)
        is_its_own = self._highest.get(port.bridge, 0) < number <= _HIGHEST_OFPORT
        if known is not None and known.ofport is None and host is not None and host.alive and is_its_own:
            self._taken[port] = number
            self._number(port, OfPort(number))

    def _number(self, port: PortRef, number: OfPort | None) -> None:
        reconciler = self._reconciler
        fleet, (host, bridge) = reconciler.world.fleet, port.bridge
        known = fleet.ports.get(port)
        if known is None:  # an edit has taken its bridge out
            return
        seen = PortSeen(host, bridge, port.name, number, time.monotonic(), external_ids=known.external_ids)
        reconciler.take(observe(fleet, seen), f"bridge {port.bridge}")
        if reconciler.world.fleet.roles != fleet.roles:
            reconciler.roles_changed()
