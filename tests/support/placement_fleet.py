"""A small fleet for tests of placement: three hosts, a database zone that wants trusted hosts."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace

from zonewall.placement.announcement import Announcement, AnnouncementKind
from zonewall.placement.binding_events import Timing
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_ports import Remembered, remembered_place
from zonewall.placement.binding_record import EndpointRecord, PortRef
from zonewall.placement.model import BindingState, BridgeKey
from zonewall.policy.findings import Location
from zonewall.policy.inventory import (
    Attachment,
    BridgeDeclaration,
    EndpointDeclaration,
    HostDeclaration,
    Inventory,
    PortBinding,
    PortDeclaration,
    PortRole,
)
from zonewall.policy.model import Configuration, HostConstraint, Provider, Selector, Tenant, Zone
from zonewall.values.addresses import MacAddress, format_mac
from zonewall.values.names import BridgeName, EndpointKey, HostName, TenantName, ZoneName

HERE = Location("inventory.yaml", 1, 1)
ACME = TenantName("acme")
BR_INT = BridgeName("br-int")


def mac(number: int) -> MacAddress:
    """Return the MAC address of an endpoint by its number."""
    return MacAddress(0x525400000000 + number)


def bridge(host: str) -> BridgeKey:
    """Return the host's bridge."""
    return BridgeKey(HostName(host), BR_INT)


def ref(host: str, name: str) -> PortRef:
    """Return a port of the host's bridge."""
    return PortRef(bridge(host), name)


def endpoint(
    name: str,
    number: int,
    *,
    labels: Mapping[str, str] | None = None,
    port: PortBinding | None = None,
    vm_id: str | None = None,
) -> EndpointDeclaration:
    """Return an endpoint of acme, with iface-id (unless it is bound by port), MAC and address by number."""
    return EndpointDeclaration(
        name,
        ACME,
        mac(number),
        HERE,
        iface_id=None if port else name,
        port=port,
        ips=(ipaddress.ip_address(0x0A000000 + number),),
        labels=labels or {},
        vm_id=vm_id,
    )


def host(name: str, trust: str = "high") -> HostDeclaration:
    """Return a host with one bridge, an uplink and a fabric link."""
    ports = {
        "eth1": PortDeclaration("eth1", PortRole.UPLINK, HERE),
        "fab0": PortDeclaration("fab0", PortRole.FABRIC, HERE),
    }
    declared = BridgeDeclaration(BR_INT, Attachment.FABRIC, ports, HERE)
    return HostDeclaration(HostName(name), name, name, {BR_INT: declared}, HERE, trust=trust)


def configuration(*more: EndpointDeclaration, hv2_trust: str = "high") -> Configuration:
    """Return web1 and db1 by iface-id, vm9 by port name, and whatever else is given; hv3 is not trusted."""
    declared = (
        endpoint("web1", 1, labels={"role": "web"}),
        endpoint("db1", 2, labels={"role": "primary"}),
        endpoint("vm9", 9, port=PortBinding(("tap100i0", "tap100i1"))),
        *more,
    )
    hosts = (host("hv1"), host("hv2", hv2_trust), host("hv3", "low"))
    trusted = Zone(
        ZoneName("db"),
        Selector(labels={"role": ("primary", "replica")}),
        HERE,
        hosts=HostConstraint(trust=("high",)),
    )
    tenant = Tenant(ACME, HERE, {trusted.name: trusted})
    return Configuration(
        Inventory({each.name: each for each in hosts}, {each.key: each for each in declared}, {}, {}),
        Provider(),
        {ACME: tenant},
    )


def without(config: Configuration, name: str) -> Configuration:
    """Return the configuration without an endpoint."""
    left = {key: each for key, each in config.inventory.endpoints.items() if each.name != name}
    return replace(config, inventory=replace(config.inventory, endpoints=left))


def key(name: str) -> EndpointKey:
    """Return ``acme/name``."""
    return EndpointKey(f"acme/{name}")


def ids(iface_id: str, number: int | None = None, vm_id: str | None = None, **more: str) -> dict[str, str]:
    """Return external_ids as libvirt writes them."""
    said = {"iface-id": iface_id, **{name.replace("_", "-"): value for name, value in more.items()}}
    if number is not None:
        said["attached-mac"] = format_mac(mac(number))
    if vm_id is not None:
        said["vm-id"] = vm_id
    return said


def seen(
    fleet: FleetState, where: str, name: str, ofport: int | None, said: Mapping[str, str], at: float = 0.0
) -> FleetState:
    """Return the fleet after a port was seen."""
    return fleet.port_seen(HostName(where), BR_INT, name, ofport, said, at)[0]


def confirmed(fleet: FleetState, *where: str, at: float = 0.0) -> FleetState:
    """Return the fleet after bridges have confirmed what is asked of them now."""
    for each in where:
        fleet, _ = fleet.confirm(bridge(each), fleet.placement(), at)
    return fleet


def started(*more: EndpointDeclaration, timing: Timing | None = None) -> FleetState:
    """Return the fleet before anything was heard."""
    return FleetState.start(configuration(*more), timing)


def rarp(number: int) -> Announcement:
    """Return the announcement that an endpoint's machine makes where it goes on running."""
    return Announcement(AnnouncementKind.RARP, mac(number), None)


def where(fleet: FleetState, name: str) -> dict[str, BindingState]:
    """Return the state of each place of an endpoint, by host."""
    return {str(each.bridge.host): each.state for each in fleet.placement().bindings.get(key(name), ())}


def reason(fleet: FleetState, name: str) -> str:
    """Return why an endpoint is held, of all its places."""
    return "; ".join(each.reason for each in fleet.placement().bindings[key(name)] if each.reason)


def remembered_places(records: Mapping[EndpointKey, EndpointRecord]) -> tuple[Remembered, ...]:
    """Return where every endpoint is held, sorted by name: what a fleet wants to start with."""
    places = (remembered_place(key, record) for key, record in records.items())
    return tuple(sorted(place for place in places if place is not None))


def remembered_holds(records: Mapping[EndpointKey, EndpointRecord]) -> tuple[tuple[EndpointKey, str], ...]:
    """Return who is isolated as a whole, and each reason, sorted: it has to outlast the controller."""
    return tuple(sorted((key, hold.reason) for key, record in records.items() for hold in record.holds))


def migrating() -> FleetState:
    """Return the fleet in which web1 runs on hv1 and its port on hv2 waits."""
    fleet = confirmed(seen(started(), "hv1", "tap0", 5, ids("web1", 1, "vm-1")), "hv1")
    return confirmed(seen(fleet, "hv2", "tap0", 6, ids("web1", 1, "vm-1")), "hv2")
