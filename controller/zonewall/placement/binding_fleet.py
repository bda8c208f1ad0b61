"""Every endpoint of the fleet: what hosts, bridges and frames report goes in, a placement comes out.

One report costs no more in a large fleet than in a small one. Times are the reports' own, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from zonewall.placement.announcement import Announcement, Forged
from zonewall.placement.binding import Lookup, PortFacts, identify, lookup_of
from zonewall.placement.binding_again import judged_otherwise, ports_in_turn
from zonewall.placement.binding_datapaths import NAME_IT, Datapaths
from zonewall.placement.binding_events import (
    Announced,
    ConfigurationChanged,
    Confirmed,
    Effect,
    EffectKind,
    HostBack,
    HostLost,
    OfportChanged,
    PlacementEvent,
    Plugged,
    Quarantine,
    Release,
    Tick,
    Timing,
    Unplugged,
)
from zonewall.placement.binding_held import HeldBack, Rest, held_after
from zonewall.placement.binding_judge import Identities, believed, external_faults, new_record, own_prefixes
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.binding_ports import (
    TICKS_PER_S,
    HostView,
    Remembered,
    SeenPort,
    is_unchanged,
    still_unconfirmed,
    with_due,
    without_ofport,
)
from zonewall.placement.binding_record import EndpointRecord, PortRef, bindings
from zonewall.placement.migration import next_deadline, step
from zonewall.placement.model import Binding, BridgeKey, Link, Placement
from zonewall.policy.model import Configuration
from zonewall.values.changed import changed as replace
from zonewall.values.names import BridgeName, DatapathId, EndpointKey, HostName, OfPort

T = TypeVar("T")
Change = tuple["FleetState", tuple[Effect, ...]]


@dataclass(frozen=True, slots=True)
class FleetState:
    """The fleet at one moment; each method returns the next state and what has to be done for it.

    Attributes:
        unknown: ports that nothing covers, with the reason; nothing passes there.
        unconfirmed: ports whose bridge has not confirmed the endpoint's flows yet.
        due: endpoints that want a tick, by quarter of a second.
        generation: the last one given to a port.
    """

    configuration: Configuration
    lookup: Lookup
    timing: Timing = field(default_factory=Timing)
    records: FrozenMap[EndpointKey, EndpointRecord] = field(default_factory=FrozenMap)
    bindings: FrozenMap[EndpointKey, tuple[Binding, ...]] = field(default_factory=FrozenMap)
    ports: FrozenMap[PortRef, SeenPort] = field(default_factory=FrozenMap)
    by_ofport: FrozenMap[tuple[BridgeKey, OfPort], PortRef] = field(default_factory=FrozenMap)
    roles: FrozenMap[tuple[BridgeKey, str], OfPort] = field(default_factory=FrozenMap)
    unknown: FrozenMap[PortRef, str] = field(default_factory=FrozenMap)
    unconfirmed: FrozenMap[BridgeKey, frozenset[PortRef]] = field(default_factory=FrozenMap)
    hosts: FrozenMap[HostName, HostView] = field(default_factory=FrozenMap)
    datapaths: Datapaths = field(default_factory=Datapaths)
    identities: Identities = field(default_factory=Identities)
    held_back: HeldBack = field(default_factory=HeldBack)
    due: Mapping[int, frozenset[EndpointKey]] = field(default_factory=dict)
    links: frozenset[Link] = frozenset()
    generation: int = 0

    @staticmethod
    def start(
        configuration: Configuration,
        timing: Timing | None = None,
        remembered: Iterable[Remembered] = (),
        at: float = 0.0,
        held: Iterable[Rest] = (),
    ) -> FleetState:
        """Return the fleet before anything was heard: every endpoint is where it is remembered to be."""
        timing = timing or Timing()
        resting = HeldBack.of(held, at, timing.hold_s)
        fleet = FleetState(configuration, lookup_of(configuration.inventory), timing, held_back=resting)
        for one in remembered:
            endpoint, port = one.endpoint, one.port
            if endpoint not in configuration.inventory.endpoints or port.bridge not in fleet.lookup.roles:
                continue
            facts = PortFacts(endpoint, None, one.ofport)
            fleet, seen = fleet._with_port(port, one.ofport, {}, facts, remembered=True)
            window = one.window_at(at, fleet.timing.window_s)
            fleet, _ = fleet._plug(port, seen, at, remembered=True, window=window)
        return fleet

    def placement(self) -> Placement:
        """Return the fleet as the compiler reads it; it costs nothing."""
        return Placement(self.bindings, self.roles, self.links)

    def with_links(self, links: frozenset[Link]) -> FleetState:
        """Return the fleet with other live links."""
        return replace(self, links=links)

    # Hosts and their ports

    def host_seen(self, host: HostName, at: float, *, restarted: bool = False) -> Change:
        """Take up a host's connection; it reports what differs from what was last known of it."""
        view = self.hosts.get(host, HostView())
        fleet = replace(self, hosts=self.hosts.put(host, replace(view, alive=True)))
        return fleet._each_on(host, HostBack(host, at, restarted))

    def host_lost(self, host: HostName, at: float) -> Change:
        """Note that a host cannot be heard."""
        view = self.hosts.get(host, HostView())
        fleet = replace(self, hosts=self.hosts.put(host, replace(view, alive=False)))
        return fleet._each_on(host, HostLost(host, at))

    def snapshot_complete(self, host: HostName, at: float) -> Change:
        """Let go of every port that was remembered from before a restart and that the host does not have."""
        gone = sorted(self.hosts.get(host, HostView()).unverified)
        return self._in_turn(lambda now, port: now.port_gone(port, at), gone)

    def bridge_seen(self, bridge: BridgeKey, datapath_id: DatapathId) -> Change:
        """Note a bridge's datapath id; a second bridge with the same one is reported."""
        owner = self.datapaths.bridges.get(datapath_id, bridge)
        fleet = replace(self, datapaths=self.datapaths.taken(bridge, datapath_id))
        reason = f"{bridge} has datapath id {datapath_id:016x} of {owner}; {NAME_IT}"
        effect = Effect(EffectKind.REFUSED_BRIDGE, None, PortRef(bridge, ""), reason=reason)
        return fleet, () if owner == bridge else (effect,)

    def bridge_gone(self, bridge: BridgeKey) -> FleetState:
        """Let a bridge's datapath id go with it."""
        return replace(self, datapaths=self.datapaths.without(bridge))

    def port_seen(
        self,
        host: HostName,
        bridge: BridgeName,
        name: str,
        ofport: int | None,
        external_ids: Mapping[str, str],
        at: float,
    ) -> Change:
        """Take a port as its host reports it now; of a bridge that is not in the inventory, nothing."""
        port = PortRef(BridgeKey(host, bridge), name)
        if port.bridge not in self.lookup.roles:
            return self, ()
        facts = believed(self, port, identify(self.lookup, port.bridge, name, ofport, external_ids))
        known = self.ports.get(port)
        fleet: FleetState = self
        effects: tuple[Effect, ...] = ()
        if known is not None and known.facts.endpoint not in (None, facts.endpoint):
            fleet, effects = fleet._unplug(port, known, at)
        fleet, seen = fleet._with_port(port, ofport, external_ids, facts)
        if facts.endpoint is not None:
            fleet, more = fleet._plug(port, seen, at)
        else:
            fleet, more = fleet._take_other(port, seen)
        return fleet, effects + more

    def port_gone(self, port: PortRef, at: float) -> Change:
        """Let a port go."""
        known = self.ports.get(port)
        if known is None:
            return self, ()
        fleet, effects = self._unplug(port, known, at) if known.facts.endpoint else (self, ())
        view = fleet.hosts.get(port.bridge.host, HostView()).without(port)
        return replace(
            fleet,
            ports=fleet.ports.drop(port),
            by_ofport=without_ofport(fleet.by_ofport, port, known),
            roles=fleet.roles.drop((port.bridge, port.name)),
            unknown=fleet.unknown.drop(port),
            hosts=fleet.hosts.put(port.bridge.host, view),
        ), effects

    # Bridges, frames, time, people

    def confirm(self, bridge: BridgeKey, placement: Placement, at: float) -> Change:
        """Take a bridge's word that it carries out what was compiled for ``placement``."""
        fleet: FleetState = self
        effects: tuple[Effect, ...] = ()
        for port in sorted(self.unconfirmed.get(bridge, frozenset())):
            facts = self.ports[port].facts
            if facts.endpoint is None or facts.ofport is None:
                continue
            compiled = placement.bindings.get(facts.endpoint, ())
            if any(known.bridge == bridge and known.ofport == facts.ofport for known in compiled):
                event = Confirmed(port, facts.ofport, self.ports[port].generation, at)
                fleet, more = fleet._step(facts.endpoint, event)
                effects += more
        return fleet, effects

    def announced(
        self, bridge: BridgeKey, ofport: OfPort, announcement: Announcement | Forged, at: float
    ) -> Change:
        """Take an announcement that came in at a bridge's port."""
        port = self.by_ofport.get((bridge, ofport))
        owner = None if port is None else self.ports[port].facts.endpoint
        if port is None or owner is None:
            reason = f"announcement at {bridge}, ofport {ofport}, which is no endpoint's"
            return self, (Effect(EffectKind.IGNORED, None, port, ofport, reason=reason),)
        return self._step(owner, Announced(port, announcement, at))

    def tick(self, at: float) -> Change:
        """Let time pass: windows close, addresses are held back no longer."""
        late = [quarter for quarter in self.due if quarter <= at * TICKS_PER_S]
        if not late:
            return self, ()
        endpoints = sorted(frozenset[EndpointKey]().union(*(self.due[quarter] for quarter in late)))
        due = {quarter: keys for quarter, keys in self.due.items() if quarter not in late}
        fleet = replace(self, due=due, held_back=self.held_back.expired(at))
        fleet, effects = fleet._in_turn(lambda now, key: now._step(key, Tick(at)), endpoints)
        fleet, more = fleet._in_turn(lambda now, key: now._judge(key, at), endpoints)
        return fleet, effects + more

    def quarantine(self, endpoint: EndpointKey, reason: str, at: float) -> Change:
        """Isolate an endpoint; one that is not in the inventory now is isolated should it come again."""
        return self._step(endpoint, Quarantine(reason, at))

    def release(self, endpoint: EndpointKey, at: float, reason: str | None = None) -> Change:
        """Lift what holds an endpoint: one reason, or all."""
        return self._step(endpoint, Release(at, reason))

    def configure(self, configuration: Configuration, at: float) -> Change:
        """Take another configuration: what it may mean otherwise is looked at and judged again."""
        inventory, before = configuration.inventory, self.configuration.inventory
        others = [key for key in self.records if key not in inventory.endpoints]
        gone = sorted(key for key in others if not self.records[key].is_outside)
        fleet, effects = self._in_turn(lambda now, key: now._forget(key, at), gone)
        held = held_after(self, configuration, at + self.timing.hold_s)
        lookup = self.lookup if inventory is before else lookup_of(inventory)
        ids = self.datapaths.among(lookup.roles)
        fleet = replace(fleet, configuration=configuration, lookup=lookup, held_back=held, datapaths=ids)
        same_owners = not gone and fleet.lookup == self.lookup
        for port, seen in ports_in_turn(fleet, before, same_owners=same_owners):
            remembered = port in fleet.hosts[port.bridge.host].unverified
            if port.bridge not in fleet.lookup.roles or (remembered and seen.facts.endpoint in gone):
                fleet, more = fleet.port_gone(port, at)
            elif remembered or is_unchanged(fleet.lookup, port, seen):
                continue
            else:
                fleet, more = fleet.port_seen(*port.bridge, port.name, seen.ofport, seen.external_ids, at)
            effects += more
        judged = sorted(judged_otherwise(self, configuration) if same_owners else fleet.records)
        fleet, more = fleet._in_turn(lambda now, key: now._judge(key, at), judged)
        return fleet, effects + more

    def _with_port(
        self,
        port: PortRef,
        ofport: int | None,
        external_ids: Mapping[str, str],
        facts: PortFacts,
        *,
        remembered: bool = False,
    ) -> tuple[FleetState, SeenPort]:
        """Return the fleet with the port written down; a port that changed hands has a new generation."""
        known = self.ports.get(port)
        same = known is not None and known.facts.endpoint == facts.endpoint
        newest = self.generation if same else self.generation + 1
        seen = SeenPort(ofport, dict(external_ids), known.generation if known and same else newest, facts)
        by_ofport = without_ofport(self.by_ofport, port, known, facts.ofport)
        if facts.ofport is not None:
            by_ofport = by_ofport.put((port.bridge, facts.ofport), port)
        view = self.hosts.get(port.bridge.host, HostView()).holding(port, remembered)
        fleet = replace(
            self,
            ports=self.ports.put(port, seen),
            by_ofport=by_ofport,
            hosts=self.hosts.put(port.bridge.host, view),
            generation=newest,
        )
        return fleet, seen

    def _plug(
        self, port: PortRef, seen: SeenPort, at: float, remembered: bool = False, window: float | None = None
    ) -> Change:
        endpoint, facts = seen.facts.endpoint, seen.facts
        assert endpoint is not None
        known = self.records.get(endpoint)
        place = known.place(port) if known is not None else None
        effects: tuple[Effect, ...] = ()
        unknown, roles = self.unknown.drop(port), self.roles.drop((port.bridge, port.name))
        same = unknown is self.unknown and roles is self.roles
        fleet = self if same else replace(self, unknown=unknown, roles=roles)
        if place is not None and place.ofport != facts.ofport:
            event = OfportChanged(port, facts.ofport, seen.generation, at)
            fleet, effects = fleet._step(endpoint, event)
        judged = external_faults(fleet, endpoint, port, facts, at)
        plugged = Plugged(
            port, facts.ofport, seen.generation, at, facts.attached_mac, facts.vm_id, judged,
            remembered, window,
        )  # fmt: skip
        fleet, more = fleet._step(endpoint, plugged)
        fleet, last = fleet._judge_relatives(endpoint, facts.vm_id, at)
        return fleet, effects + more + last

    def _unplug(self, port: PortRef, known: SeenPort, at: float) -> Change:
        assert known.facts.endpoint is not None
        fleet, effects = self._step(known.facts.endpoint, Unplugged(port, known.generation, at))
        fleet, more = fleet._judge_relatives(known.facts.endpoint, known.facts.vm_id, at)
        return fleet, effects + more

    def _take_other(self, port: PortRef, seen: SeenPort) -> Change:
        """Take a port of no endpoint: a role's, the bridge's own, or unknown."""
        role = (port.bridge, port.name)
        if seen.facts.declaration is not None:
            number = seen.facts.ofport
            roles = self.roles.drop(role) if number is None else self.roles.put(role, number)
            return replace(self, roles=roles, unknown=self.unknown.drop(port)), ()
        fleet = replace(self, roles=self.roles.drop(role))
        if port.name == port.bridge.bridge or self.configuration.inventory.admit_unknown == "drop":
            return replace(fleet, unknown=fleet.unknown.drop(port)), ()
        reason = self.identities.unknown_reason(seen.facts, self.configuration.inventory)
        if fleet.unknown.get(port) == reason:
            return fleet, ()
        effect = Effect(
            EffectKind.UNKNOWN_PORT, None, port, seen.facts.ofport, seen.generation, reason=reason
        )
        return replace(fleet, unknown=fleet.unknown.put(port, reason)), (effect,)

    def _step(self, endpoint: EndpointKey, event: PlacementEvent) -> Change:
        """Return the fleet after one endpoint's event; what is kept beside its record follows."""
        before = self.records.get(endpoint)
        declared = self.configuration.inventory.endpoints.get(endpoint)
        if before is None and declared is None and not isinstance(event, Quarantine):
            return self, ()
        before = before or new_record(endpoint, declared)
        after, effects = step(before, event, self.timing)
        if after == before and endpoint in self.records:
            return self, effects
        bound = bindings(after)
        return replace(
            self,
            records=self.records.put(endpoint, after),
            bindings=self.bindings.put(endpoint, bound) if bound else self.bindings.drop(endpoint),
            unconfirmed=still_unconfirmed(self.unconfirmed, before, after),
            identities=self.identities.changed(before, after),
            due=with_due(self.due, endpoint, next_deadline(after)),
        ), effects

    def _judge(self, endpoint: EndpointKey, at: float) -> Change:
        """Return the fleet with every port of an endpoint judged by the configuration and its relatives."""
        record = self.records.get(endpoint)
        declared = self.configuration.inventory.endpoints.get(endpoint)
        if record is None or declared is None:
            return self, ()
        judged = tuple(
            (place.port, external_faults(self, endpoint, place.port, self.ports[place.port].facts, at))
            for place in record.places
        )
        event = ConfigurationChanged(declared.mac, declared.vm_id, own_prefixes(declared), judged, at)
        fleet, effects = self._step(endpoint, event)
        until = fleet.held_back.until(declared)
        return replace(fleet, due=with_due(fleet.due, endpoint, until)), effects

    def _judge_relatives(self, endpoint: EndpointKey, vm_id: str | None, at: float) -> Change:
        """Return the fleet with the endpoints of the same VM judged again, where there are others."""
        related = self.identities.of_vm(vm_id) | {endpoint}
        held = self.held_back.until(self.configuration.inventory.endpoints.get(endpoint))
        if len(related) == 1 and held is None:
            return self, ()
        return self._in_turn(lambda now, key: now._judge(key, at), sorted(related))

    def _forget(self, endpoint: EndpointKey, at: float) -> Change:
        """Return the fleet without an endpoint that is not configured any more; isolation stays."""
        fleet, effects = self._in_turn(
            lambda now, place: now._step(endpoint, Unplugged(place.port, place.generation, at)),
            self.records[endpoint].places,
        )
        if fleet.records[endpoint].is_outside:
            return fleet, effects
        return replace(fleet, records=fleet.records.drop(endpoint)), effects

    def _each_on(self, host: HostName, event: HostLost | HostBack) -> Change:
        """Return the fleet after an event of every endpoint with a port on the host."""
        ports = self.hosts.get(host, HostView()).ports
        owners = {self.ports[port].facts.endpoint for port in ports} - {None}
        return self._in_turn(lambda now, key: now._step(key, event), sorted(filter(None, owners)))

    def _in_turn(self, do: Callable[[FleetState, T], Change], subjects: Iterable[T]) -> Change:
        fleet: FleetState = self
        effects: tuple[Effect, ...] = ()
        for subject in subjects:
            fleet, more = do(fleet, subject)
            effects += more
        return fleet, effects
