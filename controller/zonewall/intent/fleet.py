"""What is common to all bridges at one moment: who is where, by bridge and by tenant.

A fleet follows a placement at a cost that depends on what changed, not on how large the fleet is; the result
is the one that ``index_fleet`` gives from nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from zonewall.intent.policy import (
    EndpointFacts,
    Policy,
    bridges_of,
    domain_name,
    prepare,
)
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.model import Binding, BindingState, BridgeKey, Placement
from zonewall.placement.topology import graph_of
from zonewall.policy.inventory import PortDeclaration, PortRole
from zonewall.policy.model import Configuration
from zonewall.values.names import EndpointKey, OfPort, TenantName

if TYPE_CHECKING:
    import networkx as nx

__all__ = [
    "EndpointFacts",
    "Fleet",
    "Members",
    "Policy",
    "bridges_of",
    "domain_name",
    "index_fleet",
    "prepare",
]

At = tuple[OfPort, EndpointKey]
Here = Mapping[TenantName, Mapping[At, Binding]]
DELIVERING = frozenset({BindingState.ACTIVE, BindingState.QUARANTINED})


@dataclass(frozen=True, slots=True)
class Members:
    """A tenant's endpoints that are at a port.

    Attributes:
        place: the one binding of each that receives its traffic.
        bridges: how many of its bindings each bridge has. One that is being left counts until its port goes:
            what is still sent there is sent on.
        present: the bridges that have any; the same object while they are the same.
        servers: the bridges of its DHCP servers.
    """

    place: FrozenMap[EndpointKey, Binding] = field(default_factory=FrozenMap)
    bridges: Mapping[BridgeKey, int] = field(default_factory=dict)
    servers: Mapping[EndpointKey, BridgeKey] = field(default_factory=dict)
    present: frozenset[BridgeKey] = frozenset()


NOBODY = Members()


@dataclass(frozen=True)
class Ports:
    """The declared ports that are there, and what they mean for all bridges.

    Attributes:
        on: ports of each bridge with their numbers, sorted by name.
        uplinks: bridges where a tenant has an uplink, sorted.
    """

    on: Mapping[BridgeKey, tuple[tuple[PortDeclaration, int], ...]]
    uplinks: Mapping[TenantName, tuple[BridgeKey, ...]]

    @cached_property
    def targets(self) -> tuple[tuple[BridgeKey, PortDeclaration, int], ...]:
        """Return the ports of mirror targets, sorted by bridge."""
        return tuple(
            (bridge, port, ofport)
            for bridge, ports in sorted(self.on.items())
            for port, ofport in ports
            if port.target is not None
        )


@dataclass(frozen=True)
class Fleet:
    """A policy and a placement, indexed.

    Attributes:
        here: bindings of each bridge, by tenant and (port, endpoint).
        members: every tenant's endpoints.
        ports: declared ports that are there.
    """

    policy: Policy
    placement: Placement
    here: FrozenMap[BridgeKey, Here]
    members: FrozenMap[TenantName, Members]
    declared: Ports

    @property
    def ports(self) -> Mapping[BridgeKey, tuple[tuple[PortDeclaration, int], ...]]:
        """Return the declared ports that are there, by bridge, with their numbers."""
        return self.declared.on

    @cached_property
    def graph(self) -> nx.Graph[BridgeKey] | None:
        """Return the bridges and their live links; None where there are none."""
        return graph_of(self.placement.links) if self.placement.links else None

    def bindings_on(self, key: BridgeKey) -> list[Binding]:
        """Return a bridge's bindings, sorted by port."""
        of_all = self.here.get(key, {})
        found = [item for of_tenant in of_all.values() for item in of_tenant.items()]
        return [binding for _, binding in sorted(found, key=lambda item: item[0])]

    def of(self, tenant: TenantName) -> Members:
        """Return a tenant's endpoints."""
        return self.members.get(tenant, NOBODY)

    def present(self, tenant: TenantName) -> frozenset[BridgeKey]:
        """Return the bridges where a tenant has endpoints, uplinks, or other tenants' that it may reach."""
        found = {*self.of(tenant).bridges, *self.declared.uplinks.get(tenant, ())}
        for bank in self.policy.beyond.get(tenant, ()):
            found.update(self.of(bank.destination).bridges)
        return frozenset(found)

    def is_present(self, tenant: TenantName, key: BridgeKey) -> bool:
        """Say whether a tenant is among those of a bridge."""
        return (
            key in self.of(tenant).bridges
            or key in self.declared.uplinks.get(tenant, ())
            or any(key in self.of(bank.destination).bridges for bank in self.policy.beyond.get(tenant, ()))
        )

    def uplinks_on(self, tenant: TenantName, key: BridgeKey) -> int:
        """Return how many uplinks a tenant has on a bridge, each VLAN one."""
        return sum(
            owner == tenant
            for port, _ in self.ports.get(key, ())
            if port.role is PortRole.UPLINK
            for owner in (port.vlans or {}).values()
        )

    def changed_since(self, before: Fleet) -> list[EndpointKey] | None:
        """Return the endpoints that are elsewhere; None: more than that has changed."""
        if (
            self.policy is not before.policy
            or self.declared is not before.declared
            or not _same(self.placement.links, before.placement.links)
            or not _same(self.placement.away, before.placement.away)
        ):
            return None
        return _changed(before.placement.bindings, self.placement.bindings)

    def follow(self, placement: Placement) -> Fleet:
        """Return the fleet at another placement: equal to ``index_fleet`` of it."""
        declared = self.declared
        if placement.ports is not self.placement.ports and placement.ports != self.placement.ports:
            declared = _declared_ports(self.policy.configuration, placement)
        here, members = self.here, self.members
        for key in _changed(self.placement.bindings, placement.bindings):
            facts = self.policy.endpoints.get(key)
            if facts is None:
                continue
            before = self.placement.bindings.get(key, ())
            after = placement.bindings.get(key, ())
            for bridge in dict.fromkeys(binding.bridge for binding in (*before, *after)):
                of_all = here.get(bridge, {})
                here = here.put(bridge, _at_bridge(of_all, facts, bridge, before, after))
            of_tenant = _moved(members.get(facts.tenant, NOBODY), facts, before, after)
            members = members.put(facts.tenant, of_tenant)
        followed = replace(self, placement=placement, here=here, members=members, declared=declared)
        if placement.links is self.placement.links and "graph" in self.__dict__:
            followed.__dict__["graph"] = self.graph
        return followed


