"""What one bridge must do: policy joined with placement, all names already numbers where flows need them."""

from __future__ import annotations

from dataclasses import dataclass

from zonewall.intent.chain_model import Chain
from zonewall.placement.model import BindingState, BridgeKey
from zonewall.values.addresses import IpAddress, IpPrefix, MacAddress
from zonewall.values.limits import Limit
from zonewall.values.names import EndpointKey, TenantName
from zonewall.values.services import ServiceTerm


@dataclass(frozen=True, slots=True)
class Address:
    """An address or range that an endpoint may use, and the identity it has with it."""

    prefix: IpPrefix
    identity: int
    is_range: bool = False


EVERY_JOINED = 0
"""No tenant's number: none of those that are joined with its own can reach an endpoint."""


@dataclass(frozen=True, slots=True)
class LocalEndpoint:
    """An endpoint at a port of this bridge.

    Attributes:
        number: the endpoint's number in ``dst_endpoint``.
        link_local: identity of its link-local address.
        claims: addresses that it may take over from others by announcing them.
        learns: an address that it announces may become its own.
        unaddressed: the inventory gives it no address: DHCP servers may.
        limit: on all that it sends.
        unseen_by: numbers of joined tenants that cannot reach it, or ``EVERY_JOINED`` alone.
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
    claims: tuple[IpPrefix, ...] = ()
    learns: bool = False
    unaddressed: bool = False
    limit: Limit | None = None
    unseen_by: tuple[int, ...] = ()

    @property
    def delivers(self) -> bool:
        """Say whether traffic for the endpoint goes to this port."""
        return self.state in (BindingState.ACTIVE, BindingState.QUARANTINED)

    @property
    def has_link_local(self) -> bool:
        """Say whether it speaks IPv6, or asks for an address there, and so has a link-local one."""
        return _has_link_local(self.addresses, self.unaddressed)


@dataclass(frozen=True, slots=True)
class RemoteEndpoint:
    """An endpoint that is at another bridge; ``via`` as in the ``via`` field."""

    key: EndpointKey
    number: int
    mac: MacAddress
    addresses: tuple[Address, ...]
    roles: frozenset[str]
    via: int
    unaddressed: bool = False

    @property
    def has_link_local(self) -> bool:
        """Say whether it has a link-local address, as of ``LocalEndpoint``."""
        return _has_link_local(self.addresses, self.unaddressed)


def _has_link_local(addresses: tuple[Address, ...], unaddressed: bool) -> bool:
    return unaddressed or any(address.prefix.version == 6 for address in addresses)


@dataclass(frozen=True, slots=True)
class Uplink:
    """A port of this bridge to the network outside, for one tenant."""

    ofport: int
    vlan: int
    routers: tuple[MacAddress, ...]
    dhcp: bool


@dataclass(frozen=True, slots=True)
class ForeignEndpoint:
    """Another tenant's endpoint that this tenant can reach; ``bank`` judges connections to it."""

    endpoint: LocalEndpoint | RemoteEndpoint
    tenant: int
    bank: int


@dataclass(frozen=True, slots=True)
class NewConnections:
    """How many connections of a tenant may begin in a second; None is no limit.

    Attributes:
        tenant_meter: the tenant's meter; None where its endpoints together have no limit.
    """

    per_endpoint_per_s: int | None = None
    per_tenant_per_s: int | None = None
    tenant_meter: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What an endpoint's flows depend on beside the endpoint itself: one tenant as one bridge sees it.

    Attributes:
        by_mac: something may be delivered by MAC alone: answers of a DHCP server, other ethertypes.
        routers: MACs of the routers beyond the tenant's uplinks here; None where it has no uplink here.
        local_sources: what a local endpoint sent may come back, from an appliance or a router.
        rejects: a rule here may reject.
        announcements_per_s: how many announcements a port may send to the controller.
    """

    tenant: int
    bank: int
    by_mac: bool
    routers: tuple[MacAddress, ...] | None
    local_sources: bool = False
    rejects: bool = False
    announcements_per_s: int = 0
    new_connections: NewConnections = NewConnections()


@dataclass(frozen=True, slots=True)
class TenantIntent:
    """One tenant on this bridge, but for its endpoints.

    Attributes:
        bank: the bank for connections within the tenant's view.
        ports: ports of its endpoints here that receive traffic, sorted.
        servers: port of each of its DHCP servers here, and whether it receives traffic.
        outside: longest-prefix table of outside addresses to identities; empty where nothing outside is
            reachable.
        gateway: how the outside is reached (``via``), None where it is not.
        routers: MACs behind which other addresses may be, reached by ``gateway``.
        flood: fabric destinations of the bridges that have endpoints or uplinks of the tenant. This one may
            be among them: nothing is delivered to it over a link.
        dhcp_servers: destinations of other bridges' DHCP servers.
        floods_outside: what is flooded passes between the tenant's uplinks and its endpoints here. Where
            bridges are joined by a fabric or tunnels one of them does that: two would close a loop.
    """

    name: TenantName
    number: int
    bank: int
    ports: tuple[int, ...]
    servers: tuple[tuple[int, bool], ...]
    outside: tuple[tuple[IpPrefix, int], ...]
    uplinks: tuple[Uplink, ...]
    gateway: int | None
    routers: tuple[MacAddress, ...]
    flood: tuple[int, ...]
    dhcp_servers: tuple[int, ...]
    floods_outside: bool = True
    new_connections: NewConnections = NewConnections()

    @property
    def snoops_by_mac(self) -> bool:
        """Say whether something is delivered by MAC alone: answers of a DHCP server."""
        return bool(self.dhcp_servers) or any(uplink.dhcp for uplink in self.uplinks) or bool(self.servers)


@dataclass(frozen=True, slots=True)
class CrowdIntent:
    """One side of a verdict line by numbers; all False and empty never occurs.

    Attributes:
        blocks: outside identities, by value and mask.
    """

    everybody: bool = False
    inside: bool = False
    outside: bool = False
    identities: tuple[int, ...] = ()
    blocks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """A line of a bank as this bridge needs it.

    Attributes:
        verdict: value of the ``verdict`` field; 0 goes on in section ``onward``.
        conjunction: number for the line's conjunctive flows.
        outlives: it is about live connections only that the rule let in.
        ends_at: when it ceases to hold, in seconds since 1970; 0 for never.
        families: Ethernet types that a connection it is about can have.
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
    outlives: bool = False
    ends_at: int = 0
    families: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class MirrorLine:
    """Whom a mirror rule copies; bits as in ``mirror_allowed`` and ``mirror_dropped``; one in ``sample``."""

    sources: CrowdIntent
    destinations: CrowdIntent
    services: tuple[ServiceTerm, ...]
    allowed: int
    dropped: int
    rule: int
    sample: int = 1


