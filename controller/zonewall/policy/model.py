"""The parsed documents as frozen values: all that the evaluator and the compiler share.

Every name in it is already checked to exist (``policy.check``); order is the documents' order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal

from zonewall.policy.findings import Finding, Location
from zonewall.values.addresses import IpAddress, IpPrefix, MacAddress
from zonewall.values.names import BridgeName, EndpointKey, HostName, TenantName, ZoneName
from zonewall.values.services import ServiceTerm


class Action(Enum):
    """What a rule decides."""

    ALLOW = "allow"
    DROP = "drop"
    REJECT = "reject"
    PASS = "pass"  # noqa: S105 - an action of the language, no password


class Mode(Enum):
    """Whether a drop or reject is carried out, or only counted and logged."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


ANY_VALUE = "*"


@dataclass(frozen=True, slots=True)
class Selector:
    """Who is in a zone; every key that is set must hold, values in a tuple are alternatives.

    Attributes:
        labels: key to alternatives; ``("*",)`` is any value of a key that is there. None: not asked.
        endpoints: names within the tenant.
        cidrs: whoever has the address; ``outside`` keeps it to addresses of no endpoint.
        zones: union of other zones of the tenant.
        excluded: taken away from what the rest selects (``except:``).
    """

    labels: Mapping[str, tuple[str, ...]] | None = None
    endpoints: tuple[str, ...] | None = None
    macs: tuple[MacAddress, ...] | None = None
    cidrs: tuple[IpPrefix, ...] | None = None
    zones: tuple[ZoneName, ...] | None = None
    outside: bool = False
    excluded: Selector | None = None


@dataclass(frozen=True, slots=True)
class HostConstraint:
    """Which hosts a zone's members may run on: trust words and host labels, all that are set must hold."""

    trust: tuple[str, ...] | None = None
    labels: Mapping[str, tuple[str, ...]] | None = None
    hosts: tuple[HostName, ...] | None = None


@dataclass(frozen=True, slots=True)
class Zone:
    """A named set of a tenant's endpoints and addresses."""

    name: ZoneName
    selector: Selector
    location: Location
    hosts: HostConstraint | None = None
    mode: Mode = Mode.ENFORCE


@dataclass(frozen=True, slots=True)
class Peer:
    """One side of a rule.

    ``kind`` says how to read it: ``any`` is everybody, inside or outside; ``external`` everybody who is no
    endpoint of the tenant; ``self`` (in ``to`` only) pairs each ``from`` zone with itself; ``zone`` names
    one. In a tenant's rules ``tenant`` is None and an imported zone is named by its local name; in a
    provider's rules ``tenant`` is a tenant's name or ``"*"``, or None where the rule was written without
    one and is read in each tenant's own view.
    """

    kind: Literal["any", "external", "self", "zone"]
    zone: ZoneName | None = None
    tenant: TenantName | Literal["*"] | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate: ``unit`` is ``pps`` or ``kbps`` (mbps and gbps are turned into kbps)."""

    rate: int
    unit: Literal["pps", "kbps"]
    per_endpoint: bool = False


@dataclass(frozen=True, slots=True)
class Hours:
    """When a rule holds: weekdays 0 (Monday) to 6, minutes of the day, an IANA time zone name.

    ``until`` smaller than ``since`` runs past midnight into the next day.
    """

    days: frozenset[int]
    since: int
    until: int
    timezone: str


@dataclass(frozen=True, slots=True)
class OnChange:
    """What happens to live connections of a rule that goes."""

    kind: Literal["cut", "drain", "keep"] = "cut"
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a tier.

    Attributes:
        services: alternatives; empty means every IP protocol.
        mirror: names of mirror targets.
        through: service functions in the order of the connection's first direction.
        mode: None where the rule does not say.
    """

    name: str
    sources: tuple[Peer, ...]
    destinations: tuple[Peer, ...]
    services: tuple[ServiceTerm, ...]
    action: Action
    location: Location
    log: Literal["connections", "none"] = "none"
    mirror: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    limit: Limit | None = None
    hours: Hours | None = None
    expires: datetime | None = None
    on_change: OnChange = OnChange()
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """Rules of which the first that matches wins.

    ``tenants`` (provider tiers only) says for whom it stands; None is every tenant.
    """

    name: str
    rules: tuple[Rule, ...]
    location: Location
    mode: Mode | None = None
    tenants: tuple[TenantName, ...] | None = None


