"""What a running controller says of itself: one plain document."""

from __future__ import annotations

import time
from collections.abc import Iterator
from heapq import nsmallest
from typing import Any

from zonewall.intent.connection_limits import host_command
from zonewall.intent.fleet import bridges_of
from zonewall.intent.numbering import Kind
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_record import Place, PortRef
from zonewall.placement.model import Binding, BridgeKey
from zonewall.policy.inventory import ForeignFlows
from zonewall.reconciler.bridges import BridgeEvents
from zonewall.reconciler.gate import Gate
from zonewall.reconciler.holdings import foreign_row
from zonewall.reconciler.hosts import HostEvents
from zonewall.reconciler.reconciler import Reconciler
from zonewall.store.journal_writer import JournalStatus
from zonewall.values.names import EndpointKey

MOST_UNKNOWN = 100
"""So many ports of a bridge that nothing covers are shown."""


def status_document(
    reconciler: Reconciler, hosts: HostEvents, bridges: BridgeEvents, journal: JournalStatus, gate: Gate
) -> dict[str, Any]:
    """Return the controller's status, as ``zonewall status --output json`` shows it."""
    world = reconciler.world
    refused: dict[str, str] = {**hosts.problems, **hosts.refused.words, **bridges.refused.words}
    return {
        "configuration": _configuration(reconciler),
        "journal": _journal(journal),
        "not_written": [
            error
            for error in (
                reconciler.numbers.error,
                reconciler.memory.error,
                reconciler.schedule.error,
                reconciler.last.error,
            )
            if error
        ],
        "faults": reconciler.faults.status(),
        "hosts": [
            {
                "host": name,
                "database": "connected" if name in hosts.connected else "away",
                "ovs_version": hosts.connected.get(name),
                "problem": hosts.problems.get(name),
                **gate.of_host(name),
            }
            for name in sorted(world.configuration.inventory.hosts)
        ],
        "bridges": [
            {**row, **gate.of_bridge(world.datapath_of(key))}
            for key, row in zip(bridges_of(world.configuration), bridge_rows(reconciler), strict=True)
        ],
        "inbox": gate.status(),
        "endpoints": _endpoints(reconciler),
        **unknown_ports(world.fleet),
        "links": sorted(f"{link.a[0]}/{link.a[1]} - {link.b[0]}/{link.b[1]}" for link in world.fleet.links),
        "limits_not_set": [
            {"host": name, "limit": "connections", "command": command}
            for name in sorted(world.configuration.inventory.hosts)
            if (command := host_command(world.indexed, name)) is not None
        ],
        "appliances": bridges.health.status(),
        "mirror_targets_that_sent": bridges.intruders.status(),
        "cuts_without_record": bridges.cuts.missed,
        "refused": [{"peer": peer, "reason": reason} for peer, reason in sorted(refused.items())],
    }


def unknown_ports(fleet: FleetState) -> dict[str, Any]:
    """Return what the status says of ports that nothing covers; of a bridge that has too many, the first."""
    by_bridge: dict[BridgeKey, list[PortRef]] = {}
    for port in fleet.unknown:
        by_bridge.setdefault(port.bridge, []).append(port)
    shown = [port for key in sorted(by_bridge) for port in nsmallest(MOST_UNKNOWN, by_bridge[key])]
    return {
        "unknown_ports": [
            {"port": f"{port.bridge}/{port.name}", "reason": fleet.unknown[port]} for port in shown
        ],
        "unknown_ports_not_shown": [
            {"bridge": str(key), "ports": more}
            for key in sorted(by_bridge)
            if (more := len(by_bridge[key]) - MOST_UNKNOWN) > 0
        ],
    }


def _configuration(reconciler: Reconciler) -> dict[str, Any]:
    """Return what the status says of the documents in force."""
    return {
        "directory": str(reconciler.directory),
        "revision": reconciler.revision,
        "loaded_s_ago": round(time.time() - reconciler.loaded_at, 1),
        "documents": reconciler.recorder.documents,
        "refused": reconciler.refused_configuration or None,
        "behind": reconciler.behind or None,
        "tenants": sorted(reconciler.world.configuration.tenants),
    }


def _journal(journal: JournalStatus) -> dict[str, Any]:
    """Return what the status says of the journal."""
    return {
        "records": journal.head.sequence,
        "head": str(journal.head),
        "waiting": journal.waiting,
        "lost": journal.lost,
        "error": journal.error or None,
        "broken": journal.broken or None,
    }


def _endpoints(reconciler: Reconciler) -> list[dict[str, Any]]:
    """Return what the status says of each endpoint: what it has learnt, and where it is."""
    world, book = reconciler.world, reconciler.addresses.book
    return [
        {
            "endpoint": key,
            "learnt": [
                {"address": str(one.address), "source": one.source.value} for one in book.of_endpoint(key)
            ],
            "places": [
                {
                    "bridge": str(binding.bridge),
                    "ofport": binding.ofport,
                    "state": binding.state.value,
                    "reason": binding.reason or None,
                    "ready": place.confirmed,
                }
                for place, binding in _placed(world.fleet, key)
            ],
        }
        for key in sorted(world.configuration.inventory.endpoints)
    ]


def bridge_rows(reconciler: Reconciler) -> list[dict[str, Any]]:
    """Return what the status says of the bridges; unlike all of it, that costs little on a large fleet."""
    return [_bridge(reconciler, key) for key in bridges_of(reconciler.world.configuration)]


def _placed(fleet: FleetState, key: EndpointKey) -> Iterator[tuple[Place, Binding]]:
    """Yield an endpoint's places that have an ofport, each with its binding."""
    record = fleet.records.get(key)
    if record is not None:
        places = (place for place in record.places if place.ofport is not None)
        yield from zip(places, fleet.bindings.get(key, ()), strict=True)


def _bridge(reconciler: Reconciler, key: Any) -> dict[str, Any]:
    keeper = reconciler.keepers.get(key)
    if keeper is None:
        return {"bridge": str(key), "state": "away"}
    status = keeper.status
    declared = reconciler.world.configuration.inventory.hosts[key.host].bridges[key.bridge]
    reported = declared.foreign_flows is ForeignFlows.REPORT
    return {
        "bridge": str(key),
        "number": reconciler.world.policy.number(Kind.DESTINATION, f"bridge:{key}"),
        "state": status.state,
        "pending": keeper.is_pending,
        "flows": status.flows,
        "changes_applied": status.applied,
        "drift_repaired": keeper.holdings.counts.drift,
        "foreign_flows": len(keeper.holdings.counts.foreign),
        "foreign": [foreign_row(flow) for flow in keeper.holdings.counts.foreign[:10]] if reported else [],
        "watched": keeper.holdings.counts.is_watched,
        "error": status.error or None,
        "set_aside": keeper.aside.rows(reconciler.world.policy, time.monotonic()),
        "since": status.since or None,
    }
