"""Fleet to one bridge: what its own endpoints can need, and nothing else.

Each function here makes one piece of it; ``resolve_bridge`` makes all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from zonewall.intent.chains import chains_on, leg_places
from zonewall.intent.connection_limits import new_connections
from zonewall.intent.fleet import Fleet
from zonewall.intent.here import NOBODY_HERE, Locals
from zonewall.intent.lines import BankHere, banks_on, modifiers_of, verdict_lines
from zonewall.intent.mirrors import cut_sinks, mirror_sinks, sinks_here
from zonewall.intent.model import (
    BankIntent,
    BridgeIntent,
    BridgeParts,
    Destination,
    ForeignEndpoint,
    LocalEndpoint,
    RemoteEndpoint,
    TenantIntent,
    TenantParts,
    Uplink,
    View,
)
from zonewall.intent.numbering import Kind
from zonewall.intent.policy import EndpointFacts, Policy
from zonewall.placement.model import Binding, BridgeKey
from zonewall.placement.topology import hops_in
from zonewall.policy.inventory import Attachment, PortDeclaration, PortRole
from zonewall.values.addresses import IpAddress
from zonewall.values.names import TenantName

VIA_UPLINK = 4095


def resolve_bridge(fleet: Fleet, key: BridgeKey) -> BridgeParts:
    """Return what the bridge must do at this moment; a pure function of the two arguments."""
    here = {
        name: locals_of(fleet, key, name)
        for name in sorted(fleet.policy.configuration.tenants)
        if fleet.is_present(name, key)
    }
    banks = []
    for bank in banks_on(fleet, key, here):
        banks.append((bank, BankIntent(bank.frame, verdict_lines(fleet.policy, bank))))
    found = [bank for bank, _ in banks]
    frame = bridge_intent(fleet, key, here, found)
    tenants = tuple(_tenant(fleet, key, name, of, frame) for name, of in here.items())
    return BridgeParts(frame, tenants, tuple(intent for _, intent in banks), destinations_of(fleet, key))


def locals_of(fleet: Fleet, key: BridgeKey, tenant: TenantName) -> Locals:
    """Return what a tenant's endpoints on a bridge add up to."""
    bindings = fleet.here.get(key, {}).get(tenant, {}).values()
    return NOBODY_HERE.change((), ((fleet.policy.endpoints[b.endpoint], b) for b in bindings))


def bridge_intent(
    fleet: Fleet, key: BridgeKey, here: Mapping[TenantName, Locals], banks: list[BankHere]
) -> BridgeIntent:
    """Return what belongs to the bridge as a whole."""
    policy = fleet.policy
    provider = policy.configuration.provider
    ports = fleet.ports.get(key, ())
    tunnels = [ofport for port, ofport in ports if port.role is PortRole.TUNNEL]
    uplinks = [(port, ofport) for port, ofport in ports if port.role is PortRole.UPLINK]
    tenants = policy.configuration.tenants.keys()
    bare = BridgeIntent(
        key=key,
        number=policy.number(Kind.DESTINATION, f"bridge:{key}"),
        populated=False,
        has_locals=False,
        sections=0,
        mirror_steps=0,
        turned=(),
        rejects=False,
        modifiers=(),
        chains=chains_on(fleet, key),
        sinks=mirror_sinks(fleet, key),
        cut_sinks=(),
        sinks_here=sinks_here(fleet, key),
        fabric_ports=tuple(ofport for port, ofport in ports if port.role is PortRole.FABRIC),
        tunnel_peers=tuple((ofport, peer) for ofport in tunnels for peer in _tunnel_ends(fleet, key)),
        silent_ports=tuple(ofport for port, ofport in ports if port.role is PortRole.MIRROR_TARGET),
        host_port=next((ofport for port, ofport in ports if port.role is PortRole.HOST), None),
        host_uplinks=tuple(ofport for port, ofport in uplinks if 0 not in (port.vlans or {})),
        uplink_ports=tuple(sorted({n for port, n in uplinks if tenants & {*(port.vlans or {}).values()}})),
        remediation=(),
        export=export.sample if (export := policy.configuration.inventory.export) is not None else 0,
        ethertypes=provider.ethertypes,
        multicast=provider.multicast,
    )
    return populated(bare, fleet, here, banks)


def populated(
    before: BridgeIntent, fleet: Fleet, here: Mapping[TenantName, Locals], banks: list[BankHere]
) -> BridgeIntent:
    """Return what belongs to the bridge as a whole, with other tenants, endpoints and banks on it."""
    policy = fleet.policy
    frames = [bank.frame for bank in banks]
    zones = [(bank.bank, bank.frame.zone) for bank in banks]
    return replace(
        before,
        populated=bool(here),
        has_locals=any(of.count for of in here.values()),
        sections=max((len(frame.misses) for frame in frames), default=0),
        mirror_steps=max((len(frame.mirrors) for frame in frames), default=0),
        turned=tuple((frame.number, frame.reverse) for frame in frames if frame.number != frame.reverse),
        rejects=any(bank.rejects(policy) for bank in banks),
        modifiers=modifiers_of(fleet, before.key, banks),
        cut_sinks=cut_sinks(fleet, before.key, zones, lambda: destinations_of(fleet, before.key)),
        remediation=_remediation(policy) if here else (),
    )


