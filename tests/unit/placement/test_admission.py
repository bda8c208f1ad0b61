"""Which hosts an endpoint's zones accept."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.placement_fleet import ACME, HERE, configuration, key
from zonewall.intent.semantics.membership import End, is_in_zone
from zonewall.placement.admission import host_allowed
from zonewall.policy.membership import is_member
from zonewall.policy.model import Configuration, HostConstraint, Selector, Tenant, Zone
from zonewall.values.addresses import IpAddress, link_local_address, parse_mac
from zonewall.values.names import EndpointKey, HostName, TenantName, ZoneName


def with_zone(selector: Selector, hosts: HostConstraint | None) -> Configuration:
    name = ZoneName("z")
    tenant = Tenant(ACME, HERE, {name: Zone(name, selector, HERE, hosts=hosts)})
    return replace(configuration(), tenants={ACME: tenant})


def test_a_host_that_a_zone_trusts_is_allowed() -> None:
    assert host_allowed(configuration(), key("db1"), HostName("hv1")) is None


def test_a_host_that_a_zone_does_not_trust_is_refused_with_the_zone_and_what_it_asks() -> None:
    assert host_allowed(configuration(), key("db1"), HostName("hv3")) == (
        "host hv3 is not trusted by zone acme/db: trust is low, asked for high"
    )


def test_a_zone_without_a_constraint_or_of_others_asks_nothing() -> None:
    assert host_allowed(configuration(), key("web1"), HostName("hv3")) is None


@pytest.mark.parametrize(
    ("endpoint", "host", "text"),
    [("acme/nobody", "hv1", "acme/nobody is not in the inventory"), ("acme/web1", "hv9", "host hv9 is not")],
)
def test_names_that_the_inventory_does_not_have_are_refused(endpoint: str, host: str, text: str) -> None:
    reason = host_allowed(configuration(), EndpointKey(endpoint), HostName(host))

    assert reason is not None
    assert reason.startswith(text)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (HostConstraint(hosts=(HostName("hv1"),)), "asked for hv1"),
        (HostConstraint(labels={"rack": ("r1", "r2")}), "asked for labels rack=r1|r2"),
        (HostConstraint(trust=("high",), hosts=(HostName("hv1"),)), "asked for hv1"),
    ],
)
def test_every_part_of_a_constraint_must_hold(asked: HostConstraint, text: str) -> None:
    reason = host_allowed(with_zone(Selector(), asked), key("web1"), HostName("hv2"))

    assert reason == f"host hv2 is not trusted by zone acme/z: {text}"


@pytest.mark.parametrize(
    ("selector", "member"),
    [
        (Selector(), True),
        (Selector(labels={"role": ("web",)}), True),
        (Selector(labels={"role": ("*",)}), True),
        (Selector(labels={"role": ("db",)}), False),
        (Selector(labels={"owner": ("*",)}), False),
        (Selector(labels={"role": ("web",), "owner": ("me",)}), False),
        (Selector(endpoints=("web1", "db1")), True),
        (Selector(endpoints=("db1",)), False),
        (Selector(macs=(parse_mac("52:54:00:00:00:01"),)), True),
        (Selector(macs=(parse_mac("52:54:00:00:00:02"),)), False),
        (Selector(labels={"role": ("web",)}, excluded=Selector(endpoints=("web1",))), False),
        (Selector(labels={"role": ("web",)}, excluded=Selector(endpoints=("db1",))), True),
        (Selector(zones=(ZoneName("db"),)), False),
        (Selector(zones=(ZoneName("db"), ZoneName("all"))), True),
        (Selector(outside=True), False),
    ],
)
def test_membership_is_the_languages(selector: Selector, member: bool) -> None:
    config = configuration()
    tenant = config.tenants[ACME]
    everybody = Zone(ZoneName("all"), Selector(), HERE)
    tenant = replace(tenant, zones={**tenant.zones, everybody.name: everybody})

    assert is_member(tenant, selector, config.inventory.endpoints[key("web1")]) is member
    assert not is_member(
        replace(tenant, name=TenantName("blue")), selector, config.inventory.endpoints[key("web1")]
    )


WIDE, NARROW = ip_network("10.0.0.0/16"), ip_network("10.0.9.0/24")
WITHOUT = Selector(cidrs=(WIDE,), excluded=Selector(cidrs=(NARROW,)))
INSIDE, EXCEPTED = ip_address("10.0.0.1"), ip_address("10.0.9.1")


def with_addresses(selector: Selector, **fields: Any) -> Configuration:
    """Return one whose web1 has these addresses, in a zone that only trusted hosts may have."""
    made = with_zone(selector, HostConstraint(trust=("high",)))
    web1 = replace(made.inventory.endpoints[key("web1")], **fields)
    endpoints = {**made.inventory.endpoints, key("web1"): web1}
    return replace(made, inventory=replace(made.inventory, endpoints=endpoints))


@pytest.mark.parametrize("ips", [(INSIDE, EXCEPTED), (EXCEPTED, INSIDE)])
def test_who_is_in_a_zone_with_one_address_is_bound_by_it_whatever_its_others_are(
    ips: tuple[IpAddress, ...],
) -> None:
    named = Selector(endpoints=("web1",), excluded=Selector(cidrs=(NARROW,)))
    for selector in (WITHOUT, named):
        assert host_allowed(with_addresses(selector, ips=ips), key("web1"), HostName("hv3")) is not None
        only = with_addresses(selector, ips=(EXCEPTED,))
        assert host_allowed(only, key("web1"), HostName("hv3")) is None


def selectors() -> st.SearchStrategy[Selector]:
    prefixes = st.sampled_from([WIDE, NARROW, ip_network("fd00::/64")])
    plain = st.builds(
        Selector,
        labels=st.sampled_from([None, {"role": ("web",)}, {"role": ("db",)}]),
        cidrs=st.none() | st.tuples(prefixes),
        zones=st.sampled_from([None, (ZoneName("narrow"),)]),
    )
    return st.builds(lambda one, without: replace(one, excluded=without), plain, st.none() | plain)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    selector=selectors(),
    ips=st.lists(
        st.sampled_from([INSIDE, EXCEPTED, ip_address("fd00::1"), ip_address("fd01::1")]), unique=True
    ),
)
def test_a_member_is_who_the_language_selects_with_some_address(
    selector: Selector, ips: list[IpAddress]
) -> None:
    narrow = Zone(ZoneName("narrow"), Selector(cidrs=(NARROW,)), HERE)
    config = with_addresses(selector, ips=tuple(ips), ranges=())
    tenant = config.tenants[ACME]
    tenant = replace(tenant, zones={**tenant.zones, narrow.name: narrow})
    web1 = config.inventory.endpoints[key("web1")]
    spoken = [*ips, link_local_address(web1.mac)] if any(ip.version == 6 for ip in ips) or not ips else ips

    expected = any(is_in_zone(tenant, ZoneName("z"), End(tenant, web1, ip)) for ip in spoken)
    assert is_member(tenant, selector, web1) is expected
