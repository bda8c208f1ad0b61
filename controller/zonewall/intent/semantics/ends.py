"""From a probe's words to its two ends: whose endpoint, with which address, seen by which tenant."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from zonewall.intent.semantics.membership import End, is_in_zone
from zonewall.intent.semantics.probe import Probe, ProbeError
from zonewall.policy.findings import Location
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Configuration, Tenant
from zonewall.values.addresses import IpAddress, MacAddress
from zonewall.values.names import TenantName
from zonewall.values.services import PORT_PROTOCOLS, Protocol

_FAMILY_OF: dict[int, int] = {Protocol.ICMP: 4, Protocol.ICMPV6: 6}
_LINK_LOCAL = 0xFE80 << 112
_UNIVERSAL_BIT = 2 << 56


@dataclass(frozen=True, slots=True)
class _Named:
    """One end before its address is chosen: an endpoint with candidates, or one address."""

    endpoint: EndpointDeclaration | None
    candidates: tuple[IpAddress, ...]


def find_ends(configuration: Configuration, probe: Probe) -> tuple[End, End] | ProbeError:
    """Return the source's and the destination's end, or why the probe has no such two."""
    problem = _missing_header(probe)
    if problem is not None:
        return problem
    source = _name(configuration, probe.source, probe.source_ip)
    if isinstance(source, ProbeError):
        return source
    destination = _name(configuration, probe.destination, probe.destination_ip)
    if isinstance(destination, ProbeError):
        return destination
    view = _view(configuration, probe, source, destination)
    if isinstance(view, ProbeError):
        return view
    family = _FAMILY_OF.get(probe.protocol)
    pair = _first_pair(source, destination, family)
    if pair is None:
        kind = f"IPv{family}" if family else "one family"
        return ProbeError(f"{probe.source} and {probe.destination} have no pair of addresses of {kind}")
    return _end(configuration, source, pair[0], view), _end(configuration, destination, pair[1], view)


def tenant_named(configuration: Configuration, name: TenantName) -> Tenant:
    """Return the tenant's policy; one that has endpoints but no document has no zones and no rules."""
    known = configuration.tenants.get(name)
    return known if known is not None else Tenant(name, Location("", 0, 0), {})


def _missing_header(probe: Probe) -> ProbeError | None:
    if probe.protocol in PORT_PROTOCOLS and probe.destination_port is None:
        return ProbeError("tcp, udp and sctp need a destination port; add dport")
    if probe.protocol in _FAMILY_OF and probe.icmp is None:
        return ProbeError('icmp and icmpv6 need a type and a code; add icmp, such as "icmp": [8, 0]')
    return None


def _name(
    configuration: Configuration, word: str | IpAddress, chosen: IpAddress | None
) -> _Named | ProbeError:
    if not isinstance(word, str):
        if chosen not in (None, word):
            return ProbeError(f"{word} is an address already; leave out {chosen}")
        return _Named(None, (word,))
    endpoint = next((one for key, one in configuration.inventory.endpoints.items() if key == word), None)
    if endpoint is None:
        return ProbeError(f"no endpoint {word} in the inventory; write an endpoint as tenant/name")
    if chosen is None:
        return _Named(endpoint, endpoint.ips)
    if not _may_use(endpoint, chosen):
        return ProbeError(f"{word} may not use {chosen}; its inventory entry gives it no such address")
    return _Named(endpoint, (chosen,))


def _may_use(endpoint: EndpointDeclaration, address: IpAddress) -> bool:
    return (
        address in endpoint.ips
        or any(address.version == prefix.version and address in prefix for prefix in endpoint.ranges)
        or address == _link_local(endpoint.mac)
    )


def _link_local(mac: MacAddress) -> ipaddress.IPv6Address:
    """Return the address that the MAC gives (RFC 4291, appendix A: modified EUI-64)."""
    identifier = (mac >> 24) << 40 | 0xFFFE << 24 | mac & 0xFFFFFF
    return ipaddress.IPv6Address(_LINK_LOCAL | identifier ^ _UNIVERSAL_BIT)


def _view(
    configuration: Configuration, probe: Probe, source: _Named, destination: _Named
) -> Tenant | ProbeError:
    """Return the tenant in whose view addresses are read."""
    owners = [named.endpoint.tenant for named in (source, destination) if named.endpoint is not None]
    if probe.tenant is not None:
        if probe.tenant not in configuration.tenants and probe.tenant not in {
            endpoint.tenant for endpoint in configuration.inventory.endpoints.values()
        }:
            return ProbeError(f"no tenant {probe.tenant} in the configuration")
        return tenant_named(configuration, probe.tenant)
    if not owners:
        return ProbeError("two addresses are seen by no tenant; add tenant, the one whose view is meant")
    return tenant_named(configuration, owners[0])


def _first_pair(
    source: _Named, destination: _Named, family: int | None
) -> tuple[IpAddress, IpAddress] | None:
    for one in source.candidates:
        for other in destination.candidates:
            if one.version == other.version and family in (None, one.version):
                return one, other
    return None


def _end(configuration: Configuration, named: _Named, address: IpAddress, view: Tenant) -> End:
    if named.endpoint is not None:
        return End(tenant_named(configuration, named.endpoint.tenant), named.endpoint, address)
    for endpoint in configuration.inventory.endpoints.values():
        if address in endpoint.ips and endpoint.tenant == view.name:
            return End(view, endpoint, address)
    for endpoint in configuration.inventory.endpoints.values():
        if address in endpoint.ips:
            owner = tenant_named(configuration, endpoint.tenant)
            end = End(owner, endpoint, address)
            if any(
                is_in_zone(owner, export.zone, end)
                for export in owner.exports
                if is_agreed(owner, export.zone, view)
            ):
                return end
    return End(view, None, address)


def is_agreed(exporter: Tenant, zone: str, importer: Tenant) -> bool:
    """Say whether one tenant exports the zone to the other, and the other imports it."""
    return any(export.zone == zone and importer.name in export.to for export in exporter.exports) and any(
        one.tenant == exporter.name and one.zone == zone for one in importer.imports
    )