def tenant_intent(
    fleet: Fleet, key: BridgeKey, name: TenantName, here: Locals, flood: tuple[int, ...]
) -> TenantIntent:
    """Return a tenant on a bridge, but for its endpoints; ``flood`` as ``flood_of`` says."""
    policy = fleet.policy
    attachment = attachment_of(policy, key)
    uplinks = tuple(_uplinks(name, fleet.ports.get(key, ())))
    gateway, gateways = _gateway(fleet, key, attachment, name, uplinks)
    first_outside = next(iter(fleet.declared.uplinks.get(name, ())), None)
    underlay = attachment is Attachment.UNDERLAY
    return TenantIntent(
        name=name,
        number=policy.number(Kind.TENANT, name),
        bank=policy.number(Kind.BANK, name),
        ports=here.ports,
        servers=here.servers,
        outside=() if gateway is None else policy.outside[name],
        uplinks=uplinks,
        gateway=gateway,
        routers=tuple(sorted({mac for uplink in gateways for mac in uplink.routers})),
        flood=() if underlay else flood,
        dhcp_servers=() if underlay else _dhcp_elsewhere(fleet, key, name),
        floods_outside=underlay or first_outside in (key, None),
        new_connections=new_connections(policy, name),
    )


def flood_of(fleet: Fleet, name: TenantName) -> tuple[int, ...]:
    """Return the destinations of all bridges of a tenant; of none where there is but one."""
    bridges = fleet.present(name)
    if len(bridges) < 2:
        return ()
    return tuple(via_bridge(fleet.policy, bridge) for bridge in sorted(bridges))


def view_of(frame: BridgeIntent, tenant: TenantIntent, here: Locals, announcements_per_s: int) -> View:
    """Return what the flows of the tenant's endpoints depend on beside themselves."""
    routers = None
    if tenant.uplinks:
        routers = tuple(sorted({mac for uplink in tenant.uplinks for mac in uplink.routers}))
    return View(
        tenant=tenant.number,
        bank=tenant.bank,
        by_mac=tenant.snoops_by_mac or bool(frame.ethertypes),
        routers=routers,
        # What an appliance on another bridge lets through may come back here, from an endpoint that is here.
        local_sources=bool(frame.chains) or bool(here.routers),
        rejects=frame.rejects,
        announcements_per_s=announcements_per_s,
        new_connections=tenant.new_connections,
    )


def for_remotes(view: View) -> View:
    """Return what the flows of endpoints elsewhere depend on: the same on many bridges."""
    return View(view.tenant, view.bank, view.by_mac, view.routers)


def attachment_of(policy: Policy, key: BridgeKey) -> Attachment:
    """Return how the bridge's traffic reaches other hosts."""
    return policy.configuration.inventory.hosts[key.host].bridges[key.bridge].attachment


def local_endpoint(facts: EndpointFacts, binding: Binding) -> LocalEndpoint:
    """Return an endpoint at a port of the bridge."""
    return LocalEndpoint(
        key=facts.key,
        number=facts.number,
        mac=facts.mac,
        ofport=binding.ofport,
        state=binding.state,
        addresses=facts.addresses,
        link_local=facts.link_local,
        roles=facts.roles,
        midstream=binding.midstream,
        claims=facts.claims,
        learns=facts.learns,
        unaddressed=facts.unaddressed,
        limit=facts.limit,
        unseen_by=facts.unseen_by,
    )


def remote_endpoint(facts: EndpointFacts, via: int) -> RemoteEndpoint:
    """Return an endpoint at another bridge."""
    return RemoteEndpoint(
        facts.key, facts.number, facts.mac, facts.addresses, facts.roles, via, facts.unaddressed
    )


def via_bridge(policy: Policy, bridge: BridgeKey) -> int:
    """Return the ``via`` that leads to another bridge."""
    return policy.bridges[bridge]


def is_elsewhere(present: frozenset[BridgeKey], key: BridgeKey) -> bool:
    """Say whether there is any bridge among some beside this one."""
    return len(present) > (key in present)


def goes_by_uplink(policy: Policy, key: BridgeKey, tenant: TenantIntent) -> bool:
    """Say whether the tenant's endpoints elsewhere are reached through its uplinks here."""
    return bool(tenant.uplinks) and attachment_of(policy, key) is Attachment.UNDERLAY


def _tenant(fleet: Fleet, key: BridgeKey, name: TenantName, here: Locals, frame: BridgeIntent) -> TenantParts:
    policy = fleet.policy
    intent = tenant_intent(fleet, key, name, here, flood_of(fleet, name))
    view = view_of(frame, intent, here, policy.configuration.provider.limits.announcements_per_s)
    of_tenant = fleet.here.get(key, {}).get(name, {})
    by_uplink = goes_by_uplink(policy, key, intent)
    places = sorted(fleet.of(name).place.items())
    return TenantParts(
        intent,
        view,
        tuple(local_endpoint(policy.endpoints[at[1]], binding) for at, binding in sorted(of_tenant.items())),
        tuple(
            remote_endpoint(
                policy.endpoints[endpoint], VIA_UPLINK if by_uplink else via_bridge(policy, place.bridge)
            )
            for endpoint, place in places
            if place.bridge != key
        ),
        tuple(_foreign(fleet, key, name)),
    )