@dataclass(frozen=True, slots=True)
class MirrorRule:
    """Copies of chosen traffic, independent of the verdict."""

    name: str
    sources: tuple[Peer, ...]
    destinations: tuple[Peer, ...]
    services: tuple[ServiceTerm, ...]
    targets: tuple[str, ...]
    when: Literal["before", "allowed", "dropped"]
    location: Location
    sample: int = 1
    truncate: int | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """A zone that other tenants may import."""

    zone: ZoneName
    to: tuple[TenantName, ...]
    location: Location


@dataclass(frozen=True, slots=True)
class Import:
    """Another tenant's exported zone under a local name."""

    tenant: TenantName
    zone: ZoneName
    local_name: ZoneName
    location: Location


@dataclass(frozen=True, slots=True)
class Assertion:
    """A test of the policy: no probe between the two may, or every one must, end in ``verdict``."""

    sources: tuple[Peer, ...]
    destinations: tuple[Peer, ...]
    services: tuple[ServiceTerm, ...]
    quantifier: Literal["never", "always"]
    verdict: Action
    location: Location


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant's policy."""

    name: TenantName
    location: Location
    zones: Mapping[ZoneName, Zone]
    tiers: tuple[Tier, ...] = ()
    default: Action = Action.DROP
    default_location: Location | None = None
    mode: Mode = Mode.ENFORCE
    mirrors: tuple[MirrorRule, ...] = ()
    exports: tuple[Export, ...] = ()
    imports: tuple[Import, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    learn_addresses: bool = False


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """What one endpoint, tenant or port may cause; None is no limit but the built-in one."""

    new_connections_per_s: int | None = None
    new_connections_per_tenant_per_s: int | None = None
    tracked_connections: int | None = None
    announcements_per_s: int = 20


@dataclass(frozen=True, slots=True)
class Response:
    """What alerts of an IDS lead to.

    Attributes:
        signature: words with ``*``, or the signature's number; None is any.
        severity: this or worse (lower); None is any.
        count: so many alerts about one endpoint within ``within_s`` seconds.
        who: which end of the alert it is about.
        monitor: only say what would be done.
        at_most: endpoints of one tenant in an hour; None is no cap.
    """

    name: str
    action: Literal["quarantine", "limit", "mirror", "notify"]
    location: Location
    signature: str | None = None
    severity: int | None = None
    count: int = 1
    within_s: int | None = None
    who: Literal["attacker", "victim"] = "attacker"
    limit: Limit | None = None
    targets: tuple[str, ...] = ()
    expires_s: int | None = None
    exempt: tuple[Peer, ...] = ()
    at_most: int | None = None
    monitor: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """The operator's own tiers and what holds for all tenants."""

    before: tuple[Tier, ...] = ()
    after: tuple[Tier, ...] = ()
    limits: ProviderLimits = ProviderLimits()
    ethertypes: frozenset[int] = frozenset()
    multicast: frozenset[str] = frozenset()
    remediation: tuple[TenantName, ZoneName] | None = None
    respond: tuple[Response, ...] = ()


class PortRole(Enum):
    """What a port that is no endpoint is for."""

    UPLINK = "uplink"
    FABRIC = "fabric"
    TUNNEL = "tunnel"
    HOST = "host"
    MIRROR_TARGET = "mirror-target"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class PortDeclaration:
    """A port named in the inventory.

    Attributes:
        vlans: for uplinks, VLAN to tenant; 0 is untagged.
        routers: for uplinks, MACs that may speak for addresses beyond them.
        dhcp: for uplinks, a DHCP server may answer from there.
        target: for mirror targets, its name; for an uplink, the target whose copies leave by it on a VLAN.
        function: for service ports, its function; ``leg`` is ``in``, ``out`` or ``only``.
        leg: which side of the function it is.
    """

    name: str
    role: PortRole
    location: Location
    vlans: Mapping[int, TenantName] | None = None
    routers: tuple[MacAddress, ...] = ()
    dhcp: bool = False
    target: str | None = None
    function: str | None = None
    leg: Literal["in", "out", "only"] | None = None


class Attachment(Enum):
    """How a bridge's traffic reaches other hosts."""

    FABRIC = "fabric"
    UNDERLAY = "underlay"
    OVERLAY = "overlay"


FLOW_BUDGET = 100_000
"""Flows that a bridge may be asked to hold unless the inventory says otherwise (``flow-budget``)."""


class ForeignFlows(Enum):
    """What happens to flows of a managed bridge that are not zonewall's."""

    REPORT = "report"
    LEAVE = "leave"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class BridgeDeclaration:
    """A managed bridge."""

    name: BridgeName
    attachment: Attachment
    ports: Mapping[str, PortDeclaration]
    location: Location
    datapath_id: int | None = None
    foreign_flows: ForeignFlows = ForeignFlows.REPORT
    flow_budget: int = FLOW_BUDGET


@dataclass(frozen=True, slots=True)
class HostDeclaration:
    """A hypervisor host.

    Attributes:
        system_id: ``Open_vSwitch external_ids:system-id``.
        ovsdb: remote that the controller connects out to; None where the host connects in.
        certificate: name that the host's certificate must carry.
    """

    name: HostName
    system_id: str
    certificate: str
    bridges: Mapping[BridgeName, BridgeDeclaration]
    location: Location
    trust: str | None = None
    labels: Mapping[str, str] | None = None
    ovsdb: str | None = None
    tunnel_address: IpAddress | None = None


@dataclass(frozen=True, slots=True)
class PortBinding:
    """An endpoint known by its port's name; host and bridge None: wherever it appears."""

    names: tuple[str, ...]
    host: HostName | None = None
    bridge: BridgeName | None = None


@dataclass(frozen=True, slots=True)
class EndpointDeclaration:
    """An endpoint known beforehand.

    Attributes:
        ips: single addresses, in the document's order; they decide membership in ``cidrs`` zones.
        ranges: prefixes it may also use; they never decide who is in a zone.
        roles: ``dhcp-server`` and ``router``: may send what only such may.
        claims: single addresses that it shares with others and may take over; never written, found.
        unaddressed: the inventory gives it no address of its own; ``ips`` are learnt.
        learns: an address that it announces may become its own.
    """

    name: str
    tenant: TenantName
    mac: MacAddress
    location: Location
    iface_id: str | None = None
    port: PortBinding | None = None
    ips: tuple[IpAddress, ...] = ()
    ranges: tuple[IpPrefix, ...] = ()
    labels: Mapping[str, str] | None = None
    roles: frozenset[str] = frozenset()
    vm_id: str | None = None
    claims: tuple[IpPrefix, ...] = ()
    unaddressed: bool = False
    learns: bool = False
    limit: Limit | None = None

    @property
    def key(self) -> EndpointKey:
        """Return ``tenant/name``."""
        return EndpointKey(f"{self.tenant}/{self.name}")


@dataclass(frozen=True, slots=True)
class MirrorTarget:
    """Where copies go: a port that names it, which may be a tunnel to a collector, or an uplink's VLAN."""

    name: str
    location: Location
    tunnel: Literal["geneve", "gre", "erspan"] | None = None
    remote: IpAddress | None = None
    vlan: int = 0


@dataclass(frozen=True, slots=True)
class ServiceFunction:
    """An appliance that allowed traffic can be sent through."""

    name: str
    kind: Literal["bump-in-the-wire", "one-armed", "vlan-pair"]
    location: Location
    when_down: Literal["bypass", "drop"] = "drop"
    out_vlan: int | None = None
    back_vlan: int | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """Hosts, endpoints, mirror targets and service functions."""

    hosts: Mapping[HostName, HostDeclaration]
    endpoints: Mapping[EndpointKey, EndpointDeclaration]
    mirror_targets: Mapping[str, MirrorTarget]
    service_functions: Mapping[str, ServiceFunction]
    admit_unknown: Literal["quarantine", "drop"] = "quarantine"


@dataclass(frozen=True, slots=True)
class Configuration:
    """One directory of documents, whole and checked.

    Attributes:
        warnings: what the author should know, though it can be used.
    """

    inventory: Inventory
    provider: Provider
    tenants: Mapping[TenantName, Tenant]
    warnings: tuple[Finding, ...] = ()
