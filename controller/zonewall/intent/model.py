"""What one bridge must do: policy joined with placement, all names already numbers where flows need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zonewall.placement.model import BindingState, BridgeKey
from zonewall.policy.model import Attachment, Limit
from zonewall.values.addresses import IpAddress, IpPrefix, MacAddress
from zonewall.values.names import EndpointKey, TenantName
from zonewall.values.services import ServiceTerm


@dataclass(frozen=True, slots=True)
class Address:
    """An address or range that an endpoint may use, and the identity it has with it."""

    prefix: IpPrefix
    identity: int
    is_range: bool = False


@dataclass(frozen=True, slots=True)
class LocalEndpoint:
    """An endpoint at a port of this bridge.

    Attributes:
        number: the endpoint's number in ``dst_endpoint``.
        link_local: identity of its link-local address.
    """

    key: EndpointKey
    number: int
    mac: MacAddress
    ofport: int
    state: BindingState
    addresses: tuple[Address, ...]
    link_local: int
    roles: frozenset[str]
    midstream: bool = False

    @property
    def delivers(self) -> bool:
        """Say whether traffic for the endpoint goes to this port."""
        return self.state in (BindingState.ACTIVE, BindingState.QUARANTINED)


@dataclass(frozen=True, slots=True)
class RemoteEndpoint:
    """An endpoint that is at another bridge; ``via`` as in the ``via`` field."""

    key: EndpointKey
    number: int
    mac: MacAddress
    addresses: tuple[Address, ...]
    roles: frozenset[str]
    via: int


@dataclass(frozen=True, slots=True)
class Uplink:
    """A port of this bridge to the network outside, for one tenant."""

    ofport: int
    vlan: int
    routers: tuple[MacAddress, ...]
    dhcp: bool


@dataclass(frozen=True, slots=True)
class TenantIntent:
    """One tenant on this bridge.

    Attributes:
        bank: the bank for connections within the tenant's view.
        outside: longest-prefix table of outside addresses to identities; empty where nothing outside is
            reachable.
        gateway: how the outside is reached (``via``), None where it is not.
        routers: MACs behind which other addresses may be, reached by ``gateway``.
        flood: fabric destinations of the other bridges that have endpoints or uplinks of the tenant.
        dhcp_servers: destinations of other bridges' DHCP servers.
        floods_outside: what is flooded passes between the tenant's uplinks and its endpoints here. Where
            bridges are joined by a fabric or tunnels one of them does that: two would close a loop.
    """

    name: TenantName
    number: int
    bank: int
    locals: tuple[LocalEndpoint, ...]
    remotes: tuple[RemoteEndpoint, ...]
    foreign: tuple[ForeignEndpoint, ...]
    outside: tuple[tuple[IpPrefix, int], ...]
    uplinks: tuple[Uplink, ...]
    gateway: int | None
    routers: tuple[MacAddress, ...]
    flood: tuple[int, ...]
    dhcp_servers: tuple[int, ...]
    remediation: tuple[int, ...]
    floods_outside: bool = True

    @property
    def snoops_by_mac(self) -> bool:
        """Say whether something is delivered by MAC alone: answers of a DHCP server."""
        return (
            bool(self.dhcp_servers)
            or any(uplink.dhcp for uplink in self.uplinks)
            or any("dhcp-server" in endpoint.roles for endpoint in self.locals)
        )


@dataclass(frozen=True, slots=True)
class ForeignEndpoint:
    """Another tenant's endpoint that this tenant can reach; ``bank`` judges connections to it."""

    endpoint: LocalEndpoint | RemoteEndpoint
    tenant: int
    bank: int


@dataclass(frozen=True, slots=True)
class CrowdIntent:
    """One side of a verdict line by numbers; all False and empty never occurs."""

    everybody: bool = False
    inside: bool = False
    outside: bool = False
    identities: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """A line of a bank as this bridge needs it.

    Attributes:
        verdict: value of the ``verdict`` field; 0 goes on in section ``onward``.
        conjunction: number for the line's conjunctive flows.
    """

    priority: int
    rule: int
    verdict: int
    sources: CrowdIntent
    destinations: CrowdIntent
    services: tuple[ServiceTerm, ...]
    conjunction: int
    onward: int = 0
    monitored: bool = False


