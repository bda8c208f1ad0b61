"""Which hosts an endpoint's zones accept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.placement_fleet import ACME, HERE, configuration, key
from zonewall.placement.admission import host_allowed, is_member
from zonewall.policy.model import Configuration, HostConstraint, Selector, Tenant, Zone
from zonewall.values.addresses import parse_mac
from zonewall.values.names import EndpointKey, HostName, ZoneName


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
        (Selector(zones=(ZoneName("loop"),)), False),
        (Selector(outside=True), False),
    ],
)
def test_membership_is_the_languages(selector: Selector, member: bool) -> None:
    config = configuration()
    tenant = config.tenants[ACME]
    loop = Zone(ZoneName("loop"), Selector(zones=(ZoneName("loop"), ZoneName("db"))), HERE)
    tenant = replace(tenant, zones={**tenant.zones, loop.name: loop})

    assert is_member(tenant, selector, config.inventory.endpoints[key("web1")]) is member
