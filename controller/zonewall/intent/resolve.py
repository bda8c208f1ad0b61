"""Fleet to one bridge: what its own endpoints can need, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zonewall.intent.chains import chains_on, mirror_bits, mirror_sinks, sinks_here
from zonewall.intent.connection_limits import new_connections
from zonewall.intent.fleet import Fleet
from zonewall.intent.lines import bank_intents, modifiers_of
from zonewall.intent.model import (
    BridgeIntent,
    Destination,
    ForeignEndpoint,
    LocalEndpoint,
    RemoteEndpoint,
    TenantIntent,
    Uplink,
)
from zonewall.intent.numbering import Kind
from zonewall.placement.model import Binding, BridgeKey
from zonewall.placement.topology import next_hops
from zonewall.policy.model import Attachment, EndpointDeclaration, PortDeclaration, PortRole
from zonewall.values.addresses import IpPrefix
from zonewall.values.names import EndpointKey, TenantName

VIA_UPLINK = 4095


def resolve_bridge(fleet: Fleet, key: BridgeKey) -> BridgeIntent:
    """Return what the bridge must do at this moment; a pure function of the two arguments."""
    policy = fleet.policy
    inventory = policy.configuration.inventory
    declaration = inventory.hosts[key.host].bridges[key.bridge]
    ports = fleet.ports.get(key, ())
    tenants = tuple(
        _tenant(fleet, key, declaration.attachment, name, ports)
        for name in sorted(policy.configuration.tenants)
        if key in fleet.present.get(name, ())
    )
    banks = bank_intents(fleet, key, tenants)
    sinks = mirror_sinks(fleet, key)
    chains = chains_on(fleet, key)
    provider = policy.configuration.provider
    tunnels = [ofport for port, ofport in ports if port.role is PortRole.TUNNEL]
    destinations = _destinations(fleet, key, declaration.attachment, tunnels)
    host_port = next((ofport for port, ofport in ports if port.role is PortRole.HOST), None)
    return BridgeIntent(
        key=key,
        attachment=declaration.attachment,
        number=policy.number(Kind.DESTINATION, f"bridge:{key}"),
        tenants=tenants,
        banks=banks,
        modifiers=modifiers_of(fleet, key, banks, mirror_bits(policy.configuration)),
        chains=chains,
        sinks=sinks,
        sinks_here=sinks_here(fleet, key),
        fabric_ports=tuple(ofport for port, ofport in ports if port.role is PortRole.FABRIC),
        tunnel_peers=tuple(
            (ofport, destination.tunnel_to)
            for ofport in tunnels
            for destination in destinations
            if destination.tunnel_to is not None
        ),
        silent_ports=tuple(ofport for port, ofport in ports if port.role is PortRole.MIRROR_TARGET),
        host_port=host_port,
        host_uplinks=tuple(
            ofport for port, ofport in ports if port.role is PortRole.UPLINK and 0 not in (port.vlans or {})
        ),
        destinations=destinations,
        ethertypes=provider.ethertypes,
        multicast=provider.multicast,
        announcements_per_s=provider.limits.announcements_per_s,
        rule_names={policy.number(Kind.RULE, name): name for name in policy.records},
        new_connections=new_connections(policy, [tenant.name for tenant in tenants]),
    )


def _tenant(
    fleet: Fleet,
    key: BridgeKey,
    attachment: Attachment,
    name: TenantName,
    ports: tuple[tuple[PortDeclaration, int], ...],
) -> TenantIntent:
    policy = fleet.policy
    endpoints = policy.configuration.inventory.endpoints
    uplinks = tuple(_uplinks(name, ports))
    here = tuple(_local(fleet, binding) for binding in fleet.here.get(key, ()))
    mine = tuple(local for local in here if endpoints[local.key].tenant == name)
    others = tuple(
        _remote(fleet, endpoints[place.endpoint], _via(fleet, place.bridge, attachment, bool(uplinks)))
        for place in _places(fleet, name)
        if place.bridge != key
    )
    gateway, gateways = _gateway(fleet, key, attachment, name, bool(uplinks))
    outside: tuple[tuple[IpPrefix, int], ...] = ()
    if gateway is not None:
        outside = tuple(
            (prefix, policy.identity(identity.name)) for prefix, identity in policy.directory.outside[name]
        )
    elsewhere = sorted(fleet.present.get(name, frozenset()) - {key})
    flood = (
        ()
        if attachment is Attachment.UNDERLAY
        else tuple(policy.number(Kind.DESTINATION, f"bridge:{bridge}") for bridge in elsewhere)
    )
    return TenantIntent(
        name=name,
        number=policy.number(Kind.TENANT, name),
        bank=policy.number(Kind.BANK, name),
        locals=mine,
        remotes=others,
        foreign=tuple(_foreign(fleet, key, attachment, name, here)),
        outside=outside,
        uplinks=uplinks,
        gateway=gateway,
        routers=tuple(sorted({mac for uplink in gateways for mac in uplink.routers})),
        flood=flood,
        dhcp_servers=_dhcp_elsewhere(fleet, key, attachment, name),
        remediation=_remediation(fleet),
        floods_outside=attachment is Attachment.UNDERLAY or _first_with_uplinks(fleet, name) in (key, None),
    )


def _local(fleet: Fleet, binding: Binding) -> LocalEndpoint:
    policy = fleet.policy
    endpoint = policy.configuration.inventory.endpoints[binding.endpoint]
    return LocalEndpoint(
        key=binding.endpoint,
        number=policy.number(Kind.ENDPOINT, binding.endpoint),
        mac=endpoint.mac,
        ofport=binding.ofport,
        state=binding.state,
        addresses=policy.addresses[binding.endpoint],
        link_local=policy.identity(policy.directory.endpoints[binding.endpoint].otherwise.name),
        roles=endpoint.roles,
        midstream=binding.midstream,
    )


def _remote(fleet: Fleet, endpoint: EndpointDeclaration, via: int) -> RemoteEndpoint:
    policy = fleet.policy
    return RemoteEndpoint(
        key=endpoint.key,
        number=policy.number(Kind.ENDPOINT, endpoint.key),
        mac=endpoint.mac,
        addresses=policy.addresses[endpoint.key],
        roles=endpoint.roles,
        via=via,
    )


def _places(fleet: Fleet, tenant: TenantName) -> list[Binding]:
    endpoints = fleet.policy.configuration.inventory.endpoints
    return [place for key, place in sorted(fleet.place.items()) if endpoints[key].tenant == tenant]


def _via(fleet: Fleet, bridge: BridgeKey, attachment: Attachment, has_uplink: bool) -> int:
    if attachment is Attachment.UNDERLAY and has_uplink:
        return VIA_UPLINK
    return fleet.policy.number(Kind.DESTINATION, f"bridge:{bridge}")


def _foreign(
    fleet: Fleet,
    key: BridgeKey,
    attachment: Attachment,
    viewer: TenantName,
    here: tuple[LocalEndpoint, ...],
) -> Iterable[ForeignEndpoint]:
    """Yield the endpoints of other tenants that something could let this tenant's endpoints reach."""
    policy = fleet.policy
    endpoints = policy.configuration.inventory.endpoints
    locals_by_key: dict[EndpointKey, LocalEndpoint] = {e.key: e for e in here if e.delivers}
    for bank in policy.banks.values():
        if bank.source != viewer or bank.destination == viewer:
            continue
        number = policy.number(Kind.BANK, bank.name)
        tenant = policy.number(Kind.TENANT, bank.destination)
        for place in _places(fleet, bank.destination):
            local = locals_by_key.get(place.endpoint)
            if local is not None:
                yield ForeignEndpoint(local, tenant, number)
            elif place.bridge != key:
                via = _via(fleet, place.bridge, attachment, False)
                yield ForeignEndpoint(_remote(fleet, endpoints[place.endpoint], via), tenant, number)


