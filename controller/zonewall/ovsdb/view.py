"""One host as its database shows it, and what has changed between two such views."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from zonewall.errors import TooManyError
from zonewall.ovsdb.facts import (
    BridgeFacts,
    InterfaceFacts,
    PortFacts,
    RootFacts,
    bridge_facts,
    interface_facts,
    port_facts,
    root_facts,
)
from zonewall.ovsdb.schema import MAX_BRIDGES, MAX_PORTS
from zonewall.placement.observations import BridgeGone, BridgeSeen, Observation, PortGone, PortSeen
from zonewall.values.names import BridgeName, DatapathId, HostName

Place = tuple[BridgeName, str]
"""A bridge, and the name of an interface there."""

LOOKED_AT = 2000
"""So many ports are looked at before other hosts have their turn: 5 ms."""


class PortView(NamedTuple):
    """An interface at its place."""

    interface: InterfaceFacts
    tag: int | None


class BridgeView(NamedTuple):
    """A bridge without its ports."""

    datapath_id: DatapathId | None
    datapath_type: str
    secure: bool


@dataclass(frozen=True, slots=True)
class HostView:
    """What a host has; interfaces by bridge and name."""

    bridges: Mapping[BridgeName, BridgeView] = field(default_factory=dict)
    ports: Mapping[Place, PortView] = field(default_factory=dict)

    def without(self, bridges: Set[BridgeName]) -> HostView:
        """Return the host without some bridges and their ports."""
        return HostView(
            {name: bridge for name, bridge in self.bridges.items() if name not in bridges},
            {place: port for place, port in self.ports.items() if place[0] not in bridges},
        )

    def in_pieces(self) -> Iterator[HostView]:
        """Give the ports, without the bridges, so many at a time."""
        places = iter(self.ports.items())
        while piece := dict(islice(places, LOOKED_AT)):
            yield HostView({}, piece)


@dataclass(slots=True)
class Rows:
    """The believed facts of each row, read once when the row changes; ``most`` ports are believed."""

    roots: dict[uuid.UUID, RootFacts] = field(default_factory=dict)
    bridges: dict[uuid.UUID, BridgeFacts] = field(default_factory=dict)
    ports: dict[uuid.UUID, PortFacts] = field(default_factory=dict)
    interfaces: dict[uuid.UUID, InterfaceFacts] = field(default_factory=dict)
    most: int = MAX_PORTS
    _view: HostView = field(default_factory=HostView)
    _places: dict[uuid.UUID, list[Place]] = field(default_factory=dict)
    _touched: set[uuid.UUID] | None = None
    """Interfaces that have changed since the last view where nothing else has; None: all is to be joined."""

    def take(self, table: str, row: Any, *, gone: bool) -> bool:
        """Note a row's creation, change or end; return whether the view may differ now.

        Raises:
            TooManyError: the host has more bridges or ports than is believed.
        """
        kept, read, most = self._of(table)
        if read is None:
            return False
        before = kept.get(row.uuid)
        if gone:
            kept.pop(row.uuid, None)
            self._touched = None
            return before is not None
        after = kept[row.uuid] = read(row)
        if len(kept) > most:
            raise TooManyError(f"rows of {table}", most)
        if before == after:
            return False
        is_in_place = isinstance(before, InterfaceFacts) and before.name == after.name
        if self._touched is not None and is_in_place:
            self._touched.add(row.uuid)
        else:
            self._touched = None
        return True

    def view(self) -> HostView:
        """Join the rows at once."""
        joining = self.joining()
        while True:
            try:
                next(joining)
            except StopIteration as done:
                view: HostView = done.value
                return view

    def joining(self) -> Generator[None, None, HostView]:
        """Join the rows, a piece at a time; where only interfaces have changed, it costs no more than they.

        Of two bridges with one name the first by UUID counts, so that it stays the same. No row may be taken
        in between.

        Raises:
            TooManyError: its bridges have more ports than is believed, of however many rows.
        """
        if self._touched is None:
            self._view = yield from self._joined()
        elif self._touched:
            ports = dict(self._view.ports)
            for number in self._touched:
                for place in self._places.get(number, ()):
                    ports[place] = ports[place]._replace(interface=self.interfaces[number])
            self._view = HostView(self._view.bridges, ports)
        self._touched = set()
        return self._view

    def _joined(self) -> Generator[None, None, HostView]:
        bridges: dict[BridgeName, BridgeView] = {}
        ports: dict[Place, PortView] = {}
        self._places = {}
        looked_at = 0
        listed = {reference for root in self.roots.values() for reference in root.bridges}
        for number in sorted(listed & self.bridges.keys()):
            bridge = self.bridges[number]
            if bridge.name is None or bridge.name in bridges:
                continue
            bridges[bridge.name] = BridgeView(bridge.datapath_id, bridge.datapath_type, bridge.secure)
            for place, port, reference in self._ports_of(bridge, bridge.name):
                looked_at += 1
                if looked_at % LOOKED_AT == 0:
                    yield
                if looked_at > 2 * self.most:  # rows may be named by many others
                    raise TooManyError("ports at its bridges", self.most)
                if place not in ports:
                    ports[place] = port
                    self._places.setdefault(reference, []).append(place)
        return HostView(bridges, ports)

    @property
    def root(self) -> RootFacts | None:
        """The row of Open_vSwitch."""
        return next(iter(self.roots.values()), None)

    def _ports_of(self, bridge: BridgeFacts, name: BridgeName) -> Iterator[tuple[Place, PortView, uuid.UUID]]:
        for number in bridge.ports:
            port = self.ports.get(number)
            for reference in port.interfaces if port else ():
                interface = self.interfaces.get(reference)
                if port is not None and interface is not None and interface.name is not None:
                    yield (name, interface.name), PortView(interface, port.tag), reference

    def _of(self, table: str) -> tuple[dict[uuid.UUID, Any], Any, int]:
        if table == "Interface":
            return self.interfaces, interface_facts, self.most
        if table == "Port":
            return self.ports, port_facts, self.most
        if table == "Bridge":
            return self.bridges, bridge_facts, MAX_BRIDGES
        if table == "Open_vSwitch":
            return self.roots, root_facts, 1
        return {}, None, 0


def seen(host: HostName, old: HostView, new: HostView, at: float) -> Iterator[Observation]:
    """Give what is in ``new`` and not the same in ``old``: bridges, then ports."""
    for name, bridge in new.bridges.items():
        if old.bridges.get(name) != bridge:
            yield BridgeSeen(host, name, bridge.datapath_id, at, bridge.datapath_type, bridge.secure)
    for place, port in new.ports.items():
        before = old.ports.get(place)
        if before is not port and before != port:
            yield _port_seen(host, place, port, at)


def gone(host: HostName, old: HostView, new: HostView, at: float) -> Iterator[Observation]:
    """Give what is in ``old`` and no more in ``new``: ports, then bridges."""
    for bridge, name in old.ports if old.ports.keys() - new.ports.keys() else ():
        if (bridge, name) not in new.ports:
            yield PortGone(host, bridge, name, at)
    for bridge in old.bridges:
        if bridge not in new.bridges:
            yield BridgeGone(host, bridge, at)


def _port_seen(host: HostName, place: Place, port: PortView, at: float) -> PortSeen:
    facts = port.interface
    return PortSeen(
        host=host,
        bridge=place[0],
        name=place[1],
        ofport=facts.ofport,
        at=at,
        failed=facts.failed,
        external_ids=facts.external_ids,
        link_up=facts.link_up,
        tag=port.tag,
        kind=facts.kind,
        mac_in_use=facts.mac_in_use,
        error=facts.error,
    )
