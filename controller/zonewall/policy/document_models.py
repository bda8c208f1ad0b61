"""The three kinds of document as they are written; JSON Schemas are made of these models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zonewall.policy.document_types import (
    Address,
    Announcements,
    Change,
    Collector,
    Connections,
    Count,
    Days,
    Duration,
    Ethertype,
    FlowCount,
    HexId,
    Listening,
    Mac,
    Many,
    Moment,
    Name,
    NewConnections,
    Part,
    PeerName,
    PerHour,
    Prefix,
    Probe,
    Rate,
    Remote,
    Sample,
    Service,
    Severity,
    Some,
    TimeOfDay,
    TimeZone,
    Truncate,
    Vlan,
    VlanOrUntagged,
    Word,
    YesNo,
)
from zonewall.policy.inventory import FLOW_BUDGET

ModeWord = Literal["enforce", "monitor"]
Decision = Literal["allow", "drop", "reject"]


class SelectorPart(Part):
    """Who is in a zone: every key that is there must hold."""

    labels: dict[Name, Many[Word]] | None = None
    endpoints: Many[Name] | None = None
    macs: Many[Mac] | None = None
    cidrs: Many[Prefix] | None = None
    zones: Many[Name] | None = None
    outside: YesNo = False
    except_: SelectorPart | None = None


class HostsPart(Part):
    """Which hosts a zone's members may run on."""

    trust: Many[Word] | None = None
    labels: dict[Name, Many[Word]] | None = None
    hosts: Many[Name] | None = None


class ZonePart(SelectorPart):
    """A zone."""

    hosts: HostsPart | None = None
    mode: ModeWord = "enforce"


class HoursPart(Part):
    """When a rule holds."""

    days: Some[Days]
    from_: TimeOfDay
    to: TimeOfDay
    zone: TimeZone = "UTC"


class RulePart(Part):
    """A rule of a tier."""

    name: Name
    from_: Some[PeerName]
    to: Some[PeerName]
    services: Some[Service] | None = None
    action: Literal["allow", "drop", "reject", "pass"]
    log: Literal["connections", "none"] = "none"
    mirror: Many[Name] = ()
    through: Many[Name] = ()
    limit: Rate | None = None
    hours: HoursPart | None = None
    expires: Moment | None = None
    on_change: Change | None = None
    mode: ModeWord | None = None


class TierPart(Part):
    """A tier of a tenant."""

    name: Name
    rules: tuple[RulePart, ...] = ()
    mode: ModeWord | None = None


class ProviderTierPart(TierPart):
    """A tier of the provider; for every tenant unless some are named."""

    tenants: Some[Name] | None = None


class MirrorPart(Part):
    """A mirror rule."""

    name: Name
    from_: Some[PeerName]
    to: Some[PeerName]
    services: Some[Service] | None = None
    target: Some[Name]
    when: Literal["before", "allowed", "dropped"] = "before"
    sample: Sample = 1
    truncate: Truncate | None = None


class ExportPart(Part):
    """A zone that others may import."""

    zone: Name
    to: Some[Name]


class ImportPart(Part):
    """Another tenant's zone, ``tenant/zone``, under a name of one's own."""

    zone: PeerName
    as_: Name


class AssertionPart(Part):
    """A test of the policy: what never, or always, is the verdict."""

    from_: Some[PeerName]
    to: Some[PeerName]
    services: Some[Service] | None = None
    never: Decision | None = None
    always: Decision | None = None


class TenantDocument(Part):
    """A tenant's policy."""

    kind: Literal["tenant"]
    tenant: Name
    zones: dict[Name, ZonePart] = Field(default_factory=dict)
    services: dict[Name, Some[Service]] = Field(default_factory=dict)
    tiers: tuple[TierPart, ...] = ()
    default: Decision = "drop"
    mode: ModeWord = "enforce"
    mirrors: tuple[MirrorPart, ...] = ()
    export: tuple[ExportPart, ...] = ()
    import_: tuple[ImportPart, ...] = ()
    assert_: tuple[AssertionPart, ...] = ()
    learn_addresses: YesNo = False


class LimitsPart(Part):
    """What one endpoint, tenant or port may cause."""

    new_connections: Many[NewConnections] = ()
    connections: Connections | None = None
    announcements: Announcements = 20


