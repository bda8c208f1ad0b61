"""A packet's whole way through a fleet's bridges, as their compiled flows carry it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from zonewall.flows.simulate.connections import ConnTrack
from zonewall.flows.simulate.engine import simulate
from zonewall.flows.simulate.outcome import Outcome
from zonewall.flows.simulate.packet import Packet
from zonewall.flows.simulate.tables import FlowTables
from zonewall.intent.fleet import Fleet
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import Attachment, PortDeclaration, PortRole
from zonewall.values.names import OfPort

MOST_VISITS = 64
"""More visits than this are a loop; between a fleet's bridges there is none."""

Port = tuple[BridgeKey, int]


class Out(Enum):
    """What a port that a packet left by is."""

    ENDPOINT = "endpoint"
    UPLINK = "uplink"
    MIRROR = "mirror"
    FUNCTION = "function"
    OTHER = "port"


@dataclass(frozen=True, slots=True)
class Visit:
    """One bridge's work: the packet as it arrived, and what became of it there."""

    bridge: BridgeKey
    packet: Packet
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the packet, or a copy, left the fleet; ``name``: the endpoint, target, function or port."""

    kind: Out
    bridge: BridgeKey
    ofport: int
    name: str


@dataclass(frozen=True, slots=True)
class Journey:
    """Visits and departures in order; ``errors`` say what no bridge would really do."""

    visits: tuple[Visit, ...]
    departures: tuple[Departure, ...]
    errors: tuple[str, ...]

    @property
    def arrives(self) -> bool:
        """Say whether the packet itself reaches an endpoint or the network outside."""
        return any(one.kind in (Out.ENDPOINT, Out.UPLINK, Out.OTHER) for one in self.departures)


@dataclass(slots=True)
class Traveller:
    """Follows packets; bridges remember connections from one packet to the next.

    Attributes:
        tables: a bridge's compiled flows.
    """

    fleet: Fleet
    tables: Callable[[BridgeKey], FlowTables]
    _tracked: dict[BridgeKey, ConnTrack] = field(default_factory=dict)
    _visits: list[Visit] = field(default_factory=list)
    _departures: list[Departure] = field(default_factory=list)
    _errors: list[str] = field(default_factory=list)

    def go(self, port: Port, packet: Packet) -> Journey:
        """Return the way of a packet that enters at a port."""
        waiting = [(port, packet)]
        while waiting:
            (bridge, ofport), arrived = waiting.pop(0)
            if len(self._visits) >= MOST_VISITS:
                self._errors.append(f"{bridge}: the packet goes round")
                break
            arrived = arrived.but(in_port=ofport)
            outcome = simulate(self.tables(bridge), arrived, self._tracked.get(bridge))
            self._tracked[bridge] = outcome.connections
            self._visits.append(Visit(bridge, arrived, outcome))
            self._errors += [f"{bridge}: {error}" for error in outcome.errors]
            for sent in outcome.sent:
                waiting += self._leave((bridge, sent.port), sent.packet)
        return Journey(tuple(self._visits), tuple(self._departures), tuple(self._errors))

    def _leave(self, port: Port, packet: Packet) -> Iterator[tuple[Port, Packet]]:
        """Note a departure, or yield where the packet goes on."""
        bridge, ofport = port
        declared = {number: one for one, number in self.fleet.ports.get(bridge, ())}
        one = declared.get(ofport)
        if one is None:
            self._note(Out.ENDPOINT if (name := self._endpoint(port)) else Out.OTHER, port, name)
        elif one.role is PortRole.FABRIC:
            yield from ((end, packet) for end in self._other_ends(port))
        elif one.role is PortRole.TUNNEL:
            yield from self._through_tunnel(bridge, packet)
        elif one.role is PortRole.SERVICE:
            self._note(Out.FUNCTION, port, str(one.function))
            yield from ((end, packet) for end in self._other_leg(one))
        elif one.role is PortRole.UPLINK and (back := self._other_vlan(one, packet)):
            self._note(Out.FUNCTION, port, str(one.function))
            yield port, packet.but(vlan_tci=0x1000 | back)
        elif one.role is PortRole.UPLINK:
            beyond = self._over_underlay(bridge, one, packet)
            if beyond is None:
                self._note(Out.UPLINK, port, one.name)
            else:
                yield beyond, packet
        else:
            kind = Out.MIRROR if one.role is PortRole.MIRROR_TARGET else Out.OTHER
            self._note(kind, port, one.target or one.name)

    def _note(self, kind: Out, port: Port, name: str) -> None:
        self._departures.append(Departure(kind, port[0], port[1], name or str(port[1])))

    def _endpoint(self, port: Port) -> str:
        bindings = self.fleet.bindings_on(port[0])
        return next((str(one.endpoint) for one in bindings if one.ofport == port[1]), "")

    def _other_ends(self, port: Port) -> Iterator[Port]:
        here = port[0], OfPort(port[1])
        for link in self.fleet.placement.links:
            if here in (link.a, link.b):
                yield link.b if link.a == here else link.a

    def _through_tunnel(self, bridge: BridgeKey, packet: Packet) -> Iterator[tuple[Port, Packet]]:
        hosts = self.fleet.policy.configuration.inventory.hosts
        own = hosts[bridge.host].tunnel_address
        for key, ports in self.fleet.ports.items():
            address = hosts[key.host].tunnel_address
            if key == bridge or address is None or int(address) != packet["tun_dst"]:
                continue
            for one, number in ports:
                if one.role is PortRole.TUNNEL:
                    yield (key, number), packet.but(tun_src=int(own or 0))

    def _other_leg(self, leg: PortDeclaration) -> Iterator[Port]:
        """Yield where what goes into an appliance's leg comes out: it is taken for a wire."""
        wanted = {"in": "out", "out": "in"}.get(leg.leg or "only", "only")
        for key, ports in self.fleet.ports.items():
            for one, number in ports:
                same = (one.function, one.instance, one.leg) == (leg.function, leg.instance, wanted)
                if one.role is PortRole.SERVICE and same:
                    yield key, number

    def _other_vlan(self, uplink: PortDeclaration, packet: Packet) -> int:
        """Return the VLAN by which a firewall behind an uplink sends a frame back; 0: it is not for one."""
        function = self.fleet.policy.configuration.inventory.service_functions.get(uplink.function or "")
        pairs = () if function is None else zip(function.out_vlans, function.back_vlans, strict=True)
        ways = {vlan: other for out, back in pairs for vlan, other in ((out, back), (back, out))}
        return ways.get(packet["vlan_tci"] & 0xFFF, 0)

    def _over_underlay(self, bridge: BridgeKey, uplink: PortDeclaration, packet: Packet) -> Port | None:
        """Return the uplink of the bridge that the VLAN network takes the frame to; None: to no endpoint."""
        declared = self.fleet.policy.configuration.inventory
        if declared.hosts[bridge.host].bridges[bridge.bridge].attachment is not Attachment.UNDERLAY:
            return None
        tenant = (uplink.vlans or {}).get(packet["vlan_tci"] & 0xFFF)
        for key, endpoint in declared.endpoints.items():
            place = self.fleet.of(endpoint.tenant).place.get(key)
            if endpoint.tenant != tenant or endpoint.mac != packet["eth_dst"] or place is None:
                continue
            for one, number in self.fleet.ports.get(place.bridge, ()):
                if (
                    place.bridge != bridge
                    and one.role is PortRole.UPLINK
                    and tenant in (one.vlans or {}).values()
                ):
                    return place.bridge, number
        return None
