"""From a probe's words to its two ends: whose endpoint, with which address, seen by which tenant."""

from __future__ import annotations

from dataclasses import dataclass

from zonewall.intent.semantics.holders import can_reach, holder, link_local, tenant_named
from zonewall.intent.semantics.membership import End
from zonewall.intent.semantics.probe import Probe, ProbeError
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Configuration, Tenant
from zonewall.values.addresses import IpAddress
from zonewall.values.services import PORT_PROTOCOLS, Protocol

_FAMILY_OF: dict[int, int] = {Protocol.ICMP: 4, Protocol.ICMPV6: 6}


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


def astray(configuration: Configuration, probe: Probe) -> ProbeError | None:
    """Return why an address that a probe says of an endpoint is another one's: a longer prefix has it.

    What is sent there goes to the other one; what is sent from there is answered to the other one.
    """
    ends = find_ends(configuration, probe)
    if isinstance(ends, ProbeError):
        return ends
    source, destination = ends
    views = {source.tenant.name: source.tenant, destination.tenant.name: destination.tenant}
    for end, readers in ((source, views.values()), (destination, [source.tenant])):
        one = end.endpoint
        if one is None or end.address in one.ips or end.address == link_local(one.mac):
            continue
        for reader in readers:
            other = holder(configuration, reader, end.address)
            if other is not None and other.key != one.key and can_reach(configuration, reader, one):
                said = (
                    f"{end.address} is {other.key}'s for {reader.name}, by a longer prefix than {one.key}'s"
                )
                return ProbeError(f"{said}; ask about {other.key}, or about another address")
    return None


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
        or address == link_local(endpoint.mac)
    )


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
    endpoint = holder(configuration, view, address)
    owner = view if endpoint is None else tenant_named(configuration, endpoint.tenant)
    return End(owner, endpoint, address)