def _foreign(fleet: Fleet, key: BridgeKey, viewer: TenantName) -> Iterator[ForeignEndpoint]:
    """Yield the endpoints of other tenants that something could let this tenant's endpoints reach."""
    policy = fleet.policy
    view = policy.number(Kind.TENANT, viewer)
    for bank in policy.beyond.get(viewer, ()):
        number = policy.number(Kind.BANK, bank.name)
        tenant = policy.number(Kind.TENANT, bank.destination)
        for endpoint, place in sorted(fleet.of(bank.destination).place.items()):
            facts = policy.endpoints[endpoint]
            if view in facts.hidden_from:
                continue
            seen: LocalEndpoint | RemoteEndpoint
            if place.bridge == key:
                seen = local_endpoint(facts, place)
            else:
                seen = remote_endpoint(facts, via_bridge(policy, place.bridge))
            yield ForeignEndpoint(seen, tenant, number)


def _uplinks(tenant: TenantName, ports: tuple[tuple[PortDeclaration, int], ...]) -> Iterable[Uplink]:
    for port, ofport in ports:
        if port.role is PortRole.UPLINK:
            for vlan, owner in sorted((port.vlans or {}).items()):
                if owner == tenant:
                    yield Uplink(ofport, vlan, port.routers, port.dhcp)


def _gateway(
    fleet: Fleet, key: BridgeKey, attachment: Attachment, tenant: TenantName, uplinks: tuple[Uplink, ...]
) -> tuple[int | None, tuple[Uplink, ...]]:
    """Return how the outside is reached, and the uplinks there: its own, else the first bridge's with any."""
    if uplinks:
        return VIA_UPLINK, uplinks
    bridges = fleet.declared.uplinks.get(tenant, ())
    if attachment is Attachment.UNDERLAY or not bridges:
        return None, ()
    return via_bridge(fleet.policy, bridges[0]), tuple(_uplinks(tenant, fleet.ports.get(bridges[0], ())))


def _dhcp_elsewhere(fleet: Fleet, key: BridgeKey, tenant: TenantName) -> tuple[int, ...]:
    bridges = set(fleet.of(tenant).servers.values())
    for bridge in fleet.declared.uplinks.get(tenant, ()):
        if any(uplink.dhcp for uplink in _uplinks(tenant, fleet.ports.get(bridge, ()))):
            bridges.add(bridge)
    return tuple(via_bridge(fleet.policy, bridge) for bridge in sorted(bridges - {key}))


def _remediation(policy: Policy) -> tuple[int, ...]:
    zone = policy.configuration.provider.remediation
    if zone is None:
        return ()
    return tuple(sorted(policy.identity(i.name) for i in policy.directory.by_zone.get(zone, frozenset())))


def destinations_of(fleet: Fleet, key: BridgeKey) -> tuple[Destination, ...]:
    """Return the way to every other bridge and to what is there: legs and mirror targets."""
    policy = fleet.policy
    ways: dict[BridgeKey, Destination] = {}
    if attachment_of(policy, key) is Attachment.OVERLAY:
        tunnels = [ofport for port, ofport in fleet.ports.get(key, ()) if port.role is PortRole.TUNNEL]
        hosts = policy.configuration.inventory.hosts
        for bridge in fleet.ports:
            address = hosts[bridge.host].tunnel_address
            if bridge != key and address is not None and tunnels:
                ways[bridge] = Destination(via_bridge(policy, bridge), tunnels[0], address)
    else:
        for bridge, ofport in hops_in(fleet.graph, key).items():
            if bridge in fleet.ports:
                ways[bridge] = Destination(via_bridge(policy, bridge), ofport)
    result = list(ways.values())
    for name, bridge in _places_of_things(fleet).items():
        way = ways.get(bridge)
        if way is not None:
            result.append(Destination(policy.number(Kind.DESTINATION, name), way.ofport, way.tunnel_to))
    return tuple(sorted(result, key=lambda destination: destination.number))


def _tunnel_ends(fleet: Fleet, key: BridgeKey) -> list[IpAddress]:
    """Return the addresses at the far ends of this bridge's tunnels, by their bridges' numbers."""
    if attachment_of(fleet.policy, key) is not Attachment.OVERLAY:
        return []
    found = [each.tunnel_to for each in destinations_of(fleet, key) if each.tunnel_to is not None]
    return list(dict.fromkeys(found))


def _places_of_things(fleet: Fleet) -> Mapping[str, BridgeKey]:
    """Return the bridge of each leg and mirror target, by the name its destination is numbered under."""
    targets = fleet.declared.targets
    places = {f"mirror:{port.target}@{bridge}": bridge for bridge, port, _ in targets}
    places.update(leg_places(fleet))
    return places
