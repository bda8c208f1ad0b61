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
            return fleet.port_seen(seen.host, seen.bridge, seen.name, seen.ofport, seen.external_ids, seen.at)
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
