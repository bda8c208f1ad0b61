"""Inventory documents to values."""

from __future__ import annotations

from typing import Literal

from zonewall.policy.appliances import check_functions
from zonewall.policy.document_models import BridgePart, EndpointPart, HostPart, InventoryDocument, PortPart
from zonewall.policy.findings import Location
from zonewall.policy.inventory import (
    Attachment,
    BridgeDeclaration,
    EndpointDeclaration,
    FlowExport,
    ForeignFlows,
    HostDeclaration,
    Inventory,
    MirrorTarget,
    PortBinding,
    PortDeclaration,
    PortRole,
    ServiceFunction,
)
from zonewall.policy.notes import Notes
from zonewall.policy.yamltree import Tree
from zonewall.values.names import BridgeName, EndpointKey, HostName, TenantName

Read = list[tuple[Tree, InventoryDocument]]


def assemble_inventory(read: Read, notes: Notes) -> Inventory:
    """Return all inventories as one; a name that stands twice is an error."""
    hosts: dict[HostName, HostDeclaration] = {}
    endpoints: dict[EndpointKey, EndpointDeclaration] = {}
    targets: dict[str, MirrorTarget] = {}
    functions: dict[str, ServiceFunction] = {}
    unknown = "quarantine"
    export: FlowExport | None = None
    for tree, document in read:
        for name, host in document.hosts.items():
            _once(name in hosts, "host", name, tree, ("hosts", name), notes)
            hosts[HostName(name)] = _host(tree, name, host, notes)
        for index, part in enumerate(document.endpoints):
            endpoint = assembled_endpoint(tree, index, part, notes)
            _once(endpoint.key in endpoints, "endpoint", endpoint.key, tree, ("endpoints", index), notes)
            endpoints[endpoint.key] = endpoint
        for name, target in document.mirror_targets.items():
            at = tree.at_key("mirror-targets", name)
            _once(name in targets, "mirror target", name, tree, ("mirror-targets", name), notes)
            if (target.tunnel is None) != (target.remote is None):
                notes.error("incomplete", at, "a tunnel to a collector has both: `tunnel` and `remote`")
            targets[name] = MirrorTarget(name, at, target.tunnel, target.remote, target.vlan or 0)
        for name, function in document.service_functions.items():
            at = tree.at_key("service-functions", name)
            _once(name in functions, "service function", name, tree, ("service-functions", name), notes)
            functions[name] = ServiceFunction(
                name, function.kind, at, function.when_down, function.out, function.back, function.probe,
                None if function.tenant is None else TenantName(function.tenant),
            )  # fmt: skip
        if document.flow_export is not None:
            _once(export is not None, "setting", "flow-export", tree, ("flow-export",), notes)
            export = FlowExport(document.flow_export.collectors, document.flow_export.sample)
        if document.admission is not None:
            unknown = document.admission.unknown
    admit: Literal["drop", "quarantine"] = "drop" if unknown == "drop" else "quarantine"
    inventory = Inventory(hosts, endpoints, targets, functions, admit, export)
    check_inventory(inventory, notes)
    return inventory


def check_inventory(inventory: Inventory, notes: Notes) -> None:
    """Add what is wrong with all inventories together."""
    _check_ports(inventory, notes)
    check_functions(inventory, notes)
    _check_endpoints(inventory, notes)


def _once(twice: bool, what: str, name: str, tree: Tree, path: tuple[str | int, ...], notes: Notes) -> None:
    if twice:
        message = f"there is {'an' if what[0] in 'aeiou' else 'a'} {what} {str(name)!r} already; rename one"
        notes.error("duplicate-name", tree.at_key(*path), message)


def _host(tree: Tree, name: str, part: HostPart, notes: Notes) -> HostDeclaration:
    system_id = part.system_id or name
    bridges = {
        BridgeName(bridge): _bridge(tree, ("hosts", name, "bridges", bridge), bridge, declared)
        for bridge, declared in part.bridges.items()
    }
    at = tree.at_key("hosts", name)
    if part.tunnel_address is None and any(b.attachment is Attachment.OVERLAY for b in bridges.values()):
        notes.error("incomplete", at, "a host with an overlay bridge says its `tunnel-address`")
    return HostDeclaration(
        HostName(name), system_id, part.certificate or system_id, bridges, at, part.trust, part.labels,
        part.ovsdb, part.tunnel_address, part.certificate is not None,
    )  # fmt: skip


def _bridge(tree: Tree, path: tuple[str, ...], name: str, part: BridgePart) -> BridgeDeclaration:
    ports = {
        port: _port(tree, (*path, "ports", port), port, declared) for port, declared in part.ports.items()
    }
    attachment = Attachment(part.attachment)
    foreign = ForeignFlows(part.foreign_flows)
    return BridgeDeclaration(
        BridgeName(name), attachment, ports, tree.at_key(*path), part.datapath_id, foreign, part.flow_budget,
        part.openflow,
    )  # fmt: skip


def _port(tree: Tree, path: tuple[str, ...], name: str, part: PortPart) -> PortDeclaration:
    vlans = None
    if part.vlans is not None:
        vlans = {int(vlan): TenantName(tenant) for vlan, tenant in part.vlans.items()}
    return PortDeclaration(
        name, PortRole(part.role), tree.at_key(*path), vlans, part.routers, part.dhcp, part.target,
        part.function, part.leg, part.instance or "",
    )  # fmt: skip


