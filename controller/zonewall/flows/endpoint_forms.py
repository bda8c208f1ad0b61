"""Endpoints' flows in bytes, by form: those of a thousand endpoints are a few forms, filled in."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace

from zonewall.errors import EncodingError
from zonewall.flows.encoded import EncodedFlow
from zonewall.flows.forms import LAST_PORT, Blank, Form, learn, samples
from zonewall.flows.wire import encode_flows
from zonewall.intent.model import Address, ForeignEndpoint, LocalEndpoint, RemoteEndpoint, View
from zonewall.intent.resolve import VIA_UPLINK
from zonewall.pipeline.compile import local_flows
from zonewall.pipeline.model import Flow
from zonewall.pipeline.stages import who
from zonewall.pipeline.stages.admit import endpoint_meter, new_connection_meter
from zonewall.pipeline.stages.classify import announcement_meter, broadcast_meter, reject_meter
from zonewall.values.addresses import IpPrefix, MacAddress, host_prefix, link_local_address

_MOST_FORMS = 4096
_TENANT, _BANK, _NUMBER, _PORT = Blank.of(12), Blank.of(16), Blank.of(32), Blank(16, LAST_PORT)
_VIA, _MAC = Blank(12, VIA_UPLINK - 1), Blank.of(48)
_METER = Blank.of(16)
_ADDRESS = {4: Blank.of(32), 6: Blank.of(128)}
_PORT_METERS = (announcement_meter, broadcast_meter, reject_meter, new_connection_meter, endpoint_meter)

Place = LocalEndpoint | RemoteEndpoint
_Make = Callable[[View, Place, int], Iterable[Flow]]


class EndpointForms:
    """Remembers forms; without it only time is lost."""

    def __init__(self) -> None:
        """Remember none."""
        self._forms: dict[Hashable, Form | None] = {}

    def local(self, view: View, endpoint: LocalEndpoint) -> tuple[EncodedFlow, ...]:
        """Return the flows of an endpoint at a port of the bridge."""
        return self._made(_local_flows, view, endpoint)

    def known(self, view: View, endpoint: RemoteEndpoint) -> tuple[EncodedFlow, ...]:
        """Return what leads to an endpoint at another bridge."""
        return self._made(_known_flows, view, endpoint)

    def foreign(self, view: View, foreign: ForeignEndpoint) -> tuple[EncodedFlow, ...]:
        """Return what leads to another tenant's endpoint."""
        seen = replace(view, bank=foreign.bank)
        return self._made(_foreign_flows, seen, foreign.endpoint, foreign.tenant)

    def _made(self, make: _Make, view: View, endpoint: Place, owner: int = 0) -> tuple[EncodedFlow, ...]:
        key = (make, _of_view(view), _of_endpoint(endpoint))
        try:
            form = self._forms[key]
        except KeyError:
            if len(self._forms) >= _MOST_FORMS:
                self._forms.clear()
            form = self._forms[key] = _learnt(make, view, endpoint)
        flows = None if form is None else form.fill(_values(view, endpoint, owner))
        return tuple(encode_flows(make(view, endpoint, owner))) if flows is None else flows


def _local_flows(view: View, endpoint: Place, _: int) -> Iterable[Flow]:
    assert isinstance(endpoint, LocalEndpoint)
    return local_flows(view, endpoint)


def _known_flows(view: View, endpoint: Place, _: int) -> Iterable[Flow]:
    return who.known_flows(view, endpoint)


def _foreign_flows(view: View, endpoint: Place, owner: int) -> Iterable[Flow]:
    return who.foreign_flows(view, ForeignEndpoint(endpoint, owner, view.bank))


def _of_view(view: View) -> Hashable:
    """Return all of a view that is in no blank."""
    return (
        view.by_mac, view.routers, view.local_sources, view.rejects, view.announcements_per_s,
        view.new_connections,
    )  # fmt: skip