def index_fleet(policy: Policy, placement: Placement, before: Fleet | None = None) -> Fleet:
    """Return the placement by bridge; endpoints that the configuration does not know are left out.

    ``before``: the last one; of it is taken what has not changed.
    """
    if before is not None and _same_places(before.policy, policy):
        taken = replace(before, policy=policy)
        if "graph" in before.__dict__:
            taken.__dict__["graph"] = before.graph
        return taken.follow(placement)
    here: dict[BridgeKey, dict[TenantName, dict[At, Binding]]] = {}
    place: dict[TenantName, dict[EndpointKey, Binding]] = {}
    bridges: dict[TenantName, dict[BridgeKey, int]] = {}
    servers: dict[TenantName, dict[EndpointKey, BridgeKey]] = {}
    for key, bindings in placement.bindings.items():
        facts = policy.endpoints.get(key)
        if facts is None:
            continue
        tenant = facts.tenant
        for binding in bindings:
            bridge = binding.bridge
            here.setdefault(bridge, {}).setdefault(tenant, {})[binding.ofport, key] = binding
            if binding.state in DELIVERING:
                place.setdefault(tenant, {})[key] = binding
                if "dhcp-server" in facts.roles:
                    servers.setdefault(tenant, {})[key] = bridge
            counted = bridges.setdefault(tenant, {})
            counted[bridge] = counted.get(bridge, 0) + 1
    members = {
        tenant: Members(
            FrozenMap.of(place.get(tenant, {})),
            bridges.get(tenant, {}),
            servers.get(tenant, {}),
            frozenset(bridges.get(tenant, ())),
        )
        for tenant in {**place, **bridges}
    }
    return Fleet(
        policy,
        placement,
        FrozenMap.of(here),
        FrozenMap.of(members),
        _declared_ports(policy.configuration, placement),
    )


