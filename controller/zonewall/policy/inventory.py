"""What an inventory says: hosts, bridges, ports, endpoints, mirror targets, service functions.

Where a declaration stands is no part of what it is: an edit above it leaves it equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address
from typing import Literal

from zonewall.policy.findings import Location
from zonewall.values.addresses import IpAddress, IpPrefix, MacAddress
from zonewall.values.limits import Limit
from zonewall.values.names import BridgeName, EndpointKey, HostName, TenantName


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
        function: for service ports, its function; ``leg`` is ``in``, ``out`` or ``only``. For an uplink, the
            VLAN-pair function whose VLANs are behind it.
        leg: which side of the function it is.
        instance: which of several appliances of one function it belongs to; empty where there is one.
    """

    name: str
    role: PortRole
    location: Location = field(compare=False)
    vlans: Mapping[int, TenantName] | None = None
    routers: tuple[MacAddress, ...] = ()
    dhcp: bool = False
    target: str | None = None
    function: str | None = None
    leg: Literal["in", "out", "only"] | None = None
    instance: str = ""


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
    """A managed bridge.

    Attributes:
        openflow: where it listens for the controller, ``ssl:ADDRESS:PORT``; None where it connects in.
    """

    name: BridgeName
    attachment: Attachment
    ports: Mapping[str, PortDeclaration]
    location: Location = field(compare=False)
    datapath_id: int | None = None
    foreign_flows: ForeignFlows = ForeignFlows.REPORT
    flow_budget: int = FLOW_BUDGET
    openflow: str | None = None


@dataclass(frozen=True, slots=True)
class HostDeclaration:
    """A hypervisor host.

    Attributes:
        system_id: ``Open_vSwitch external_ids:system-id``.
        ovsdb: remote that the controller connects out to; None where the host connects in.
        certificate: name that the host's certificate must carry.
        must_show: the inventory says ``certificate:``, so that nobody may connect as the host without one.
    """

    name: HostName
    system_id: str
    certificate: str
    bridges: Mapping[BridgeName, BridgeDeclaration]
    location: Location = field(compare=False)
    trust: str | None = None
    labels: Mapping[str, str] | None = None
    ovsdb: str | None = None
    tunnel_address: IpAddress | None = None
    must_show: bool = False


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
    location: Location = field(compare=False)
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
class FlowExport:
    """Where every bridge sends IPFIX of what logged rules allow.

    Attributes:
        collectors: ``ADDRESS:PORT``.
        sample: one packet in so many is looked at.
    """

    collectors: tuple[str, ...]
    sample: int = 1


@dataclass(frozen=True, slots=True)
class ServiceFunction:
    """An appliance, or several alike, that allowed traffic can be sent through.

    Attributes:
        out_vlans: for VLAN pairs, where a connection's first direction goes out, one for each pair.
        back_vlans: and where it comes back, in the same order.
        probe: how it is found out whether it works: by frames through it, by ARP for its own address, or by
            its links alone.
        tenant: whose rules alone may name it; None is whoever does.
    """

    name: str
    kind: Literal["bump-in-the-wire", "one-armed", "vlan-pair"]
    location: Location
    when_down: Literal["bypass", "drop"] = "drop"
    out_vlans: tuple[int, ...] = ()
    back_vlans: tuple[int, ...] = ()
    probe: Literal["through", "none"] | IPv4Address = "through"
    tenant: TenantName | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """Hosts, endpoints, mirror targets and service functions."""

    hosts: Mapping[HostName, HostDeclaration]
    endpoints: Mapping[EndpointKey, EndpointDeclaration]
    mirror_targets: Mapping[str, MirrorTarget]
    service_functions: Mapping[str, ServiceFunction]
    admit_unknown: Literal["quarantine", "drop"] = "quarantine"
    export: FlowExport | None = None
