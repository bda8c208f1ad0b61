"""Tenants that are joined may use an address twice, as long as nobody can reach it in two ways."""

from __future__ import annotations

from support.compiled import FIRST, SECOND, CompiledFleet
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.flows.assembly import Assembler
from zonewall.flows.wire import encode_program
from zonewall.intent.fleet import index_fleet
from zonewall.policy.model import Configuration

ASK = probe("acme/web", "blue/db", "tcp/5432", sport=40000)


def joined() -> Configuration:
    """Return acme that imports from blue and red, of which red's idle one has blue's address."""
    ends = (
        endpoint("acme/web", "10.7.0.1", labels={"role": "web"}),
        endpoint("blue/db", "10.0.0.1", labels={"role": "db"}),
        endpoint("red/app", "10.0.0.2", labels={"role": "app"}),
        endpoint("red/idle", "10.0.0.1", labels={"role": "idle"}),
    )
    pg = tier("t", rule("pg", "web", "db", services=["tcp/5432"]))
    acme = tenant(
        "acme", pg, zones=[zone("web", labels={"role": "web"})],
        imports=[("blue/db", "db"), ("red/app", "app")],
    )  # fmt: skip
    allowed = tier("t", rule("in", "any", "db", services=["tcp/5432"]))
    blue = tenant("blue", allowed, zones=[zone("db", labels={"role": "db"})], exports=[("db", "acme")])
    red = tenant("red", zones=[zone("app", labels={"role": "app"})], exports=[("app", "acme")])
    return configure(*ends, acme, blue, red)


def test_the_address_leads_to_the_one_that_can_be_reached() -> None:
    fleet = CompiledFleet(joined())

    seen = fleet.judge(ASK)

    assert seen.rule == "blue/t/in"
    assert [port for port, _ in seen.arrived] == [fleet.places[ASK.destination]]  # type: ignore[index]


def test_pieces_put_together_hide_the_same_endpoint_as_a_compile_from_nothing() -> None:
    compiled = CompiledFleet(joined())
    fleet = index_fleet(compiled.policy, compiled.placement)
    assembler = Assembler()

    for key in (FIRST, SECOND):
        assert dict(assembler.state(fleet, key).flows) == encode_program(compiled.programs[key]).flows
