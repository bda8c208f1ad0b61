"""Numbers of new ports as their bridge tells them over OpenFlow, before the host's database does.

Open vSwitch tells of a port as soon as it has made it, and writes its number into the database once it has
looked at all of its ports. Whose the port is comes from the database alone, which has the port's row before
there is a port (decision 0044).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from zonewall.openflow.events import Port, PortChange, PortChanged
from zonewall.placement.binding_observations import observe
from zonewall.placement.binding_ports import SeenPort
from zonewall.placement.binding_record import PortRef
from zonewall.placement.model import BridgeKey
from zonewall.placement.observations import PortGone, PortSeen
from zonewall.reconciler.reconciler import Reconciler
from zonewall.values.changed import changed as replace
from zonewall.values.names import HostName, OfPort

_HIGHEST_OFPORT = 0xFEFF
_CUT_OFF = 15
"""Letters of a name in OpenFlow (OFP_MAX_PORT_NAME_LEN): one as long may be the beginning of a longer one."""
_MOST_AHEAD = 64
"""So many ports of a bridge wait for their database's row at a time, which is a moment behind at most."""
_MOST_LEFT = 1024
"""So many names of a bridge are left to the database at a time; the oldest is forgotten first."""

T = TypeVar("T")


class EarlyNumbers:
    """Takes numbers into the world; called from the inbox only."""

    def __init__(self, reconciler: Reconciler) -> None:
        """Feed ``reconciler``."""
        self._reconciler = reconciler
        self.is_behind: Callable[[HostName], bool] = lambda _: False
        """Says whether more waits of what a host's database has told: it may tell of another port."""
        self._highest: dict[BridgeKey, int] = {}
        self._taken: dict[PortRef, int] = {}
        self._ahead: dict[BridgeKey, dict[str, int]] = {}
        self._left: dict[BridgeKey, dict[str, None]] = {}
        """Names of which two ports may be on their way: left to the database until it tells a number."""

    def give_way(self, seen: PortSeen) -> None:
        """Take a number from whom its bridge gave it, where the database says of another that it has it."""
        key = BridgeKey(seen.host, seen.bridge)
        if seen.ofport is None or not self._taken:
            return
        holder = self._reconciler.world.fleet.by_ofport.get((key, seen.ofport))
        if holder in self._taken and holder.name != seen.name:
            self._went(holder)

    def completed(self, seen: PortSeen) -> PortSeen:
        """Return what a database says of a port, with its bridge's number if no other is said."""
        port = PortRef(BridgeKey(seen.host, seen.bridge), seen.name)
        known, number = self._reconciler.world.fleet.ports.get(port), self._taken.get(port)
        if (
            known is None
            or number is None
            or known.ofport != number
            or seen.ofport is not None
            or seen.failed
        ):
            return seen
        return replace(seen, ofport=OfPort(number)) if known.external_ids == seen.external_ids else seen

    def told(self, seen: PortSeen | PortGone, before: SeenPort | None) -> None:
        """Note what a database has said of a port, which counts whatever its bridge has told before.

        ``before``: the port as it was known until then.
        """
        key, fleet = BridgeKey(seen.host, seen.bridge), self._reconciler.world.fleet
        if key not in fleet.lookup.roles:
            return
        port = PortRef(key, seen.name)
        after = fleet.ports.get(port)
        is_completed = after is not None and after.ofport is not None
        is_without = isinstance(seen, PortSeen) and seen.ofport is None
        if is_completed or not is_without or (isinstance(seen, PortSeen) and seen.failed):
            self._no_longer_ahead(port)
        if not (is_completed and is_without):
            self._compare(port, seen, before, after)

    def _compare(
        self, port: PortRef, seen: PortSeen | PortGone, before: SeenPort | None, after: SeenPort | None
    ) -> None:
        """Note whether what a database says of a port is of the one that was there ``before``."""
        key = port.bridge
        was_told = self._taken.pop(port, None) is None and before is not None and before.ofport is not None
        if isinstance(seen, PortSeen) and seen.ofport is not None:
            self._left.get(key, {}).pop(seen.name, None)
            if seen.ofport <= _HIGHEST_OFPORT:
                self._highest[key] = max(seen.ofport, self._highest.get(key, 0))
            return
        is_another = before is not None and (
            after is None or before.facts.endpoint not in (None, after.facts.endpoint)
        )
        if is_another and not was_told:
            self._leave(port)

    def connected(self, key: BridgeKey, ports: Iterable[Port]) -> None:
        """Let go of what a bridge has told before it was away, unless it says the same now."""
        self._ahead.pop(key, None)
        there = {(port.name, port.number) for port in ports}
        for port, number in tuple(self._taken.items()):
            if port.bridge == key and (port.name, number) not in there:
                self._went(port)

    def forget(self, key: BridgeKey) -> None:
        """Forget a bridge that the inventory has no more."""
        for kept in (self._highest, self._ahead, self._left):
            kept.pop(key, None)
        for port in [port for port in self._taken if port.bridge == key]:
            del self._taken[port]

    def take(self, key: BridgeKey, event: PortChanged) -> None:
        """Take what a bridge tells of a port, of a host whose database is connected.

        A number counts for a port that the database knows, and knows no number of. It has to be higher than
        all that the database has told of this bridge: then it is not the one that a port before it had. It is
        the first of its name, too: a second one may be of a port that the database has yet to tell of.
        """
        port, number = PortRef(key, event.port.name), event.port.number
        if len(port.name) >= _CUT_OFF:
            return
        known = self._reconciler.world.fleet.ports.get(port)
        if event.change is PortChange.DELETED:
            was_ahead = self._no_longer_ahead(port) is not None
            if self._taken.get(port) == number:
                self._went(port)
            elif was_ahead or (known is not None and known.ofport is None):
                self._leave(port)
        elif known is None or known.ofport is None:
            _put(self._ahead.setdefault(key, {}), port.name, number, _MOST_AHEAD)
            self.catch_up(key.host)

    def catch_up(self, host: HostName) -> None:
        """Take the numbers of a host's ports that have a row, once all is taken that its database told."""
        if not self._ahead or self.is_behind(host):
            return
        rows = self._reconciler.world.fleet.ports
        ahead = [
            PortRef(key, name) for key, names in self._ahead.items() if key.host == host for name in names
        ]
        for port in ahead:
            if port in rows and (number := self._no_longer_ahead(port)) is not None:
                self._added(port, number)

    def _no_longer_ahead(self, port: PortRef) -> int | None:
        """Return the number of a port that waited, which does so no more."""
        names = self._ahead.get(port.bridge, {})
        number = names.pop(port.name, None)
        if not names:
            self._ahead.pop(port.bridge, None)
        return number

    def _leave(self, port: PortRef) -> None:
        _put(self._left.setdefault(port.bridge, {}), port.name, None, _MOST_LEFT)

    def _went(self, port: PortRef) -> None:
        del self._taken[port]
        self._leave(port)
        self._number(port, None)

    def _added(self, port: PortRef, number: int) -> None:
        fleet = self._reconciler.world.fleet
        known, host = fleet.ports.get(port), fleet.hosts.get(port.bridge.host)
        is_its_own = self._highest.get(port.bridge, 0) < number <= _HIGHEST_OFPORT
        is_its_own = is_its_own and (port.bridge, OfPort(number)) not in fleet.by_ofport
        is_left = port.name in self._left.get(port.bridge, {})
        is_heard = host is not None and host.alive
        if known is not None and known.ofport is None and is_heard and is_its_own and not is_left:
            self._taken[port] = number
            self._number(port, OfPort(number))

    def _number(self, port: PortRef, number: OfPort | None) -> None:
        reconciler = self._reconciler
        fleet, (host, bridge) = reconciler.world.fleet, port.bridge
        known = fleet.ports.get(port)
        if known is None:  # an edit has taken its bridge out
            return
        seen = PortSeen(host, bridge, port.name, number, time.monotonic(), external_ids=known.external_ids)
        cause = f"database of {host}, ofport from {port.bridge}" if number else f"bridge {port.bridge}"
        reconciler.take(observe(fleet, seen), cause)
        if reconciler.world.fleet.roles != fleet.roles:
            reconciler.roles_changed()


def _put(among: dict[str, T], name: str, value: T, most: int) -> None:
    among.pop(name, None)
    among[name] = value
    if len(among) > most:
        del among[next(iter(among))]
