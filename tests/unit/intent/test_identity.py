"""Who shares an identity, and who is in a zone as compiled."""

from __future__ import annotations

import ipaddress
from typing import Any

from support.configurations import configure, endpoint, tenant, zone
from zonewall.intent.identity import build_directory
from zonewall.policy.membership import outside_matches
from zonewall.values.names import EndpointKey, TenantName, ZoneName

ONE, TWO, THREE = (EndpointKey(f"acme/{number}") for number in (1, 2, 3))

LABELLED: dict[str, Any] = {"labels": {"role": "web"}}


def test_endpoints_in_the_same_zones_share_an_identity_and_others_do_not() -> None:
    own = tenant("acme", zones=[zone("web", labels={"role": "web"})])
    ends = [endpoint(f"acme/{n}", f"10.0.0.{n}", **LABELLED) for n in (1, 2)]

    found = build_directory(configure(*ends, endpoint("acme/3", "10.0.0.3"), own)).endpoints

    assert found[ONE].otherwise == found[TWO].otherwise != found[THREE].otherwise


def test_an_endpoint_is_in_a_cidrs_zone_by_its_single_address_only() -> None:
    own = tenant("acme", zones=[zone("low", cidrs=["10.0.0.0/25"])])
    one = endpoint("acme/1", "10.0.0.1", "10.0.0.200", ranges=["10.0.0.64/28"])

    found = build_directory(configure(one, own)).endpoints[ONE]

    assert [identity.name for _, identity in found.by_address] == ["acme{low}", "acme{}"]
    assert found.otherwise.name == "acme{}"


def test_outside_prefixes_have_the_zones_of_what_no_longer_prefix_covers() -> None:
    own = tenant("acme", zones=[zone("a", cidrs=["192.0.2.0/24"]), zone("b", cidrs=["192.0.2.128/25"])])

    table = {
        str(p): identity.name for p, identity in build_directory(configure(own)).outside[TenantName("acme")]
    }

    assert table == {
        "0.0.0.0/0": "acme!{}",
        "192.0.2.0/24": "acme!{a}",
        "192.0.2.128/25": "acme!{a,b}",
        "::/0": "acme!{}",
    }


def test_another_tenants_endpoint_is_in_an_address_zone_of_whoever_agreed_with_its_tenant() -> None:
    zones = [zone("near", cidrs=["10.1.0.0/24"]), zone("far", cidrs=["10.1.0.0/24"], outside=True)]
    acme = tenant("acme", zones=[*zones, zone("web", **LABELLED)], exports=[("web", "blue")])
    blue = tenant("blue", imports=[("acme/web", "acme-web")])
    ends = [endpoint("acme/web", "10.0.0.1", **LABELLED), endpoint("blue/db", "10.1.0.1")]

    found = build_directory(configure(*ends, acme, blue)).endpoints[EndpointKey("blue/db")]

    assert [identity.name for _, identity in found.by_address] == ["blue{acme/near}"]


def test_a_zone_of_outside_addresses_selects_no_endpoint_of_another_tenant_even_through_a_union() -> None:
    own = tenant("acme", zones=[zone("far", cidrs=["10.1.0.0/24"], outside=True), zone("all", zones=["far"])])
    prefix = ipaddress.ip_network("10.1.0.1/32")

    assert outside_matches(own, own.zones[ZoneName("all")].selector, prefix)
    assert not outside_matches(own, own.zones[ZoneName("all")].selector, prefix, foreign=True)