def _uplinks(tenant: TenantName, ports: tuple[tuple[PortDeclaration, int], ...]) -> Iterable[Uplink]:
    for port, ofport in ports:
        if port.role is PortRole.UPLINK:
            for vlan, owner in sorted((port.vlans or {}).items()):
                if owner == tenant:
                    yield Uplink(ofport, vlan, port.routers, port.dhcp)


def _gateway(
    fleet: Fleet, key: BridgeKey, attachment: Attachment, tenant: TenantName, has_uplink: bool
) -> tuple[int | None, tuple[Uplink, ...]]:
    """Return how the outside is reached, and the uplinks there: its own, else the first bridge's with any."""
    if has_uplink:
        return VIA_UPLINK, tuple(_uplinks(tenant, fleet.ports.get(key, ())))
    if attachment is Attachment.UNDERLAY:
        return None, ()
    bridge = _first_with_uplinks(fleet, tenant)
    if bridge is None:
        return None, ()
    uplinks = tuple(_uplinks(tenant, fleet.ports.get(bridge, ())))
    return fleet.policy.number(Kind.DESTINATION, f"bridge:{bridge}"), uplinks


def _first_with_uplinks(fleet: Fleet, tenant: TenantName) -> BridgeKey | None:
    """Return the bridge by which a tenant's bridges without an uplink reach the outside."""
    for bridge in sorted(fleet.present.get(tenant, ())):
        if any(_uplinks(tenant, fleet.ports.get(bridge, ()))):
            return bridge
    return None


