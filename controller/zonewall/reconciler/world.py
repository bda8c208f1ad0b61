"""All that the controller knows at one moment, and what each event makes of it; no socket, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from zonewall.intent.fleet import Fleet, Policy, bridges_of, index_fleet, prepare
from zonewall.intent.judgement import linked_pairs
from zonewall.intent.numbering import Numbering
from zonewall.intent.passing import NOTHING_PASSES, Passing
from zonewall.placement.binding_events import Effect, EffectKind
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import PortRole
from zonewall.policy.model import Configuration
from zonewall.values.names import DatapathId, OfPort, TenantName

_FIRST = frozenset({EffectKind.ENFORCE, EffectKind.ACTIVATE, EffectKind.ISOLATE})
_LEFT = frozenset({EffectKind.REFUSE, EffectKind.REMOVE})
_SILENT = frozenset(
    {EffectKind.READY, EffectKind.IGNORED, EffectKind.UNKNOWN_PORT, EffectKind.REFUSED_BRIDGE}
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What an event leads to: which bridges change, each group once the one before it is done.

    Attributes:
        first: new places.
        second: places that were left: they send on to the new one what others still send to them.
        then: all others.
    """

    first: frozenset[BridgeKey] = frozenset()
    second: frozenset[BridgeKey] = frozenset()
    then: frozenset[BridgeKey] = frozenset()

    def __bool__(self) -> bool:
        """Say whether any bridge has to look."""
        return bool(self.first or self.second or self.then)


