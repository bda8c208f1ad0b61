"""Connections that a host's datapath tracks, as ``ovs-appctl dpctl/dump-conntrack`` prints them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from zonewall.flows.names import names_of
from zonewall.intent.fleet import Policy
from zonewall.intent.numbering import Kind
from zonewall.intent.semantics import Probe
from zonewall.values.addresses import IpAddress
from zonewall.values.names import EndpointKey, TenantName

_LINE = re.compile(r"^(\w+),orig=\(([^)]*)\),.*?zone=(\d+)(?:.*?labels=(0x[0-9a-f]+))?")
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
_DOMAIN_BITS = 12
_IDENTITY = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Tracked:
    """One tracked connection, in the direction in which it began."""

    probe: Probe
    line: str


def read_connections(text: str, policy: Policy) -> Iterator[Tracked]:
    """Yield the connections of zonewall's zones; tuples in zones of appliances and of others are left out.

    Args:
        text: what dump-conntrack printed.
        policy: whose numbers the zones and labels carry.
    """
    domains = names_of(policy, Kind.DOMAIN)
    owners = {
        number: name.partition("{")[0].rstrip("!")
        for kind in (Kind.IDENTITY, Kind.OUTSIDE)
        for number, name in names_of(policy, kind).items()
    }
    endpoints = {
        (str(endpoint.tenant), address): key
        for key, endpoint in policy.configuration.inventory.endpoints.items()
        for address in endpoint.ips
    }
    for line in text.splitlines():
        found = _LINE.match(line.strip())
        if found is None or found[4] is None:
            continue
        domain = domains.get(int(found[3]) & ((1 << _DOMAIN_BITS) - 1), "")
        label = int(found[4], 16)
        source, destination = (owners.get(label >> shift & _IDENTITY) for shift in (32, 64))
        if not domain or domain.startswith("function:") or source is None or destination is None:
            continue
        probe = _probe(endpoints, found[1], found[2], (source, destination))
        if probe is not None:
            yield Tracked(probe, line.strip())


def _probe(
    endpoints: Mapping[tuple[str, IpAddress], EndpointKey], word: str, original: str, owners: tuple[str, str]
) -> Probe | None:
    fields = dict(part.split("=", 1) for part in original.split(",") if "=" in part)
    try:
        addresses = ipaddress.ip_address(fields["src"]), ipaddress.ip_address(fields["dst"])
        protocol = _PROTOCOLS[word] if word in _PROTOCOLS else int(word)
        icmp = (int(fields["type"]), int(fields["code"])) if "type" in fields else None
        ports = [int(fields[key]) if key in fields else None for key in ("sport", "dport")]
    except (KeyError, ValueError):
        return None
    ends = [endpoints.get((owner, ip)) for owner, ip in zip(owners, addresses, strict=True)]
    return Probe(
        source=ends[0] or addresses[0],
        destination=ends[1] or addresses[1],
        protocol=protocol,
        tenant=TenantName(owners[0]),
        source_port=ports[0],
        destination_port=ports[1],
        icmp=icmp,
        source_ip=addresses[0] if ends[0] else None,
        destination_ip=addresses[1] if ends[1] else None,
    )
