"""What speaks against a port beyond its endpoint's record: its host, its VM's other ports, the past."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from zonewall.placement.admission import host_allowed
from zonewall.placement.binding import PortFacts
from zonewall.placement.binding_held import Fleet
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.binding_record import EndpointRecord, PortRef
from zonewall.policy.inventory import EndpointDeclaration, Inventory
from zonewall.values.addresses import IpPrefix, MacAddress, host_prefix
from zonewall.values.changed import changed as replace
from zonewall.values.names import EndpointKey, HostName

K = TypeVar("K", str, int)

MOST_CLAIMS, MOST_OF_VM = 4, 64
"""So many ports of one host may say that they are one endpoint's, so many endpoints of one host that they are
one VM's: what an event of one of them costs rises with them."""


@dataclass(frozen=True, slots=True)
class Identities:
    """Which endpoints each VM has ports of, and whose each MAC address is."""

    vms: FrozenMap[str, frozenset[EndpointKey]] = field(default_factory=FrozenMap)
    macs: FrozenMap[int, frozenset[EndpointKey]] = field(default_factory=FrozenMap)

    def of_vm(self, vm_id: str | None) -> frozenset[EndpointKey]:
        """Return the endpoints with a port of that VM."""
        return frozenset() if vm_id is None else self.vms.get(vm_id, frozenset())

    def changed(self, before: EndpointRecord, after: EndpointRecord) -> Identities:
        """Return after a change of one record."""
        vms = _moved(self.vms, after.endpoint, _vm_ids(before), _vm_ids(after))
        macs = _moved(self.macs, after.endpoint, _macs(before), _macs(after))
        return self if vms is self.vms and macs is self.macs else Identities(vms, macs)

    def unknown_reason(self, facts: PortFacts, inventory: Inventory) -> str:
        """Return why a port of no endpoint is isolated, and whom it may be a clone of."""
        if facts.crowded is not None:
            return f"unknown: {MOST_CLAIMS} other ports of its host say that they are {facts.crowded}'s"
        owners = self.of_vm(facts.vm_id)
        if owners:
            return f"unknown: no endpoint of the inventory, but the VM of {min(owners)}"
        owners = self.macs.get(facts.attached_mac or 0, frozenset())
        if owners:
            return f"clone: no endpoint of the inventory, but the MAC of {min(owners)}"
        return "unknown: no endpoint of the inventory; describe it there or remove the port"


class FleetView(Fleet, Protocol):
    """What judging needs of the fleet."""

    @property
    def identities(self) -> Identities:
        """Return whose each VM and MAC is."""


def believed(fleet: FleetView, port: PortRef, facts: PortFacts) -> PortFacts:
    """Return what a port is where too many of its host say the same: nobody's, or not believed."""
    record = fleet.records.get(facts.endpoint) if facts.endpoint is not None else None
    if record is not None and len(record.places) >= MOST_CLAIMS:
        others = {place.port for place in record.places if place.port.bridge.host == port.bridge.host}
        if len(others - {port}) >= MOST_CLAIMS:
            return replace(facts, endpoint=None, crowded=facts.endpoint)
    related = fleet.identities.of_vm(facts.vm_id)
    if facts.endpoint is not None and len(related) >= MOST_OF_VM:
        there = (port.bridge.host, facts.vm_id)
        records = (fleet.records.get(key) for key in related - {facts.endpoint})
        places = (record.places for record in records if record is not None)
        here = [any(there == (one.port.bridge.host, one.vm_id) for one in of_one) for of_one in places]
        if sum(here) >= MOST_OF_VM:
            why = f"more than {MOST_OF_VM} endpoints of its host say that they are VM {facts.vm_id}'s"
            return replace(facts, vm_id=None, faults=(*facts.faults, why))
    return facts


def external_faults(
    fleet: FleetView, endpoint: EndpointKey, port: PortRef, facts: PortFacts, at: float
) -> tuple[str, ...]:
    """Return every reason against the port that lies outside the endpoint's own record."""
    declared = fleet.configuration.inventory.endpoints[endpoint]
    found = [
        host_allowed(fleet.configuration, endpoint, port.bridge.host),
        fleet.held_back.against(declared, at),
        _cloned_vm(fleet, endpoint, facts.vm_id),
    ]
    return (*facts.faults, *(reason for reason in found if reason is not None))


def new_record(key: EndpointKey, declared: EndpointDeclaration | None) -> EndpointRecord:
    """Return what is known of an endpoint of which nothing was heard; None: it is not in the inventory."""
    if declared is None:
        return EndpointRecord(key, MacAddress(0))
    return EndpointRecord(key, declared.mac, declared.vm_id, own_prefixes(declared))


def own_prefixes(endpoint: EndpointDeclaration) -> tuple[IpPrefix, ...]:
    """Return the addresses that an endpoint may announce."""
    return (*(host_prefix(address) for address in endpoint.ips), *endpoint.ranges)


def _cloned_vm(fleet: FleetView, endpoint: EndpointKey, vm_id: str | None) -> str | None:
    """Return why the VM is a clone: its other endpoints, older here, are on none of this one's hosts.

    The interfaces of one VM move together, so that during a migration they still share a host.
    """
    mine = _hosts_of_vm(fleet.records.get(endpoint), vm_id)
    for other in sorted(fleet.identities.of_vm(vm_id) - {endpoint}):
        theirs = _hosts_of_vm(fleet.records.get(other), vm_id)
        if mine and theirs and not mine.keys() & theirs.keys() and min(theirs.values()) < min(mine.values()):
            return f"clone: VM {vm_id} is on {min(theirs)} as {other}"
    return None


def _hosts_of_vm(record: EndpointRecord | None, vm_id: str | None) -> dict[HostName, int]:
    """Return the hosts where the record has ports of the VM, with the oldest port's generation."""
    found: dict[HostName, int] = {}
    for place in record.places if record is not None else ():
        if place.vm_id == vm_id and place.ofport is not None:
            found.setdefault(place.port.bridge.host, place.generation)
    return found


def _vm_ids(record: EndpointRecord) -> frozenset[str]:
    return frozenset(place.vm_id for place in record.places if place.vm_id is not None)


def _macs(record: EndpointRecord) -> frozenset[int]:
    return frozenset({record.mac} if record.places else ())


def _moved(
    index: FrozenMap[K, frozenset[EndpointKey]],
    endpoint: EndpointKey,
    before: frozenset[K],
    after: frozenset[K],
) -> FrozenMap[K, frozenset[EndpointKey]]:
    """Return the index with the endpoint under its new keys only."""
    for key in sorted(before - after):
        rest = index.get(key, frozenset()) - {endpoint}
        index = index.put(key, rest) if rest else index.drop(key)
    for key in sorted(after - before):
        index = index.put(key, index.get(key, frozenset()) | {endpoint})
    return index