@dataclass(frozen=True, slots=True)
class World:
    """The configuration in force and the fleet.

    Attributes:
        indexed: the fleet as the compiler reads it; it follows at a cost that depends on what changed.
        declared: datapath ids that the inventory gives, and whose each is.
        outward: bridges with uplinks or legs of service functions, which every change may concern.
        relatives: tenants whose bridges know a tenant's endpoints: itself and those it is linked with.
        inactive: rules that do not hold at the moment.
        away: appliances of service functions that cannot be used, by name.
    """

    policy: Policy
    fleet: FleetState
    indexed: Fleet
    relatives: Mapping[TenantName, frozenset[TenantName]]
    outward: frozenset[BridgeKey]
    declared: Mapping[DatapathId, BridgeKey]
    inactive: frozenset[str] = frozenset()
    away: frozenset[str] = frozenset()

    @staticmethod
    def start(
        configuration: Configuration,
        numbering: Numbering,
        fleet: FleetState,
        inactive: frozenset[str],
        passing: Passing = NOTHING_PASSES,
        before: World | None = None,
    ) -> World:
        """Return the world of a configuration; of the one ``before`` is taken what has not changed."""
        policy = prepare(configuration, numbering, inactive, passing, before.policy if before else None)
        indexed = index_fleet(policy, fleet.placement(), before.indexed if before else None)
        relatives, outward, ids = _relatives(configuration), _outward(configuration), _declared(configuration)
        return World(policy, fleet, indexed, relatives, outward, ids, inactive)

    @property
    def configuration(self) -> Configuration:
        """Return the configuration in force."""
        return self.policy.configuration

    def reconfigured(
        self,
        configuration: Configuration,
        inactive: frozenset[str],
        at: float,
        passing: Passing = NOTHING_PASSES,
    ) -> tuple[World, tuple[Effect, ...]]:
        """Return the world under another configuration, with the same numbers for the same names."""
        fleet, effects = self.fleet.configure(configuration, at)
        world = World.start(configuration, self.policy.numbering, fleet, inactive, passing, self)
        return (world.with_away(self.away) if self.away else world), effects

    def rescheduled(self, inactive: frozenset[str], passing: Passing = NOTHING_PASSES) -> World:
        """Return the world with other rules out of force."""
        numbering = self.policy.numbering
        world = World.start(self.configuration, numbering, self.fleet, inactive, passing, self)
        return world.with_away(self.away) if self.away else world

    def with_fleet(self, fleet: FleetState) -> World:
        """Return the world with another fleet."""
        placement = fleet.placement()
        if self.away:
            placement = replace(placement, away=self.away)
        return replace(self, fleet=fleet, indexed=self.indexed.follow(placement))

    def seen_by(self, bridge: BridgeKey, at: float, *, is_resuming: bool = False) -> Fleet:
        """Return the fleet for a bridge; one that resumes gets it as it will be once it has confirmed that.

        Its flows are there from before, and would be put in force in two steps, with nothing passing between.
        """
        if not is_resuming:
            return self.indexed
        return self.with_fleet(self.fleet.confirm(bridge, self.fleet.placement(), at)[0]).indexed

    def with_away(self, away: frozenset[str]) -> World:
        """Return the world with other appliances away."""
        indexed = self.indexed.follow(replace(self.fleet.placement(), away=away))
        return replace(self, indexed=indexed, away=away)

    def turn(self, effects: Iterable[Effect], before: World) -> Turn:
        """Return the bridges that placement effects concern since ``before``, the new places first."""
        endpoints = self.configuration.inventory.endpoints
        first: set[BridgeKey] = set()
        second: set[BridgeKey] = set()
        then: set[BridgeKey] = set()
        tenants: set[TenantName] = set()
        for effect in effects:
            if effect.kind in _SILENT:
                continue
            if effect.port is not None:
                group = first if effect.kind in _FIRST else second if effect.kind in _LEFT else then
                group.add(effect.port.bridge)
            if effect.endpoint is not None and effect.endpoint in endpoints:
                tenants |= self.relatives.get(endpoints[effect.endpoint].tenant, frozenset())
        if tenants:
            then |= self.outward
        for tenant in tenants:
            then |= before.indexed.present(tenant) | self.indexed.present(tenant)
        second -= first
        return Turn(frozenset(first), frozenset(second), frozenset(then - first - second))

    def bridge_of(self, datapath_id: DatapathId) -> BridgeKey | None:
        """Return the managed bridge with a datapath id: as the inventory says, else its host's database."""
        if datapath_id in self.declared:
            return self.declared[datapath_id]
        known = self.fleet.datapaths.bridges.get(datapath_id)
        if known is None or known.host not in self.configuration.inventory.hosts:
            return None
        declared = self.configuration.inventory.hosts[known.host].bridges.get(known.bridge)
        return known if declared is not None and declared.datapath_id in (None, datapath_id) else None

    def datapath_of(self, key: BridgeKey) -> DatapathId | None:
        """Return a bridge's datapath id, None while it is not known."""
        host = self.configuration.inventory.hosts.get(key.host)
        declared = host.bridges.get(key.bridge) if host else None
        if declared is not None and declared.datapath_id is not None:
            return DatapathId(declared.datapath_id)
        number = self.fleet.datapaths.numbers.get(key)
        # What the inventory gives to another bridge is not this one's, whatever its host's database says.
        return number if number is not None and self.bridge_of(number) == key else None

    def known_as(self, datapath_id: DatapathId, names: frozenset[str] | None) -> DatapathId:
        """Return by which number a bridge is known that connects with an id, and with names of a certificate.

        It is another one only where hosts have told of two bridges with that id.
        """
        hosts = self.configuration.inventory.hosts
        if datapath_id in self.declared:
            return datapath_id
        claims = [claim for claim in self.fleet.datapaths.claimants(datapath_id) if claim[1].host in hosts]
        shown = [number for number, bridge in claims if names and hosts[bridge.host].certificate in names]
        return (shown or [number for number, _ in claims] or [datapath_id])[0]

    def port_name(self, key: BridgeKey, ofport: OfPort) -> str:
        """Return the name of a declared port of a bridge, its number where it has none."""
        for (bridge, name), number in self.fleet.roles.items():
            if bridge == key and number == ofport:
                return name
        return str(ofport)

    def fabric_ports(self) -> list[tuple[BridgeKey, OfPort]]:
        """Return every fabric port that is there."""
        hosts = self.configuration.inventory.hosts
        found = []
        for (bridge, name), ofport in self.fleet.roles.items():
            declared = (
                hosts[bridge.host].bridges[bridge.bridge].ports.get(name) if bridge.host in hosts else None
            )
            if declared is not None and declared.role is PortRole.FABRIC:
                found.append((bridge, ofport))
        return found


def _declared(configuration: Configuration) -> dict[DatapathId, BridgeKey]:
    """Return the datapath ids that the inventory gives; of two bridges with one, the first has it."""
    found: dict[DatapathId, BridgeKey] = {}
    for host in configuration.inventory.hosts.values():
        for bridge in host.bridges.values():
            if bridge.datapath_id is not None:
                found.setdefault(DatapathId(bridge.datapath_id), BridgeKey(host.name, bridge.name))
    return found


def _outward(configuration: Configuration) -> frozenset[BridgeKey]:
    hosts = configuration.inventory.hosts
    return frozenset(
        key
        for key in bridges_of(configuration)
        if any(
            port.role in (PortRole.UPLINK, PortRole.SERVICE)
            for port in hosts[key.host].bridges[key.bridge].ports.values()
        )
    )


def _relatives(configuration: Configuration) -> dict[TenantName, frozenset[TenantName]]:
    found: dict[TenantName, set[TenantName]] = {name: {name} for name in configuration.tenants}
    for source, destination in linked_pairs(configuration):
        found[source].add(destination)
        found[destination].add(source)
    return {name: frozenset(others) for name, others in found.items()}
