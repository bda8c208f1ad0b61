"""Who has an identity: examples of endpoints and outside addresses, for pairs that really can meet."""

from __future__ import annotations

import ipaddress
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from zonewall.intent.identity import Directory
from zonewall.policy.model import Configuration
from zonewall.policy.visibility import endpoints_by_tenant, visible
from zonewall.values.addresses import IpAddress, IpPrefix, host_prefix
from zonewall.values.names import EndpointKey, TenantName
from zonewall.values.services import Protocol

_MOST_EXAMPLES = 2
_NOBODYS = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "224.0.0.0/3",
            "::/128",
            "::1/128",
            "fe80::/10",
            "ff00::/8",
        ),
    )
)
"""What is no unicast address of a station beyond its own link (RFC 6890)."""


FAMILY_OF: Mapping[int, int] = {Protocol.ICMP: 4, Protocol.ICMPV6: 6}


@dataclass(frozen=True, slots=True)
class Example:
    """An end with one of its addresses; ``endpoint`` None is an address outside."""

    endpoint: EndpointKey | None
    address: IpAddress

    @property
    def owner(self) -> object:
        """Return what two ends must not share: the endpoint, or the address."""
        return self.address if self.endpoint is None else self.endpoint


@dataclass(slots=True)
class Ends:
    """For each identity of a tenant's view, up to two different ends for each family."""

    examples: dict[str, dict[int, list[Example]]] = field(default_factory=dict)

    def add(self, identity: str, example: Example) -> None:
        """Take an example, unless there are enough."""
        there = self.examples.setdefault(identity, {4: [], 6: []})[example.address.version]
        if len(there) < _MOST_EXAMPLES and all(one.owner != example.owner for one in there):
            there.append(example)


def first_pair(
    sources: Mapping[int, list[Example]], destinations: Mapping[int, list[Example]], family: int | None
) -> tuple[Example, Example] | None:
    """Return two different ends with addresses of one family; None: there are none."""
    for version in (4, 6) if family is None else (family,):
        for source in sources[version]:
            for destination in destinations[version]:
                if source.owner != destination.owner:
                    return source, destination
    return None


def ends_of(
    configuration: Configuration, directory: Directory, tenants: Iterable[TenantName]
) -> Mapping[TenantName, tuple[Ends, Ends]]:
    """Return each tenant's endpoints, and its whole view: those and the addresses outside.

    An address counts if the inventory gives it: a single one, or one out of a range.
    """
    wanted = set(tenants)
    inside: dict[TenantName, Ends] = {name: Ends() for name in wanted}
    taken: dict[TenantName, set[IpPrefix]] = {name: set() for name in wanted}
    for key, endpoint in configuration.inventory.endpoints.items():
        if endpoint.tenant not in wanted:
            continue
        identities = directory.endpoints[key]
        taken[endpoint.tenant].update(map(host_prefix, endpoint.ips), endpoint.ranges)
        for address, known_as in identities.by_address:
            inside[endpoint.tenant].add(known_as.name, Example(key, address))
        for prefix in endpoint.ranges:
            for address in islice(_free(prefix, map(host_prefix, endpoint.ips)), 1):
                inside[endpoint.tenant].add(identities.otherwise.name, Example(key, address))
    for viewer, other, _ in visible(configuration, endpoints_by_tenant(configuration)):
        if viewer in wanted:
            taken[viewer].update(map(host_prefix, other.ips), other.ranges)
    result = {}
    for name in wanted:
        view = Ends({identity: dict(found) for identity, found in inside[name].examples.items()})
        for named, free in _outside(directory, name, taken[name]):
            view.add(named, Example(None, free))
        result[name] = inside[name], view
    return result


def _outside(
    directory: Directory, tenant: TenantName, known: set[IpPrefix]
) -> Iterator[tuple[str, IpAddress]]:
    """Yield addresses of each outside prefix that neither a longer prefix nor an endpoint has."""
    table = sorted(directory.outside[tenant], key=lambda entry: _span(entry[0]))
    theirs = sorted(known, key=_span)
    places, lengths = [_span(prefix) for prefix in theirs], {prefix.prefixlen for prefix in theirs}
    for index, (prefix, identity) in enumerate(table):
        version, first, _ = _span(prefix)
        last = int(prefix.broadcast_address)
        inner = [
            prefix.supernet(new_prefix=length)
            for length in lengths
            if length < prefix.prefixlen and prefix.supernet(new_prefix=length) in known
        ]
        for other, _ in table[index + 1 :]:
            if other.version != version or int(other.network_address) > last:
                break
            inner.append(other)
        inner += theirs[
            bisect_left(places, (version, first, 0)) : bisect_left(places, (version, last + 1, 0))
        ]
        for address in islice(_free(prefix, inner), _MOST_EXAMPLES):
            yield identity.name, address


def _span(prefix: IpPrefix) -> tuple[int, int, int]:
    return prefix.version, int(prefix.network_address), prefix.prefixlen


def _free(prefix: IpPrefix, taken: Iterable[IpPrefix]) -> Iterator[IpAddress]:
    """Yield the addresses of a prefix that are in none of the others; whoever needs few takes few."""
    holes = sorted(
        (int(one.network_address), int(one.broadcast_address))
        for one in (*taken, *_NOBODYS)
        if one.version == prefix.version and one.overlaps(prefix)
    )
    maker = ipaddress.IPv4Address if prefix.version == 4 else ipaddress.IPv6Address
    at, last = int(prefix.network_address), int(prefix.broadcast_address)
    for first, end in [*holes, (last + 1, last + 1)]:
        while at < first:
            yield maker(at)
            at += 1
        at = max(at, end + 1)