def _of_endpoint(endpoint: Place) -> Hashable:
    """Return all of an endpoint that is in no blank."""
    addresses = [
        (each.prefix.version if _is_whole(each) else each.prefix, each.is_range)
        for each in endpoint.addresses
    ]
    if isinstance(endpoint, LocalEndpoint):
        return (
            *addresses, endpoint.roles, endpoint.state, endpoint.midstream, endpoint.claims, endpoint.learns,
            endpoint.unaddressed, endpoint.limit, endpoint.unseen_by,
        )  # fmt: skip
    return (*addresses, endpoint.roles, endpoint.via == VIA_UPLINK, endpoint.unaddressed)


def _is_whole(address: Address) -> bool:
    return address.prefix.prefixlen == address.prefix.max_prefixlen


def _values(view: View, endpoint: Place, owner: int) -> list[int]:
    """Return what stands in the blanks, in the order of ``_blanks``."""
    mac, addresses = endpoint.mac, endpoint.addresses
    values = [view.tenant, view.bank, owner, endpoint.number, mac]
    if isinstance(endpoint, LocalEndpoint):
        port = endpoint.ofport
        values += (port, endpoint.link_local, *(meter(port) for meter in _PORT_METERS))
    elif endpoint.via != VIA_UPLINK:
        values.append(endpoint.via)
    values += [each.identity for each in addresses]
    values += [int(each.prefix.network_address) for each in addresses if _is_whole(each)]
    if endpoint.has_link_local:
        values.append(int(link_local_address(mac)))
    return values


def _blanks(endpoint: Place) -> list[Blank]:
    addresses = endpoint.addresses
    blanks = [_TENANT, _BANK, _TENANT, _NUMBER, _MAC]
    if isinstance(endpoint, LocalEndpoint):
        blanks += (_PORT, _NUMBER, *(_METER for _ in _PORT_METERS))
    elif endpoint.via != VIA_UPLINK:
        blanks.append(_VIA)
    blanks += [_NUMBER for _ in addresses]
    blanks += [_ADDRESS[each.prefix.version] for each in addresses if _is_whole(each)]
    if endpoint.has_link_local:
        blanks.append(_ADDRESS[6])
    return blanks


def _learnt(make: _Make, view: View, endpoint: Place) -> Form | None:
    """Return the form of what is like this endpoint, from two that are."""
    blanks = _blanks(endpoint)
    values: list[list[int]] = []
    flows: list[list[EncodedFlow]] = []
    for drawn in samples(blanks):
        one = _filled(view, endpoint, drawn)
        values.append(_values(*one))
        try:
            flows.append(list(encode_flows(make(*one))))
        except EncodingError:
            return None
    return learn(blanks, (values[0], values[1]), (flows[0], flows[1]))


def _filled(view: View, endpoint: Place, values: list[int]) -> tuple[View, Place, int]:
    """Return what is like this endpoint, with the values of all blanks that follow from no other."""
    upcoming = iter(values)
    tenant, bank, owner, number, mac = (next(upcoming) for _ in range(5))
    seen = replace(view, tenant=tenant, bank=bank)
    made: Place
    if isinstance(endpoint, LocalEndpoint):
        port, link_local = next(upcoming), next(upcoming)
        made = replace(endpoint, ofport=port, link_local=link_local)
        for _ in _PORT_METERS:
            next(upcoming)
    else:
        made = endpoint if endpoint.via == VIA_UPLINK else replace(endpoint, via=next(upcoming))
    identities = [next(upcoming) for _ in endpoint.addresses]
    addresses = tuple(
        Address(_at(next(upcoming), each.prefix) if _is_whole(each) else each.prefix, identity, each.is_range)
        for each, identity in zip(endpoint.addresses, identities, strict=True)
    )
    return seen, replace(made, number=number, mac=MacAddress(mac), addresses=addresses), owner


def _at(value: int, like: IpPrefix) -> IpPrefix:
    """Return another address of the same family as a prefix."""
    return host_prefix(ipaddress.IPv4Address(value) if like.version == 4 else ipaddress.IPv6Address(value))
