"""What the hosts' databases say, taken into the world."""

from __future__ import annotations

import structlog

from zonewall.journal.record import Kind
from zonewall.placement.binding_observations import observe
from zonewall.placement.binding_record import PortRef
from zonewall.placement.model import BridgeKey
from zonewall.placement.observations import (
    BridgeGone,
    BridgeReady,
    BridgeSeen,
    HostLost,
    HostRefused,
    HostSeen,
    HostUnreachable,
    Observation,
    PortGone,
    PortSeen,
    SnapshotComplete,
)
from zonewall.reconciler.early_numbers import EarlyNumbers
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.seldom import Lately, Seldom
from zonewall.values.names import HostName

_log = structlog.get_logger()


class HostEvents:
    """Turns observations into the fleet's next state; called from the inbox only."""

    def __init__(self, reconciler: Reconciler) -> None:
        """Feed ``reconciler``."""
        self._reconciler = reconciler
        self.connected: dict[HostName, str] = {}
        """Open vSwitch's version by host whose database is connected."""
        self.problems: dict[str, str] = {}
        """Why a host that is connected out to is not followed."""
        self.refused = Lately()
        """Why those who connected in are not, by address."""
        self.early = EarlyNumbers(reconciler)
        self._seldom = Seldom()

    def take(self, seen: Observation) -> None:
        """Take one observation."""
        reconciler = self._reconciler
        if isinstance(seen, PortSeen):
            self.early.give_way(seen)
        fleet = reconciler.world.fleet
        match seen:
            case PortSeen() | PortGone() | BridgeSeen() | BridgeGone() | SnapshotComplete():
                roles = fleet.roles
                said = self.early.completed(seen) if isinstance(seen, PortSeen) else seen
                reconciler.take(observe(fleet, said), f"database of {seen.host}")
                if isinstance(seen, PortSeen | PortGone):
                    port = PortRef(BridgeKey(seen.host, seen.bridge), seen.name)
                    self.early.told(seen, fleet.ports.get(port))
                self.early.catch_up(seen.host)
                if reconciler.world.fleet.roles != roles:
                    reconciler.roles_changed()
                if isinstance(seen, SnapshotComplete):
                    reconciler.host_told(seen.host)
            case HostSeen() | HostLost():
                self._host(seen)
            case HostRefused() | HostUnreachable():
                self._refused(seen)
            case BridgeReady():
                pass
            case _:
                _log.warning("host_not_ready", what=str(seen))

    def _refused(self, seen: HostRefused | HostUnreachable) -> None:
        """Keep the last so many; record and tell of it seldom, since anybody can be refused at any speed."""
        if isinstance(seen, HostUnreachable):
            if seen.host not in self._reconciler.world.configuration.inventory.hosts:
                return  # an edit was quicker than what is told of it
            who: str = seen.host
            self.problems[seen.host] = seen.reason
        else:
            who = seen.peer
            self.refused.note(who, seen.reason)
        if self._seldom.is_due(who, seen.reason, seen.at):
            where = "" if isinstance(seen, HostRefused) else seen.host
            self._reconciler.recorder.note(Kind.HOST, who, host=where, state="refused", reason=seen.reason)
            _log.warning("host_refused", who=who, reason=seen.reason)

    def _host(self, seen: HostSeen | HostLost) -> None:
        fleet = self._reconciler.world.fleet
        if isinstance(seen, HostSeen):
            self.connected[seen.host] = seen.ovs_version
            self.problems.pop(seen.host, None)
            _log.info("host_connected", host=seen.host, peer=seen.peer, ovs_version=seen.ovs_version)
            self._reconciler.recorder.note(
                Kind.HOST, seen.peer, host=seen.host, state="connected", ovs_version=seen.ovs_version
            )
            self._reconciler.take(observe(fleet, seen), f"database of {seen.host}")
        else:
            self.connected.pop(seen.host, None)
            _log.warning("host_lost", host=seen.host, reason=seen.reason)
            self._reconciler.recorder.note(
                Kind.HOST, "connection lost", host=seen.host, state="lost", reason=seen.reason
            )
            self._reconciler.take(observe(fleet, seen), f"host {seen.host} lost")
