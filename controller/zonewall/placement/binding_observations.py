"""What the hosts' databases say, applied to the fleet."""

from __future__ import annotations

from zonewall.placement.binding_events import Effect
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
from zonewall.values.changed import changed as replace
from zonewall.values.names import OfPort


def observe(fleet: FleetState, seen: Observation) -> Change:
    """Return the fleet after an observation; one that says nothing of placement changes nothing."""
    match seen:
        case PortSeen():
            return _port_seen(fleet, seen)
        case PortGone():
            change = fleet.port_gone(PortRef(BridgeKey(seen.host, seen.bridge), seen.name), seen.at)
            return _given_on(change, seen)
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


def _port_seen(fleet: FleetState, seen: PortSeen) -> Change:
    """Return the fleet with a port as it is seen now; while another one has its number, it has none.

    A bridge gives each number once. Of two ports that are said to have one, the first has it until it is
    told otherwise: the second may have brought it from another bridge, whose database says it still.
    """
    bridge = BridgeKey(seen.host, seen.bridge)
    effects: tuple[Effect, ...] = ()
    other = fleet.by_ofport.get((bridge, seen.ofport)) if seen.ofport is not None else None
    if other is not None and other.name != seen.name and other in fleet.hosts[seen.host].unverified:
        (fleet, effects), other = fleet.port_gone(other, seen.at), None
    is_others = other is not None and other.name != seen.name
    number = None if is_others else seen.ofport
    fleet, more = fleet.port_seen(*bridge, seen.name, number, seen.external_ids, seen.at)
    fleet = _awaiting(fleet, PortRef(bridge, seen.name), seen.ofport if is_others else None)
    return _given_on((fleet, effects + more), seen)


def _awaiting(fleet: FleetState, port: PortRef, number: OfPort | None) -> FleetState:
    """Return the fleet with a port that waits for a number; None: for none."""
    host = port.bridge.host
    before = fleet.hosts.get(host)
    if before is None or (view := before.awaiting(port, number)) is before:
        return fleet
    return replace(fleet, hosts=fleet.hosts.put(host, view))


def _given_on(change: Change, seen: PortSeen | PortGone) -> Change:
    """Return the fleet in which ports of the same host that waited for a number have it if it is free."""
    fleet, effects = change
    view = fleet.hosts.get(seen.host)
    for port, number in sorted(view.waiting.items()) if view is not None and view.waiting else ():
        if (port.bridge, number) not in fleet.by_ofport:
            ids = fleet.ports[port].external_ids
            fleet, more = fleet.port_seen(*port.bridge, port.name, number, ids, seen.at)
            fleet, effects = _awaiting(fleet, port, None), effects + more
    return fleet, effects
