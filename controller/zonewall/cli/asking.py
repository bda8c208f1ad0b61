"""A question on the command line, as a probe."""

from __future__ import annotations

import ipaddress
from datetime import datetime

from zonewall.errors import ZonewallError
from zonewall.intent.semantics import Probe
from zonewall.policy.service_terms import ServiceName, parse_service
from zonewall.values.addresses import IpAddress
from zonewall.values.names import EndpointKey, TenantName
from zonewall.values.services import PORT_PROTOCOLS, Protocol, ServiceTerm

_ICMP = (Protocol.ICMP, Protocol.ICMPV6)


def parse_end(text: str, what: str) -> EndpointKey | IpAddress:
    """Return the endpoint or address that is meant.

    Raises:
        ZonewallError: it is neither.
    """
    return EndpointKey(text) if "/" in text else parse_address(text, what)


def parse_address(text: str, what: str) -> IpAddress:
    """Return an IP address.

    Raises:
        ZonewallError: it is none.
    """
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ZonewallError(f"{what} {text!r}: write tenant/name of an endpoint, or an IP address") from None


def service_of(text: str) -> ServiceTerm:
    """Return the one service that is asked about.

    Raises:
        ZonewallError: it is no service, or many at once.
    """
    try:
        term = parse_service(text)
    except ValueError as error:
        raise ZonewallError(f"--service: {error}") from None
    if isinstance(term, ServiceName) or term.protocol is None:
        raise ZonewallError(f"--service {text!r}: ask about one, such as tcp/443, icmp/echo-request, ip/47")
    if term.protocol in PORT_PROTOCOLS and (len(term.ports) != 1 or term.ports[0][0] != term.ports[0][1]):
        raise ZonewallError(f"--service {text!r}: ask about one port, such as {text.partition('/')[0]}/443")
    if term.protocol in _ICMP and term.icmp_type is None:
        raise ZonewallError(f"--service {text!r}: ask about one type, such as {text}/echo-request")
    return term


def probe_of(
    source: str,
    destination: str,
    service: str,
    time: datetime,
    *,
    source_port: int | None = None,
    tenant: str | None = None,
    source_ip: str | None = None,
    destination_ip: str | None = None,
) -> Probe:
    """Return the probe of a question.

    Raises:
        ZonewallError: a word of it cannot be read.
    """
    term = service_of(service)
    return Probe(
        source=parse_end(source, "--from"),
        destination=parse_end(destination, "--to"),
        protocol=term.protocol or 0,
        tenant=None if tenant is None else TenantName(tenant),
        source_port=source_port,
        destination_port=term.ports[0][0] if term.ports else None,
        icmp=None if term.icmp_type is None else (term.icmp_type, term.icmp_code or 0),
        source_ip=None if source_ip is None else parse_address(source_ip, "--src-ip"),
        destination_ip=None if destination_ip is None else parse_address(destination_ip, "--dst-ip"),
        time=time,
    )
