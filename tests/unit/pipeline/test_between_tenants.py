"""What two tenants agreed on is about their endpoints; it never lets the outside of one reach the other."""

from __future__ import annotations

import pytest

from support.compiled import CompiledFleet
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.intent.semantics import Verdict, verdict

ANYBODY_MAY = configure(
    tenant(
        "acme",
        tier("t", rule("out", "any", "blue-db", services=["tcp/80"])),
        imports=[("blue/db", "blue-db")],
    ),
    tenant(
        "blue",
        tier("t", rule("in", "any", "db", services=["tcp/80"])),
        zones=[zone("db", labels={"role": "db"})],
        exports=[("db", "acme")],
    ),
    endpoint("acme/web1", "10.0.0.1"),
    endpoint("blue/db1", "10.1.0.1", labels={"role": "db"}),
)


@pytest.mark.parametrize(("source", "passes"), [("acme/web1", True), ("203.0.113.9", False)])
def test_an_exported_zone_is_reached_by_the_other_tenants_endpoints_and_not_by_its_outside(
    source: str, passes: bool
) -> None:
    asked = probe(source, "10.1.0.1", "tcp/80", tenant="acme")
    judged = verdict(ANYBODY_MAY, asked)
    assert isinstance(judged, Verdict)
    fleet = CompiledFleet(ANYBODY_MAY)
    port, frame = fleet.entering(asked, *fleet.addresses(asked))
    to_db = frame.but(eth_dst=ANYBODY_MAY.inventory.endpoints["blue/db1"].mac)  # type: ignore[index]

    assert (judged.verdict.value == "allow") == passes
    assert bool(fleet.send(port, to_db).arrived) == passes
