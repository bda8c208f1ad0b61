"""Whose an address alone is: of those that a tenant can reach, who has the longest prefix with it."""

from __future__ import annotations

import pytest

from support.configurations import configure, endpoint, judge, probe, rule, tenant, tier, zone
from zonewall.intent.semantics import Probe, ProbeError, astray
from zonewall.policy.model import Provider

SHOWN = {"role": "shown"}
ZONES = [zone("shown", labels=SHOWN)]
IN = tier("t", rule("in", "any", "shown"))


@pytest.mark.parametrize(
    ("source", "address", "decided"),
    [
        ("acme/own", "10.1.0.1", "blue/t/in"),  # imported
        ("acme/own", "10.1.7.7", "blue/t/in"),  # out of its range
        ("acme/own", "10.1.0.2", "blue/t/in"),  # so is what acme cannot reach there
        ("acme/own", "10.2.0.1", "acme/default"),  # blue's, who is in no zone that acme imports
        ("acme/own", "10.1.9.9", "acme/default"),  # its own, by a longer prefix
        ("blue/gw", "10.0.0.1", "builtin/between-tenants"),  # all of who imports from it
        ("blue/gw", "10.3.0.1", "builtin/between-tenants"),  # by which answers come
        ("acme/own", "10.3.0.1", "acme/default"),
        ("ops/own", "10.2.0.1", "provider/w/all"),  # whom a provider's rule names
        ("ops/own", "10.0.0.1", "ops/default"),
    ],
)
def test_an_address_alone_is_whom_it_leads_to(source: str, address: str, decided: str) -> None:
    configuration = configure(
        endpoint("acme/own", "10.0.0.1", labels=SHOWN),
        endpoint("acme/wide", "10.0.0.2", ranges=["10.1.9.0/24"]),
        endpoint("blue/gw", "10.1.0.1", ranges=["10.1.0.0/16"], labels=SHOWN),
        endpoint("blue/idle", "10.1.0.2"),
        endpoint("blue/far", "10.2.0.1", labels={"role": "far"}),
        endpoint("ops/own", "10.3.0.1"),
        tenant("acme", tier("t", rule("b", "any", "b")), imports=[("blue/shown", "b")], default="reject"),
        tenant("blue", IN, zones=[*ZONES, zone("far", labels={"role": "far"})], exports=[("shown", "acme")]),
        tenant("ops"),
        provider=Provider(before=(tier("w", rule("all", "ops/any", "blue/far")),)),
    )

    assert judge(configuration, probe(source, address)).rule == decided


def test_what_several_share_is_nobody_s_before_one_has_taken_it_over() -> None:
    ends = [endpoint(f"acme/{name}", f"10.0.0.{n}", ranges=["10.0.0.100/32"]) for n, name in enumerate("abc")]
    configuration = configure(*ends, tenant("acme", tier("t", rule("out", "any", "external"))))

    assert judge(configuration, probe("acme/a", "10.0.0.100")).rule == "acme/t/out"


@pytest.mark.parametrize(
    ("asked", "whose"),
    [
        (probe("acme/own", "blue/gw", dst_ip="10.1.0.9"), "acme/near"),
        (probe("blue/gw", "acme/own", src_ip="10.1.0.9"), "acme/near"),
        (probe("acme/own", "blue/gw", dst_ip="10.1.0.8"), None),
        (probe("acme/own", "blue/gw", dst_ip="10.1.0.1"), None),
        (probe("blue/own", "blue/gw", dst_ip="10.1.0.2"), "blue/own"),
        (probe("acme/own", "blue/gw", dst_ip="10.1.0.2"), None),  # acme does not see blue/own
        (probe("blue/gw", "acme/own", src_ip="10.1.0.2"), "blue/own"),
    ],
)
def test_an_endpoint_is_not_asked_about_with_what_is_another_one_s(asked: Probe, whose: str | None) -> None:
    configuration = configure(
        endpoint("acme/own", "10.0.0.1"),
        endpoint("acme/near", "10.0.0.2", ranges=["10.1.0.9/32"]),
        endpoint("blue/gw", "10.1.0.1", ranges=["10.1.0.0/16"], labels=SHOWN),
        endpoint("blue/own", "10.1.0.2"),
        tenant("acme", imports=[("blue/shown", "b")]),
        tenant("blue", IN, zones=ZONES, exports=[("shown", "acme")]),
    )

    answer = astray(configuration, asked)

    assert (answer is not None) == (whose is not None)
    if isinstance(answer, ProbeError) and whose is not None:
        assert f"{whose}'s" in answer.message
        assert answer.message.endswith(f"ask about {whose}, or about another address")
