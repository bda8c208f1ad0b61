"""Whose is a port? What a host's database says of an interface, held against the inventory.

Keys of ``Interface external_ids``: ``iface-id``, ``attached-mac``, ``vm-id``, ``xs-vif-uuid``,
``iface-status`` (ovs-vswitchd.conf.db(5)); ``vm-uuid`` as some writers call it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import Inventory, PortDeclaration
from zonewall.values.addresses import MacAddress, is_group_mac, parse_mac
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort

_HIGHEST_OFPORT = 0xFEFF
_LOCAL_OFPORT = 0xFFFE
_LONGEST_VALUE = 255
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class PortFacts:
    """What a port is.

    Attributes:
        endpoint: whose it is; None where the inventory knows no such endpoint.
        declaration: its role, where the inventory declares one; then it is no endpoint's.
        ofport: None where there is none yet, it failed, or the port is switched off by ``iface-status``.
        faults: what is malformed, so that the port is not believed.
        crowded: whose it says that it is, where so many ports of its host say so that it is nobody's.
    """

    endpoint: EndpointKey | None
    declaration: PortDeclaration | None
    ofport: OfPort | None
    attached_mac: MacAddress | None = None
    vm_id: str | None = None
    faults: tuple[str, ...] = ()
    crowded: EndpointKey | None = None


@dataclass(frozen=True, slots=True)
class NameBinding:
    """An endpoint bound by its port's name; None: on any host or bridge."""

    endpoint: EndpointKey
    host: HostName | None
    bridge: BridgeName | None


@dataclass(frozen=True, slots=True)
class Lookup:
    """The inventory by what ports say of themselves."""

    by_iface_id: Mapping[str, EndpointKey]
    by_name: Mapping[str, tuple[NameBinding, ...]]
    roles: Mapping[BridgeKey, Mapping[str, PortDeclaration]]


def lookup_of(inventory: Inventory) -> Lookup:
    """Return the inventory's endpoints and declared ports, found by name in constant time."""
    by_iface_id: dict[str, EndpointKey] = {}
    by_name: dict[str, list[NameBinding]] = {}
    for key, endpoint in inventory.endpoints.items():
        if endpoint.iface_id is not None:
            by_iface_id[endpoint.iface_id] = key
        if endpoint.port is not None:
            bound = NameBinding(key, endpoint.port.host, endpoint.port.bridge)
            for name in endpoint.port.names:
                by_name.setdefault(name, []).append(bound)
    roles = {
        BridgeKey(host.name, bridge.name): bridge.ports
        for host in inventory.hosts.values()
        for bridge in host.bridges.values()
    }
    return Lookup(by_iface_id, {name: tuple(bound) for name, bound in by_name.items()}, roles)


def identify(
    lookup: Lookup, bridge: BridgeKey, name: str, ofport: int | None, external_ids: Mapping[str, str]
) -> PortFacts:
    """Return whose a port is: declared roles first, then ``iface-id``, ``xs-vif-uuid``, at last its name."""
    declaration = lookup.roles.get(bridge, {}).get(name)
    if declaration is not None:
        return PortFacts(None, declaration, _usable(ofport, local=True))
    faults: list[str] = []
    said = {key: _read(external_ids, key, faults) for key in _KEYS}
    endpoint = next(
        (
            lookup.by_iface_id[said[key]]
            for key in ("iface-id", "xs-vif-uuid")
            if said[key] in lookup.by_iface_id
        ),
        None,
    )
    if endpoint is None:
        endpoint = _by_name(lookup, bridge, name)
    usable = _usable(ofport, local=False) if said["iface-status"] in ("", "active") else None
    mac = _read_mac(said["attached-mac"], faults)
    vm_id = said["vm-id"] or said["vm-uuid"] or None
    return PortFacts(endpoint, None, usable, mac, vm_id, tuple(faults))


_KEYS = ("iface-id", "xs-vif-uuid", "iface-status", "attached-mac", "vm-id", "vm-uuid")


def _by_name(lookup: Lookup, bridge: BridgeKey, name: str) -> EndpointKey | None:
    """Return the endpoint bound to a port of that name here; the closer description wins."""
    fitting = [
        bound
        for bound in lookup.by_name.get(name, ())
        if bound.host in (None, bridge.host) and bound.bridge in (None, bridge.bridge)
    ]
    fitting.sort(key=lambda bound: (bound.host is None, bound.bridge is None))
    return fitting[0].endpoint if fitting else None


def _usable(ofport: int | None, *, local: bool) -> OfPort | None:
    """Return the number if a port can have it; -1 is a failure, and LOCAL is for declared ports only."""
    if ofport is None or not (1 <= ofport <= _HIGHEST_OFPORT or (local and ofport == _LOCAL_OFPORT)):
        return None
    return OfPort(ofport)


def _read(external_ids: Mapping[str, str], key: str, faults: list[str]) -> str:
    """Return a value, empty where it is missing or no word that could be shown to an operator."""
    value = external_ids.get(key, "")
    if not value:
        return ""
    if len(value) > _LONGEST_VALUE or not _PRINTABLE.fullmatch(value):
        faults.append(f"external_ids:{key} is no printable word of at most {_LONGEST_VALUE} characters")
        return ""
    return value


def _read_mac(value: str, faults: list[str]) -> MacAddress | None:
    if not value:
        return None
    try:
        mac = parse_mac(value)
    except ValueError as error:
        faults.append(f"external_ids:attached-mac: {error}")
        return None
    if mac == 0 or is_group_mac(mac):
        faults.append(f"external_ids:attached-mac: {value} is no address that one interface can have")
        return None
    return mac