def assembled_endpoint(tree: Tree, index: int, part: EndpointPart, notes: Notes) -> EndpointDeclaration:
    """Return an endpoint by its place among those of a document."""
    at = tree.at("endpoints", index)
    binding = None
    if part.port is not None:
        names = part.port.names or ((part.port.name,) if part.port.name else ())
        if not names:
            notes.error("incomplete", at, "a port binding says the port's `name`, or several `names`")
        host = HostName(part.port.host) if part.port.host else None
        bridge = BridgeName(part.port.bridge) if part.port.bridge else None
        binding = PortBinding(tuple(names), host, bridge)
    if part.iface_id is None and binding is None:
        message = "say how its port is known: `iface-id`, or `port: {name: …}` where there is none"
        notes.error("incomplete", at, message)
    return EndpointDeclaration(
        part.name, TenantName(part.tenant), part.mac, at, part.iface_id, binding, part.ips, part.ranges,
        part.labels, frozenset(part.roles), part.vm_id,
    )  # fmt: skip


def _check_ports(inventory: Inventory, notes: Notes) -> None:
    """Every port says what its role needs, and names what there is."""
    sinks: set[str] = set()
    for host in inventory.hosts.values():
        for bridge in host.bridges.values():
            for port in bridge.ports.values():
                _check_port(port, inventory, notes)
                if port.target is not None:
                    sinks.add(port.target)
    for name, target in inventory.mirror_targets.items():
        if name not in sinks:
            message = f"no port has `target: {name}`; copies would go nowhere"
            notes.warning("no-port", target.location, message)


def _check_port(port: PortDeclaration, inventory: Inventory, notes: Notes) -> None:
    wanted = {
        PortRole.UPLINK: ("vlans", port.vlans),
        PortRole.MIRROR_TARGET: ("target", port.target),
        PortRole.SERVICE: ("function", port.function),
    }.get(port.role)
    if wanted is not None and wanted[1] is None:
        notes.error("incomplete", port.location, f"a port of role {port.role.value} says its `{wanted[0]}`")
    if port.role is PortRole.SERVICE and port.leg is None:
        notes.error("incomplete", port.location, "a service port says its `leg`: in, out or only")
    if port.target is not None and port.target not in inventory.mirror_targets:
        hint = notes.hint(port.target, inventory.mirror_targets, "mirror targets")
        notes.error("unknown-name", port.location, f"{port.target!r} is no mirror target; {hint}")
    target = inventory.mirror_targets.get(port.target or "")
    if (
        target is not None
        and port.role is PortRole.UPLINK
        and (not target.vlan or target.vlan in (port.vlans or {}))
    ):
        message = f"copies leave an uplink on a VLAN that is no tenant's: give {target.name} such a `vlan`"
        notes.error("wrong-value", port.location, message)
    if port.target is not None and port.role not in (PortRole.MIRROR_TARGET, PortRole.UPLINK):
        message = f"a port of role {port.role.value} has no `target`: a mirror-target or an uplink has"
        notes.error("wrong-value", port.location, message)
    if port.function is not None and port.function not in inventory.service_functions:
        hint = notes.hint(port.function, inventory.service_functions, "service functions")
        notes.error("unknown-name", port.location, f"{port.function!r} is no service function; {hint}")


def _check_endpoints(inventory: Inventory, notes: Notes) -> None:
    """Within a tenant an address and a MAC are one endpoint's; an iface-id is one endpoint's in the fleet."""
    owners: dict[tuple[str, object], EndpointKey] = {}
    for key, endpoint in inventory.endpoints.items():
        tenant = endpoint.tenant
        claims: list[tuple[str, object]] = [(f"address of {tenant}", ip) for ip in endpoint.ips]
        claims += [
            (f"range of {tenant}", prefix)
            for prefix in endpoint.ranges
            if prefix.prefixlen < prefix.max_prefixlen
        ]
        claims.append((f"MAC of {tenant}", endpoint.mac))
        if endpoint.iface_id is not None:
            claims.append(("iface-id", endpoint.iface_id))
        for claim in claims:
            owner = owners.setdefault(claim, key)
            if owner is not key:
                message = f"{_shown(*claim)} is {owner}'s already; give each endpoint its own"
                notes.error("duplicate-address", endpoint.location, message)
    for key, endpoint in inventory.endpoints.items():
        for prefix in endpoint.ranges:
            owner = owners.get((f"address of {endpoint.tenant}", prefix.network_address), key)
            if prefix.prefixlen == prefix.max_prefixlen and owner != key:
                message = f"{prefix} is {owner}'s own address; what two share is in the ranges of both"
                notes.error("duplicate-address", endpoint.location, message)
    hosts: dict[str, Location] = {}
    for endpoint in inventory.endpoints.values():
        if endpoint.port is not None and endpoint.port.host:
            hosts.setdefault(endpoint.port.host, endpoint.location)
    for host, place in hosts.items():
        if host not in inventory.hosts:
            hint = notes.hint(host, inventory.hosts, "hosts")
            notes.error("unknown-name", place, f"{host!r} is no host; {hint}")


def _shown(kind: str, value: object) -> str:
    """Return what two endpoints claim, as it is told."""
    if kind.startswith("MAC"):
        return "its MAC"
    if kind == "iface-id":
        return f"iface-id {value!r}"
    return f"the range {value}" if kind.startswith("range") else str(value)
