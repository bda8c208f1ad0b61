"""What the hosts' databases say, applied to the fleet."""

from __future__ import annotations

from zonewall.placement.binding_fleet import Change, FleetState
from zonewall.placement.binding_record import PortRef
from zonewall.placement.model import BridgeKey
from zonewall.placement.observations import (
    BridgeGone,
    BridgeSeen,
    HostLost,
    HostSeen,
    Observation,
    PortGone,
    PortSeen,
    SnapshotComplete,
)


def observe(fleet: FleetState, seen: Observation) -> Change:
    """Return the fleet after an observation; one that says nothing of placement changes nothing."""
    match seen:
        case PortSeen():
            fleet, effects = _with_free_number(fleet, seen)
            fleet, more = fleet.port_seen(
                seen.host, seen.bridge, seen.name, seen.ofport, seen.external_ids, seen.at
            )
            return fleet, effects + more
        case PortGone():
            return fleet.port_gone(PortRef(BridgeKey(seen.host, seen.bridge), seen.name), seen.at)
        case HostSeen():
            return fleet.host_seen(seen.host, seen.at)
        case HostLost():
            return fleet.host_lost(seen.host, seen.at)
        case SnapshotComplete():
            return fleet.snapshot_complete(seen.host, seen.at)
        case BridgeSeen(datapath_id=datapath_id) if datapath_id is not None:
            return fleet.bridge_seen(BridgeKey(seen.host, seen.bridge), datapath_id)
        case BridgeGone():
            return fleet.bridge_gone(BridgeKey(seen.host, seen.bridge)), ()
        case _:
            return fleet, ()


def _with_free_number(fleet: FleetState, seen: PortSeen) -> Change:
    """Return the fleet in which no other port has the number of the one that is seen now.

    A bridge gives each number once; what another had is old, and what it has or that it went is told next. In
    between two endpoints at one port would be compiled into one flow, which goes with the first of them.
    """
    bridge = BridgeKey(seen.host, seen.bridge)
    other = fleet.by_ofport.get((bridge, seen.ofport)) if seen.ofport is not None else None
    if other is None or other.name == seen.name:
        return fleet, ()
    if other in fleet.hosts[seen.host].unverified:
        return fleet.port_gone(other, seen.at)
    return fleet.port_seen(*bridge, other.name, None, fleet.ports[other].external_ids, seen.at)