@dataclass(frozen=True, slots=True)
class SectionIntent:
    """Lines of one section; a packet that none matches goes to section ``miss``, None: is undecided."""

    lines: tuple[VerdictLine, ...]
    miss: int | None


@dataclass(frozen=True, slots=True)
class MirrorLine:
    """Whom a mirror rule copies; bits as in ``mirror_allowed`` and ``mirror_dropped``."""

    sources: CrowdIntent
    destinations: CrowdIntent
    services: tuple[ServiceTerm, ...]
    allowed: int
    dropped: int
    rule: int


@dataclass(frozen=True, slots=True)
class BankIntent:
    """A bank on this bridge: where its connections are tracked, and the rules.

    Attributes:
        reverse: the bank of the opposite direction; the same within a tenant.
        zone: conntrack zone, the same for both directions.
        families: Ethernet types that can occur.
    """

    number: int
    name: str
    reverse: int
    zone: int
    families: tuple[int, ...]
    sections: tuple[SectionIntent, ...]
    mirrors: tuple[MirrorLine, ...]


@dataclass(frozen=True, slots=True)
class LimitIntent:
    """A rule's limit: one meter for the rule, or one for each local source."""

    limit: Limit
    meter: int
    in_port: int | None = None


@dataclass(frozen=True, slots=True)
class Modifier:
    """What a rule asks beside allow."""

    rule: int
    mirror: int = 0
    chain: int = 0
    limits: tuple[LimitIntent, ...] = ()


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg of a service function.

    Attributes:
        ofport: its port where it is on this bridge, None elsewhere.
        destination: its fabric destination for this place in this chain.
        zone: conntrack zone of the function on this bridge.
    """

    ofport: int | None
    destination: int
    zone: int


@dataclass(frozen=True, slots=True)
class Hop:
    """One service function of a chain: entered by ``enter`` and left by ``leave`` in the first direction."""

    enter: Leg
    leave: Leg


@dataclass(frozen=True, slots=True)
class Chain:
    """Service functions in the order of a connection's first direction; unusable drops (or bypasses)."""

    number: int
    tenant: int
    bank: int
    hops: tuple[Hop, ...]
    usable: bool = True
    bypass: bool = False


@dataclass(frozen=True, slots=True)
class MirrorSink:
    """Where copies for a target go from here: a local port, or a fabric destination."""

    bit: int
    ofport: int | None
    destination: int | None


@dataclass(frozen=True, slots=True)
class NewConnections:
    """How many connections may begin in a second; None is no limit. ``tenant_meters``: tenant, meter."""

    per_endpoint_per_s: int | None = None
    per_tenant_per_s: int | None = None
    tenant_meters: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Destination:
    """A fabric destination elsewhere and the way there: the next port, or the far end of a tunnel."""

    number: int
    ofport: int
    tunnel_to: IpAddress | None = None


@dataclass(frozen=True, slots=True)
class BridgeIntent:
    """All that one bridge's flows depend on.

    Attributes:
        number: the bridge's own fabric destination.
        sinks_here: fabric destination to local port, for mirror targets of this bridge.
        silent_ports: mirror targets here: whatever they send is dropped.
        tunnel_peers: addresses that tunnel frames may come from, by tunnel port.
        mirror_loop: sinks that copies made here go to.
    """

    key: BridgeKey
    attachment: Attachment
    number: int
    tenants: tuple[TenantIntent, ...]
    banks: tuple[BankIntent, ...]
    modifiers: tuple[Modifier, ...]
    chains: tuple[Chain, ...]
    sinks: tuple[MirrorSink, ...]
    sinks_here: tuple[tuple[int, int], ...]
    fabric_ports: tuple[int, ...]
    tunnel_peers: tuple[tuple[int, IpAddress], ...]
    silent_ports: tuple[int, ...]
    host_port: int | None
    host_uplinks: tuple[int, ...]
    destinations: tuple[Destination, ...]
    ethertypes: frozenset[int]
    multicast: frozenset[str]
    announcements_per_s: int
    rule_names: Mapping[int, str]
    new_connections: NewConnections = NewConnections()