class RespondPart(Part):
    """What an IDS alert does."""

    name: Name
    signature: Word | None = None
    severity: Severity | None = None
    count: Count = 1
    within: Duration | None = None
    who: Literal["attacker", "victim"] = "attacker"
    action: Literal["quarantine", "limit", "mirror", "notify"]
    mode: ModeWord = "enforce"
    limit: Rate | None = None
    target: Some[Name] | None = None
    expires: Duration | None = None
    exempt: Many[PeerName] = ()
    at_most: PerHour | None = None


class ProviderDocument(Part):
    """The operator's policy for all tenants."""

    kind: Literal["provider"]
    services: dict[Name, Some[Service]] = Field(default_factory=dict)
    before: tuple[ProviderTierPart, ...] = ()
    after: tuple[ProviderTierPart, ...] = ()
    limits: LimitsPart = LimitsPart()
    ethertypes: Many[Ethertype] = ()
    multicast: Many[Literal["vrrp", "mdns", "dhcpv6"]] = ()
    respond: tuple[RespondPart, ...] = ()
    remediation: PeerName | None = None


class PortPart(Part):
    """A port that is no endpoint."""

    role: Literal["uplink", "fabric", "tunnel", "host", "mirror-target", "service"]
    vlans: dict[VlanOrUntagged, Name] | None = None
    routers: Many[Mac] = ()
    dhcp: YesNo = False
    target: Name | None = None
    function: Name | None = None
    leg: Literal["in", "out", "only"] | None = None
    instance: Name | None = None


class BridgePart(Part):
    """A managed bridge."""

    datapath_id: HexId | None = None
    openflow: Listening | None = None
    attachment: Literal["fabric", "underlay", "overlay"]
    foreign_flows: Literal["report", "leave", "remove"] = "report"
    flow_budget: FlowCount = FLOW_BUDGET
    ports: dict[Name, PortPart] = Field(default_factory=dict)


class HostPart(Part):
    """A hypervisor host."""

    system_id: Name | None = None
    trust: Word | None = None
    labels: dict[Name, Word] = Field(default_factory=dict)
    ovsdb: Remote | None = None
    certificate: Word | None = None
    tunnel_address: Address | None = None
    bridges: dict[Name, BridgePart] = Field(default_factory=dict)


class PortBindingPart(Part):
    """The port that an endpoint is known by."""

    host: Name | None = None
    bridge: Name | None = None
    name: Name | None = None
    names: Some[Name] | None = None


class EndpointPart(Part):
    """One virtual NIC."""

    name: Name
    tenant: Name
    mac: Mac
    iface_id: Name | None = None
    port: PortBindingPart | None = None
    vm_id: Name | None = None
    ips: Many[Address] = ()
    ranges: Many[Prefix] = ()
    labels: dict[Name, Word] = Field(default_factory=dict)
    roles: Many[Literal["dhcp-server", "router"]] = ()


class TargetPart(Part):
    """Where copies go."""

    tunnel: Literal["geneve", "gre", "erspan"] | None = None
    remote: Address | None = None
    vlan: Vlan | None = None


class FlowExportPart(Part):
    """Where bridges send IPFIX of what logged rules allow, and how much of it."""

    collectors: Some[Collector]
    sample: Sample = 1


class FunctionPart(Part):
    """A service function."""

    kind: Literal["bump-in-the-wire", "one-armed", "vlan-pair"]
    when_down: Literal["bypass", "drop"] = "drop"
    out: Many[Vlan] = ()
    back: Many[Vlan] = ()
    probe: Probe = "through"
    tenant: Name | None = None


class AdmissionPart(Part):
    """What becomes of ports that nothing covers."""

    unknown: Literal["quarantine", "drop"] = "quarantine"


class InventoryDocument(Part):
    """Hosts, endpoints, mirror targets, service functions."""

    kind: Literal["inventory"]
    hosts: dict[Name, HostPart] = Field(default_factory=dict)
    endpoints: tuple[EndpointPart, ...] = ()
    mirror_targets: dict[Name, TargetPart] = Field(default_factory=dict)
    service_functions: dict[Name, FunctionPart] = Field(default_factory=dict)
    flow_export: FlowExportPart | None = None
    admission: AdmissionPart | None = None


Document = TenantDocument | ProviderDocument | InventoryDocument
KINDS: dict[str, type[TenantDocument] | type[ProviderDocument] | type[InventoryDocument]] = {
    "inventory": InventoryDocument,
    "provider": ProviderDocument,
    "tenant": TenantDocument,
}
