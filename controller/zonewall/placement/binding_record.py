"""What is remembered of one endpoint: its ports, which of them holds it, and why it is held.

The state (placement.md, "States") and the bindings are read from the record, never stored beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from zonewall.placement.announcement import Announcement
from zonewall.placement.model import Binding, BindingState, BridgeKey
from zonewall.values.addresses import IpPrefix, MacAddress, format_mac, link_local_address
from zonewall.values.changed import changed as replace
from zonewall.values.names import EndpointKey, OfPort


class PortRef(NamedTuple):
    """A port by its bridge and its name; its ofport may be missing and may change."""

    bridge: BridgeKey
    name: str

    def __str__(self) -> str:
        """Return ``host/bridge/name``."""
        return f"{self.bridge}/{self.name}"


class State(Enum):
    """How an endpoint stands in the fleet."""

    ABSENT = "absent"  # no port
    PENDING = "pending"  # ports, none of which holds it yet
    ACTIVE = "active"  # one port holds it
    MIGRATING = "migrating"  # one holds it, another one waits for an announcement
    LEAVING = "leaving"  # it has moved; the port that held it is still there and is refused
    QUARANTINED = "quarantined"  # isolated, wherever it is


class Role(Enum):
    """What a port is to its endpoint."""

    WAITING = "waiting"
    HOLDER = "holder"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Place:
    """One port that says it is the endpoint's.

    Attributes:
        ofport: None while the bridge has given none, or has failed to.
        generation: rises with each new port of the fleet; what carries an older one is stale.
        confirmed: the bridge has confirmed the endpoint's flows for this ofport.
        announced: the endpoint announced itself here before that.
        muted: an operator has judged that this old port's announcements mean nothing.
        faults: reasons not to believe the port, as judged from outside the record.
    """

    port: PortRef
    ofport: OfPort | None
    generation: int
    attached_mac: MacAddress | None = None
    vm_id: str | None = None
    role: Role = Role.WAITING
    confirmed: bool = False
    announced: bool = False
    muted: bool = False
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """A reason to isolate the whole endpoint; ``clone`` ends by itself when one of the two ports goes."""

    reason: str
    clone: bool = False


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """All that is known of where one endpoint is.

    Attributes:
        mac: what the inventory says; the only one that may announce it.
        vm_id: the inventory's VM id; None where it names none.
        prefixes: addresses that it may announce; empty where the inventory names none.
        places: its ports, oldest first.
        window_until: connections that began elsewhere may be taken up until then; None: not at all.
        moved_at: when the holder last changed from one port to another.
        left: the bridge that lost it last, and when, for a move in which the old port goes first.
    """

    endpoint: EndpointKey
    mac: MacAddress
    vm_id: str | None = None
    prefixes: tuple[IpPrefix, ...] = ()
    places: tuple[Place, ...] = ()
    holds: tuple[Hold, ...] = ()
    window_until: float | None = None
    moved_at: float | None = None
    left: tuple[BridgeKey, float] | None = None

    @property
    def is_outside(self) -> bool:
        """Say whether it is kept only so that who is isolated stays so, in the inventory or not."""
        return bool(self.holds) and not self.places

    @property
    def holder(self) -> Place | None:
        """Return the place that holds the endpoint."""
        return next((place for place in self.places if place.role is Role.HOLDER), None)

    def place(self, port: PortRef) -> Place | None:
        """Return the place at that port."""
        return next((place for place in self.places if place.port == port), None)

    def owns(self, announcement: Announcement) -> bool:
        """Say whether the endpoint may announce that: its MAC, and its address where any is known."""
        if announcement.mac != self.mac:
            return False
        if announcement.ip is None or not self.prefixes:
            return True
        return announcement.ip == link_local_address(self.mac) or any(
            announcement.ip in prefix for prefix in self.prefixes if prefix.version == announcement.ip.version
        )


def faults(record: EndpointRecord, place: Place) -> tuple[str, ...]:
    """Return every reason not to believe a place; they end by themselves with their cause."""
    found = list(place.faults)
    if place.attached_mac is not None and place.attached_mac != record.mac:
        theirs, ours = format_mac(place.attached_mac), format_mac(record.mac)
        found.append(f"MAC differs: the port has {theirs}, the inventory {ours}")
    if record.vm_id and place.vm_id and place.vm_id != record.vm_id:
        found.append(f"VM id differs: the port has {place.vm_id}, the inventory {record.vm_id}")
    elder = _elder_twin(record, place)
    if elder is not None:
        found.append(f"clone: VM {elder.vm_id} is at {elder.port}, this port is VM {place.vm_id}'s")
    return tuple(found)


def is_live(record: EndpointRecord, place: Place) -> bool:
    """Say whether the endpoint could be at this place: it has an ofport, and nothing speaks against it."""
    return place.ofport is not None and not faults(record, place)


def state(record: EndpointRecord) -> State:
    """Return how the endpoint stands."""
    holder = record.holder
    if record.holds:
        return State.QUARANTINED
    if holder is None:
        return State.PENDING if record.places else State.ABSENT
    if faults(record, holder):
        return State.QUARANTINED
    others = [place for place in record.places if place is not holder and is_live(record, place)]
    if any(place.role is Role.WAITING for place in others):
        return State.MIGRATING
    return State.LEAVING if others else State.ACTIVE


def quarantine_reason(record: EndpointRecord) -> str:
    """Return why the endpoint is isolated; empty when it is not."""
    holder = record.holder
    reasons = [hold.reason for hold in record.holds]
    reasons += faults(record, holder) if holder is not None else ()
    return "; ".join(reasons)


def bindings(record: EndpointRecord) -> tuple[Binding, ...]:
    """Return a binding for each place that has an ofport, oldest first; at most one of them may take part."""
    return tuple(binding for _, binding in placed_bindings(record))


def placed_bindings(record: EndpointRecord) -> tuple[tuple[Place, Binding], ...]:
    """Return the places that have an ofport, each with its binding."""
    return tuple((place, _binding(record, place)) for place in record.places if place.ofport is not None)


def with_place(record: EndpointRecord, place: Place) -> EndpointRecord:
    """Return the record with a place put in or replaced, oldest first."""
    if place in record.places:
        return record
    others = [known for known in record.places if known.port != place.port]
    return replace(record, places=tuple(sorted([*others, place], key=lambda known: known.generation)))


def _binding(record: EndpointRecord, place: Place) -> Binding:
    """Return what a place with an ofport is for the compiler."""
    assert place.ofport is not None
    blank = Binding(record.endpoint, place.port.bridge, place.ofport, BindingState.PENDING)
    if place.role is Role.HOLDER:
        reason = quarantine_reason(record)
        if reason:
            return replace(blank, state=BindingState.QUARANTINED, reason=reason)
        return replace(blank, state=BindingState.ACTIVE, midstream=record.window_until is not None)
    found = faults(record, place)
    if found or place.role is Role.LEAVING:
        return replace(blank, state=BindingState.LEAVING, reason="; ".join(found))
    return blank


def _elder_twin(record: EndpointRecord, place: Place) -> Place | None:
    """Return an older place that another VM has, itself beyond suspicion: a migration keeps the VM's id."""
    if place.vm_id is None:
        return None
    for elder in record.places:
        if elder.generation >= place.generation or elder.ofport is None or elder.faults:
            continue
        differs = elder.vm_id is not None and elder.vm_id != place.vm_id
        if differs and elder.attached_mac in (None, record.mac) and record.vm_id in (None, elder.vm_id):
            return elder
    return None