@dataclass(frozen=True, slots=True)
class BankFrame:
    """A bank on this bridge, but for its rules: where its connections are tracked.

    Attributes:
        reverse: the bank of the opposite direction; the same within a tenant.
        zone: conntrack zone, the same for both directions.
        families: Ethernet types that can occur.
        misses: for each section, where what no line of it matches goes on; None: it is undecided.
    """

    number: int
    name: str
    reverse: int
    zone: int
    families: tuple[int, ...]
    misses: tuple[int | None, ...]
    mirrors: tuple[MirrorLine, ...]


@dataclass(frozen=True, slots=True)
class BankIntent:
    """A bank on this bridge with its rules; ``sections`` are as many as the frame's ``misses``."""

    frame: BankFrame
    sections: tuple[tuple[VerdictLine, ...], ...]


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
    logged: bool = False


@dataclass(frozen=True, slots=True)
class MirrorSink:
    """Where copies for a target go from here: a local port, or a fabric destination.

    Attributes:
        bit: stands for the target and the length, ``target``: for the target; one copy is enough.
        zone: tracking zone of the connections among which the bit does so, None is all.
        max_len: bytes of a copy, None is all; ``way``: for a cut copy, the way to its destination.
        vlan: tag that copies leave a port of this bridge with, 0 is none.
        remote: collector that the port is a tunnel to.
    """

    bit: int
    ofport: int | None
    destination: int | None
    target: int
    zone: int | None = None
    max_len: int | None = None
    vlan: int = 0
    remote: IpAddress | None = None
    way: Destination | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """A fabric destination elsewhere and the way there: the next port, or the far end of a tunnel."""

    number: int
    ofport: int
    tunnel_to: IpAddress | None = None


@dataclass(frozen=True, slots=True)
class BridgeIntent:
    """All that a bridge's flows depend on, but for its tenants, their endpoints, its banks and its paths.

    Attributes:
        number: the bridge's own fabric destination.
        populated: there is a tenant here.
        has_locals: there is an endpoint at a port here.
        sections: the most sections that a bank here has, 0 where there is none.
        mirror_steps: the most mirror rules that a bank here has.
        turned: banks that have another one for the opposite direction, with that one.
        rejects: a rule here may reject.
        uplink_ports: ports to the network outside of any tenant.
        remediation: identities that an isolated end may reach.
        export: one in so many packets of logged rules is counted for IPFIX, 0 for none.
        sinks: where whole copies go, ``cut_sinks``: where copies do that are cut before.
        sinks_here: mirror targets of this bridge, by the fabric destination that copies come in by.
        silent_ports: mirror targets here: whatever they send is dropped.
        tunnel_peers: addresses that tunnel frames may come from, by tunnel port.
    """

    key: BridgeKey
    number: int
    populated: bool
    has_locals: bool
    sections: int
    mirror_steps: int
    turned: tuple[tuple[int, int], ...]
    rejects: bool
    modifiers: tuple[Modifier, ...]
    chains: tuple[Chain, ...]
    sinks: tuple[MirrorSink, ...]
    cut_sinks: tuple[MirrorSink, ...]
    sinks_here: tuple[MirrorSink, ...]
    fabric_ports: tuple[int, ...]
    tunnel_peers: tuple[tuple[int, IpAddress], ...]
    silent_ports: tuple[int, ...]
    host_port: int | None
    host_uplinks: tuple[int, ...]
    uplink_ports: tuple[int, ...]
    remediation: tuple[int, ...]
    export: int
    ethertypes: frozenset[int]
    multicast: frozenset[str]

    @property
    def judges(self) -> bool:
        """Say whether any connection is judged here."""
        return self.sections > 0

    @property
    def logs(self) -> bool:
        """Say whether connections of a rule are recorded here."""
        return any(modifier.logged for modifier in self.modifiers)

    @property
    def has_legs(self) -> bool:
        """Say whether a leg of a service function is here."""
        return any(path.legs for chain in self.chains for path in chain.paths)


@dataclass(frozen=True, slots=True)
class TenantParts:
    """One tenant on a bridge, with its endpoints."""

    intent: TenantIntent
    view: View
    locals: tuple[LocalEndpoint, ...]
    remotes: tuple[RemoteEndpoint, ...]
    foreign: tuple[ForeignEndpoint, ...]


@dataclass(frozen=True, slots=True)
class BridgeParts:
    """All that one bridge's flows depend on."""

    frame: BridgeIntent
    tenants: tuple[TenantParts, ...]
    banks: tuple[BankIntent, ...]
    destinations: tuple[Destination, ...]
