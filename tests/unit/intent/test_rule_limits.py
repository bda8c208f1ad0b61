"""Limits per endpoint: whose endpoints have meters of their own, and what becomes of one too many."""

from __future__ import annotations

import pytest

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier, zone
from zonewall.intent import rule_limits
from zonewall.intent.numbering import Kind
from zonewall.pipeline.model import Meter
from zonewall.pipeline.packet_fields import IN_PORT
from zonewall.pipeline.registers import RULE
from zonewall.pipeline.tables import MODIFY
from zonewall.policy.model import Rule
from zonewall.values.limits import Limit
from zonewall.values.names import EndpointKey

EACH = Limit(50, "pps", per_endpoint=True)


def limited(*names: str, sources: str = "any") -> list[Rule]:
    return [
        rule(name, sources, "any", services=[f"tcp/{at}"], limit=EACH)
        for at, name in enumerate(names, 1)
    ]  # fmt: skip


def two_tenants(acme: list[Rule], blue: list[Rule]) -> CompiledFleet:
    """Return two tenants with four endpoints each, of which two are on the first bridge."""
    ends = [endpoint(f"{owner}/m{n}", f"10.0.{net}.{n}") for net, owner in enumerate(("acme", "blue"))
            for n in range(1, 5)]  # fmt: skip
    zones = [zone("one", endpoints=["m1"])]
    tenants = [
        tenant(owner, tier("t", *rules), zones=zones) for owner, rules in (("acme", acme), ("blue", blue))
    ]
    return CompiledFleet(configure(*ends, *tenants))


def meters(fleet: CompiledFleet, name: str) -> dict[int, int]:
    """Return the meter of each port on the first bridge that begins connections by a rule."""
    asked = (RULE, fleet.policy.number(Kind.RULE, name), None)
    return {
        value: action.number
        for flow in fleet.programs[FIRST].flows
        if flow.table is MODIFY and asked in flow.match
        for field, value, _ in flow.match
        if field == IN_PORT
        for action in flow.actions
        if isinstance(action, Meter)
    }


def ports_of(fleet: CompiledFleet, *keys: str) -> set[int]:
    places = [fleet.places[EndpointKey(key)] for key in keys]
    return {port for bridge, port in places if bridge == FIRST}


def test_endpoints_of_those_whom_the_rule_is_about_have_meters_and_nobody_else() -> None:
    fleet = two_tenants(limited("all"), limited("one", sources="one"))
    of_all, of_one = meters(fleet, "acme/t/all"), meters(fleet, "blue/t/one")
    assert of_all.keys() == ports_of(fleet, *(f"acme/m{n}" for n in range(1, 5)))
    assert of_one.keys() == ports_of(fleet, "blue/m1")
    numbers = [*of_all.values(), *of_one.values()]
    assert len(numbers) == len(set(numbers)) == 3
    rates = {entry.number: entry.rate for entry in fleet.programs[FIRST].meters}
    assert {rates[number] for number in numbers} == {50}


def test_a_tenant_that_has_no_room_left_takes_none_of_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_limits, "ROOM", 6)
    fleet = two_tenants(limited("a", "b", "c"), limited("a"))
    own = meters(fleet, "acme/t/a")
    assert len(set(own.values())) == 2
    for name in ("acme/t/b", "acme/t/c"):
        assert set(meters(fleet, name).values()) == {fleet.policy.number(Kind.LIMIT, name)}
    theirs = meters(fleet, "blue/t/a")
    assert len({*theirs.values(), *own.values()}) == 4
    assert min(theirs.values()) >= rule_limits.FIRST_PORT_METER


def test_all_numbers_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_limits, "ROOM", 4)
    fleet = two_tenants(limited("a"), limited("a"))
    numbers = {number for name in ("acme/t/a", "blue/t/a") for number in meters(fleet, name).values()}
    assert numbers == set(range(rule_limits.FIRST_PORT_METER, rule_limits.FIRST_PORT_METER + 4))
