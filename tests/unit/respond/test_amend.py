"""Measures of responses in a configuration: whom they are about; many cost bridges no more than one."""

from __future__ import annotations

from support.configurations import configure, endpoint, judge, probe, rule, tenant, tier
from zonewall.policy.model import Configuration
from zonewall.respond.amend import Measure, amended
from zonewall.values.limits import Limit
from zonewall.values.names import EndpointKey, TenantName

COUNT = 200


def configuration() -> Configuration:
    own = tenant("acme", tier("t", rule("r", "any", "any")))
    ends = [endpoint(f"acme/m{n}", f"10.0.{n // 250}.{n % 250 + 1}") for n in range(COUNT + 2)]
    return configure(*ends, endpoint("blue/b", "10.1.0.1"), own, tenant("blue"))


def measure(name: str, *targets: str, why: str = "alert") -> Measure:
    return Measure(why, EndpointKey(f"acme/{name}"), targets)


def test_what_many_endpoints_send_and_get_is_copied_by_two_rules() -> None:
    found = amended(configuration(), [measure(f"m{n}", "ids") for n in range(COUNT)])
    assert len(found.tenants[TenantName("acme")].mirrors) == 2
    for source, destination, targets in (
        ("acme/m0", "acme/m200", ("ids",)),
        ("acme/m201", "acme/m199", ("ids",)),
        ("acme/m200", "acme/m201", ()),
    ):
        assert judge(found, probe(source, destination)).mirror == targets


def test_each_endpoint_is_copied_to_its_own_targets() -> None:
    measures = [
        measure("m0", "ids"), measure("m1", "tap"), measure("m2", "tap", "ids"),
        measure("m3", "ids", "tap"), measure("m0", "tap", why="other"),
    ]  # fmt: skip
    found = amended(configuration(), measures)
    assert len(found.tenants[TenantName("acme")].mirrors) == 6
    for name, targets in (("m0", ("ids", "tap")), ("m1", ("tap",)), ("m2", ("ids", "tap")), ("m4", ())):
        assert judge(found, probe(f"acme/{name}", "acme/m9")).mirror == targets


def test_measures_of_nobody_change_nothing() -> None:
    before = configuration()
    assert amended(before, [measure("gone", "ids")]) is before
    assert amended(before, []) is before


def test_a_limit_is_its_endpoints_own() -> None:
    limit = Limit(100, "pps")
    found = amended(configuration(), [Measure("alert", EndpointKey("acme/m0"), limit=limit)])
    limits = {key for key, one in found.inventory.endpoints.items() if one.limit is not None}
    assert limits == {EndpointKey("acme/m0")}
    assert found.tenants == configuration().tenants