def _same_places(one: Policy, other: Policy) -> bool:
    """Say whether a placement means the same by both, as far as it is indexed."""
    known, endpoints = one.endpoints, other.endpoints
    return (
        one.configuration.inventory.hosts is other.configuration.inventory.hosts
        and one.configuration.tenants.keys() == other.configuration.tenants.keys()
        and (known is endpoints or _same_owners(known, endpoints))
    )


def _same_owners(
    one: Mapping[EndpointKey, EndpointFacts], other: Mapping[EndpointKey, EndpointFacts]
) -> bool:
    """Say whether both have the same endpoints, of the same tenants and with the same roles."""
    return one.keys() == other.keys() and all(
        last is facts or (last.tenant == facts.tenant and last.roles == facts.roles)
        for last, facts in ((one[key], facts) for key, facts in other.items())
    )


def _same(one: object, other: object) -> bool:
    """Say whether two are equal; of thousands of links, mostly the same object, none is looked at."""
    return one is other or one == other


def _changed(
    before: Mapping[EndpointKey, tuple[Binding, ...]], after: Mapping[EndpointKey, tuple[Binding, ...]]
) -> list[EndpointKey]:
    if isinstance(before, FrozenMap) and isinstance(after, FrozenMap):
        return after.changed_since(before)
    if before is after:
        return []
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]


def _at_bridge(
    of_all: Here,
    facts: EndpointFacts,
    bridge: BridgeKey,
    before: tuple[Binding, ...],
    after: tuple[Binding, ...],
) -> Here:
    """Return a bridge's bindings with those of one endpoint as they are now."""
    of_tenant = dict(of_all.get(facts.tenant, {}))
    for binding in before:
        if binding.bridge == bridge:
            of_tenant.pop((binding.ofport, facts.key), None)
    for binding in after:
        if binding.bridge == bridge:
            of_tenant[binding.ofport, facts.key] = binding
    if of_tenant:
        return {**of_all, facts.tenant: of_tenant}
    return {tenant: found for tenant, found in of_all.items() if tenant != facts.tenant}


def _moved(
    members: Members, facts: EndpointFacts, before: tuple[Binding, ...], after: tuple[Binding, ...]
) -> Members:
    """Return a tenant's endpoints with one of them moved."""
    bridges = dict(members.bridges)
    touched = dict.fromkeys([binding.bridge for binding in (*before, *after)])
    for bindings, step in ((before, -1), (after, 1)):
        for binding in bindings:
            bridges[binding.bridge] = bridges.get(binding.bridge, 0) + step
    for bridge in touched:
        if not bridges[bridge]:
            del bridges[bridge]
    receiving = [binding for binding in after if binding.state in DELIVERING]
    place = members.place.put(facts.key, receiving[-1]) if receiving else members.place.drop(facts.key)
    servers = members.servers
    if "dhcp-server" in facts.roles:
        servers = {key: bridge for key, bridge in servers.items() if key != facts.key}
        if receiving:
            servers[facts.key] = receiving[-1].bridge
    # The rest of them is as it was.
    is_same = all((bridge in bridges) == (bridge in members.present) for bridge in touched)
    present = members.present if is_same else frozenset(bridges)
    return Members(place, bridges, servers, present)


def _declared_ports(configuration: Configuration, placement: Placement) -> Ports:
    found: dict[BridgeKey, tuple[tuple[PortDeclaration, int], ...]] = {}
    uplinks: dict[TenantName, list[BridgeKey]] = {}
    for key in bridges_of(configuration):
        declared = configuration.inventory.hosts[key.host].bridges[key.bridge].ports
        found[key] = tuple(
            (port, placement.ports[key, name])
            for name, port in sorted(declared.items())
            if (key, name) in placement.ports
        )
        for port, _ in found[key]:
            if port.role is PortRole.UPLINK:
                for tenant in (port.vlans or {}).values():
                    if key not in uplinks.setdefault(tenant, []):
                        uplinks[tenant].append(key)
    return Ports(found, {tenant: tuple(sorted(bridges)) for tenant, bridges in uplinks.items()})
