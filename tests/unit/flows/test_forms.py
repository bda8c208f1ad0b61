"""Endpoints' flows are filled in from forms: the same bytes as when each flow is made for itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zonewall.flows.encoded import EncodedFlow
from zonewall.flows.endpoint_forms import EndpointForms
from zonewall.flows.forms import Blank, Form, learn, samples
from zonewall.flows.wire import encode_flows
from zonewall.intent.model import (
    Address,
    ForeignEndpoint,
    LocalEndpoint,
    NewConnections,
    RemoteEndpoint,
    View,
)
from zonewall.intent.resolve import VIA_UPLINK
from zonewall.pipeline.compile import local_flows
from zonewall.pipeline.make import flow
from zonewall.pipeline.model import Flow, Goto, SetField
from zonewall.pipeline.packet_fields import ETH_SRC, IN_PORT
from zonewall.pipeline.registers import OUT_PORT, TENANT
from zonewall.pipeline.stages.who import foreign_flows, known_flows
from zonewall.pipeline.tables import GUARD, RESOLVE
from zonewall.placement.model import BindingState
from zonewall.values.addresses import IpPrefix, MacAddress, host_prefix
from zonewall.values.names import EndpointKey

FORMS = EndpointForms()
"""One memory for all examples: what one example learns is what the next is filled in from."""

KEY = EndpointKey("acme/web1")
numbers = st.integers(1, 0xFFFFFFFF)
macs = st.integers(0, (1 << 48) - 2).map(MacAddress)


@st.composite
def addresses(draw: st.DrawFn) -> tuple[Address, ...]:
    v4 = st.integers(0, (1 << 32) - 1).map(ipaddress.IPv4Address).map(host_prefix)
    v6 = st.integers(0, (1 << 128) - 1).map(ipaddress.IPv6Address).map(host_prefix)
    ranges = st.sampled_from([ipaddress.ip_network("198.51.100.0/24"), ipaddress.ip_network("2001:db8::/56")])
    prefixes: st.SearchStrategy[IpPrefix] = st.one_of(v4, v6, ranges)
    chosen = draw(st.lists(prefixes, max_size=3, unique=True))
    return tuple(Address(prefix, draw(numbers), draw(st.booleans())) for prefix in chosen)


views = st.builds(
    View,
    tenant=st.integers(1, 4094),
    bank=st.integers(1, 32767),
    by_mac=st.booleans(),
    routers=st.sampled_from([None, (), (MacAddress(0x52540000AA01),)]),
    local_sources=st.booleans(),
    rejects=st.booleans(),
    announcements_per_s=st.just(10),
    new_connections=st.sampled_from([NewConnections(), NewConnections(100, 1000, 40000)]),
)
roles = st.frozensets(st.sampled_from(["router", "dhcp-server"]))
locals_ = st.builds(
    LocalEndpoint,
    key=st.just(KEY),
    number=numbers,
    mac=macs,
    ofport=st.one_of(st.integers(1, 0xFEFF), st.just(0xFFFE)),
    state=st.sampled_from(BindingState),
    addresses=addresses(),
    link_local=numbers,
    roles=roles,
    midstream=st.booleans(),
    claims=st.sampled_from([(), (ipaddress.ip_network("10.9.0.0/24"),)]),
    learns=st.booleans(),
    unaddressed=st.booleans(),
)
remotes = st.builds(
    RemoteEndpoint,
    key=st.just(KEY),
    number=numbers,
    mac=macs,
    addresses=addresses(),
    roles=roles,
    via=st.integers(1, VIA_UPLINK),
    unaddressed=st.booleans(),
)
many = settings(max_examples=150, deadline=None)


def one_by_one(flows: Iterable[Flow]) -> tuple[EncodedFlow, ...]:
    return tuple(encode_flows(flows))


@many
@given(view=views, endpoint=locals_)
def test_an_endpoint_at_a_port_has_the_same_bytes_from_a_form(view: View, endpoint: LocalEndpoint) -> None:
    assert FORMS.local(view, endpoint) == one_by_one(local_flows(view, endpoint))


@many
@given(view=views, endpoint=remotes)
def test_an_endpoint_elsewhere_has_the_same_bytes_from_a_form(view: View, endpoint: RemoteEndpoint) -> None:
    assert FORMS.known(view, endpoint) == one_by_one(known_flows(view, endpoint))


@many
@given(view=views, endpoint=remotes, tenant=st.integers(1, 4094), bank=st.integers(1, 32767))
def test_another_tenants_endpoint_has_the_same_bytes_from_a_form(
    view: View, endpoint: RemoteEndpoint, tenant: int, bank: int
) -> None:
    foreign = ForeignEndpoint(endpoint, tenant, bank)
    assert FORMS.foreign(view, foreign) == one_by_one(foreign_flows(view, foreign))


BLANKS = (Blank.of(12), Blank(16, 0xFEFF), Blank.of(48))


def guarded(tenant: int, port: int, mac: int) -> Flow:
    match = ((IN_PORT, port, None), (ETH_SRC, mac, None), (TENANT, tenant, None))
    return flow(GUARD, 100, match, SetField(OUT_PORT, port), Goto(RESOLVE))


def learnt(makes: list[Flow]) -> Form | None:
    one, other = ([encoded] for encoded in encode_flows(makes))
    return learn(BLANKS, samples(BLANKS), (one, other))


def test_a_form_is_learnt_from_two_samples_and_filled_in_with_anything() -> None:
    form = learnt([guarded(*values) for values in samples(BLANKS)])
    assert form is not None
    assert form.fill((7, 3, 0x525400000001)) == one_by_one([guarded(7, 3, 0x525400000001)])


@pytest.mark.parametrize("values", [(0x1000, 3, 1), (7, 0xFF00, 1), (7, 3, 1 << 48)])
def test_a_value_too_large_for_its_place_is_left_to_who_can_say_what_is_wrong(
    values: tuple[int, int, int],
) -> None:
    form = learnt([guarded(*drawn) for drawn in samples(BLANKS)])
    assert form is not None
    assert form.fill(values) is None


def test_a_form_is_not_learnt_where_something_depends_on_a_value_in_another_way() -> None:
    assert learnt([guarded(tenant, port, mac ^ tenant) for tenant, port, mac in samples(BLANKS)]) is None


def test_a_form_is_not_learnt_where_a_priority_depends_on_a_value() -> None:
    drawn = [guarded(*values) for values in samples(BLANKS)]
    other = flow(GUARD, 101, drawn[1].match, *drawn[1].actions)
    assert learnt([drawn[0], other]) is None