def _dhcp_elsewhere(
    fleet: Fleet, key: BridgeKey, attachment: Attachment, tenant: TenantName
) -> tuple[int, ...]:
    if attachment is Attachment.UNDERLAY:
        return ()
    endpoints = fleet.policy.configuration.inventory.endpoints
    bridges = {p.bridge for p in _places(fleet, tenant) if "dhcp-server" in endpoints[p.endpoint].roles}
    for bridge in fleet.present.get(tenant, ()):
        if any(uplink.dhcp for uplink in _uplinks(tenant, fleet.ports.get(bridge, ()))):
            bridges.add(bridge)
    return tuple(
        fleet.policy.number(Kind.DESTINATION, f"bridge:{bridge}") for bridge in sorted(bridges - {key})
    )


def _remediation(fleet: Fleet) -> tuple[int, ...]:
    policy = fleet.policy
    zone = policy.configuration.provider.remediation
    if zone is None:
        return ()
    return tuple(sorted(policy.identity(i.name) for i in policy.directory.by_zone.get(zone, frozenset())))


def _destinations(
    fleet: Fleet, key: BridgeKey, attachment: Attachment, tunnels: list[int]
) -> tuple[Destination, ...]:
    """Return the way to every other bridge and to what is there: legs and mirror targets."""
    policy = fleet.policy
    hosts = policy.configuration.inventory.hosts
    ways: dict[BridgeKey, Destination] = {}
    if attachment is Attachment.OVERLAY:
        for bridge in fleet.ports:
            address = hosts[bridge.host].tunnel_address
            if bridge != key and address is not None and tunnels:
                number = policy.number(Kind.DESTINATION, f"bridge:{bridge}")
                ways[bridge] = Destination(number, tunnels[0], address)
    else:
        for bridge, ofport in next_hops(fleet.placement.links, key).items():
            if bridge in fleet.ports:
                ways[bridge] = Destination(policy.number(Kind.DESTINATION, f"bridge:{bridge}"), ofport)
    result = list(ways.values())
    for name, bridge in _places_of_things(fleet).items():
        way = ways.get(bridge)
        if way is not None:
            result.append(Destination(policy.number(Kind.DESTINATION, name), way.ofport, way.tunnel_to))
    return tuple(sorted(result, key=lambda destination: destination.number))


def _places_of_things(fleet: Fleet) -> Mapping[str, BridgeKey]:
    """Return the bridge of each leg and mirror target, by the name its destination is numbered under."""
    places: dict[str, BridgeKey] = {}
    legs: dict[tuple[str, str], BridgeKey] = {}
    for bridge, ports in fleet.ports.items():
        for port, _ in ports:
            if port.role is PortRole.MIRROR_TARGET:
                places[f"mirror:{port.target}@{bridge}"] = bridge
            elif port.role is PortRole.SERVICE and port.function is not None and port.leg is not None:
                legs[port.function, port.leg] = bridge
    for name, record in fleet.policy.records.items():
        if record.rule is None:
            continue
        for index, function in enumerate(record.rule.through):
            for side, leg in (("enter", "in"), ("leave", "out")):
                bridge_of_leg = legs.get((function, leg)) or legs.get((function, "only"))
                if bridge_of_leg is not None:
                    places[f"leg:{name}#{index}/{side}"] = bridge_of_leg
    return places
