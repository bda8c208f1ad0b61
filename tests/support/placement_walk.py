"""Records of one endpoint in every state, and every event that may happen to it."""

from __future__ import annotations

import random
from collections.abc import Iterator

from zonewall.placement.announcement import Announcement, AnnouncementKind, Forged
from zonewall.placement.binding_events import (
    Announced,
    ConfigurationChanged,
    Confirmed,
    HostBack,
    HostLost,
    OfportChanged,
    PlacementEvent,
    Plugged,
    Quarantine,
    Release,
    Tick,
    Unplugged,
)
from zonewall.placement.binding_record import EndpointRecord, PortRef, State, state
from zonewall.placement.migration import step
from zonewall.placement.model import BridgeKey
from zonewall.values.addresses import MacAddress, parse_mac
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort

MAC = parse_mac("52:54:00:12:34:56")
OTHER_MAC = parse_mac("52:54:00:aa:bb:cc")
RARP = Announcement(AnnouncementKind.RARP, MAC, None)
FORGED = Forged(AnnouncementKind.RARP, OTHER_MAC, MAC)


def port(host: str, name: str = "tap0") -> PortRef:
    """Return a port of the host's only bridge."""
    return PortRef(BridgeKey(HostName(host), BridgeName("br-int")), name)


PORTS = (port("hv1"), port("hv2"), port("hv3"))
BLANK = EndpointRecord(EndpointKey("acme/web1"), MAC)
NOW = 1000.0


def generation(ref: PortRef) -> int:
    """Return the generation that a port of the walk has: always the same, so that records are few."""
    return 1 + PORTS.index(ref)


def events_at(record: EndpointRecord, ref: PortRef) -> Iterator[PlacementEvent]:
    """Yield what may happen at one port."""
    known = record.place(ref)
    number = generation(ref)
    one, two = OfPort(1), OfPort(2)
    mac: MacAddress | None
    for ofport, mac, remembered in (
        (one, MAC, False),
        (None, MAC, False),
        (one, OTHER_MAC, False),
        (one, None, True),
    ):
        yield Plugged(ref, ofport, number, NOW, mac, "vm-1", remembered=remembered)
    yield Plugged(ref, one, number, NOW, MAC, "vm-2")
    yield Unplugged(ref, number, NOW)
    yield from (OfportChanged(ref, ofport, number, NOW) for ofport in (None, one, two))
    yield Confirmed(ref, (known.ofport if known else None) or one, number, NOW)
    yield from (Announced(ref, said, NOW + later) for said in (RARP, FORGED) for later in (0.0, 10.0))
    yield ConfigurationChanged(MAC, None, (), ((ref, ("host not trusted",)),), NOW)


def events(record: EndpointRecord) -> Iterator[PlacementEvent]:
    """Yield everything that may happen."""
    for ref in PORTS:
        yield from events_at(record, ref)
    yield Announced(port("hv9"), RARP, NOW)
    yield HostLost(HostName("hv1"), NOW)
    yield HostBack(HostName("hv1"), NOW, restarted=True)
    yield Tick(NOW + 1)
    yield Tick(NOW + 100)
    yield Quarantine("by hand", NOW)
    yield Release(NOW)
    yield ConfigurationChanged(MAC, None, (), (), NOW)
    yield ConfigurationChanged(OTHER_MAC, None, (), (), NOW)


def records_by_state(per_state: int, seed: int = 0, steps: int = 12000) -> dict[State, list[EndpointRecord]]:
    """Return up to ``per_state`` distinct records in each state, met on a random walk with a fixed seed."""
    rng = random.Random(seed)
    found: dict[State, dict[EndpointRecord, None]] = {each: {} for each in State}
    record = BLANK
    for number in range(steps):
        found[state(record)].setdefault(record)
        record, _ = step(BLANK if number % 40 == 0 else record, rng.choice(list(events(record))))
    return {each: rng.sample(list(met), min(per_state, len(met))) for each, met in found.items()}
