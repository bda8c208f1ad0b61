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


ASK = probe("acme/web1", "blue/db1", "tcp/80")


@pytest.mark.parametrize(
    ("exported", "decides"),
    [(("all", "db"), "acme/t/no"), (("all",), "blue/t/in"), (("db",), "acme/t/no"), ((), None)],
)
def test_what_its_owner_does_not_export_is_nobody_and_agrees_on_nothing(
    exported: tuple[str, ...], decides: str | None
) -> None:
    asking = tier("t", rule("no", "any", "blue-db", "drop"), rule("out", "any", "blue-all"))
    asked = tenant(
        "blue", tier("t", rule("in", "any", "all")),
        zones=[zone("db", labels={"role": "db"}), zone("all", labels={"role": "*"})],
        exports=[(name, "acme") for name in exported],
    )  # fmt: skip
    importing = tenant("acme", asking, imports=[("blue/db", "blue-db"), ("blue/all", "blue-all")])
    taken_back = configure(importing, asked, *ANYBODY_MAY.inventory.endpoints.values())

    judged, seen = verdict(taken_back, ASK), CompiledFleet(taken_back).judge(ASK)

    assert isinstance(judged, Verdict)
    assert judged.verdict.value == seen.verdict == ("allow" if decides == "blue/t/in" else "drop")
    assert decides in (None, judged.rule)
    assert decides in (None, seen.rule)
