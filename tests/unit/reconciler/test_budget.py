"""Documents past a bridge's budget are refused; bridges that are far from theirs are not compiled for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import pytest

from support.compiled import BRIDGE, FIRST, SECOND, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier, zone
from zonewall.flows.forecast import over_budget
from zonewall.intent.fleet import index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.placement.binding_fleet import FleetState
from zonewall.policy.model import Configuration
from zonewall.reconciler import budget
from zonewall.reconciler.world import World


def site(rules: int, allowed: int) -> Configuration:
    """Return two hosts' configuration with so many rules, each bridge allowed so many flows."""
    written = [rule(f"r{n}", "web", "web", services=[f"tcp/{n + 1}"]) for n in range(rules)]
    own = tenant("acme", tier("t", *written), zones=[zone("web", labels={"role": "web"})])
    made = CompiledFleet(
        configure(endpoint("acme/web1", "10.0.0.1", labels={"role": "web"}), own)
    ).configuration
    hosts = {
        name: replace(host, bridges={BRIDGE: replace(host.bridges[BRIDGE], flow_budget=allowed)})
        for name, host in made.inventory.hosts.items()
    }
    return replace(made, inventory=replace(made.inventory, hosts=hosts))


def world(configuration: Configuration) -> World:
    return World.start(configuration, Numbering(), FleetState.start(configuration), frozenset())


def test_a_bridge_that_would_hold_too_much_is_named_with_both_numbers() -> None:
    held = {FIRST: 40, SECOND: 40}
    [first, second] = budget.refusals(world(site(1, 5)), site(2, 5), frozenset(), held)
    assert first.startswith(f"{FIRST} would hold ")
    assert "5 are its budget" in second


def test_who_has_the_most_rules_in_it_is_named() -> None:
    ends = [endpoint(f"{owner}/m", f"10.0.{at}.1") for at, owner in enumerate(("acme", "blue"))]
    tenants = [
        tenant(
            owner, tier("t", *(rule(f"r{n}", "any", "any", services=[f"tcp/{n}"]) for n in range(1, count)))
        )
        for owner, count in (("acme", 3), ("blue", 30))
    ]
    fleet = CompiledFleet(configure(*ends, *tenants))
    bridge = replace(fleet.configuration.inventory.hosts[SECOND.host].bridges[BRIDGE], flow_budget=10)
    host = replace(fleet.configuration.inventory.hosts[SECOND.host], bridges={BRIDGE: bridge})
    hosts = {**fleet.configuration.inventory.hosts, SECOND.host: host}
    inventory = replace(fleet.configuration.inventory, hosts=hosts)
    policy = prepare(replace(fleet.configuration, inventory=inventory), Numbering())
    (said,) = over_budget(index_fleet(policy, fleet.placement), [SECOND])
    assert re.match(r"hv2/br-int would hold \d+ flows \((29|3\d) of them by rules of blue\), 10 are", said)


def test_within_the_budget_nothing_is_refused() -> None:
    assert budget.refusals(world(site(1, 400)), site(2, 400), frozenset(), {FIRST: 150, SECOND: 150}) == ()


def test_a_bridge_far_from_its_budget_is_not_compiled_unless_the_rules_grow_as_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[object] = []

    def over(_: object, keys: Iterable[object]) -> tuple[()]:
        compiled.extend(keys)
        return ()

    monkeypatch.setattr(budget, "over_budget", over)
    budget.refusals(world(site(10, 10_000)), site(11, 10_000), frozenset(), {FIRST: 100, SECOND: 5000})
    assert compiled == [SECOND]
    budget.refusals(world(site(1, 10_000)), site(300, 10_000), frozenset(), {FIRST: 100})
    assert compiled == [SECOND, FIRST]
    budget.refusals(world(site(10, 10_000)), site(11, 10_000), frozenset(), {FIRST: None, SECOND: 0})
    assert compiled == [SECOND, FIRST, FIRST], "what it holds is not known"


@pytest.mark.parametrize(
    ("before", "after"), [(1, 300), (300, 1), (5, 5), (1, 2)], ids=["more", "fewer", "as many", "one more"]
)
def test_what_rules_can_grow_by_is_never_taken_for_less(before: int, after: int) -> None:
    then, now = site(before, 9), site(after, 9)
    grown = budget._size(now) - budget._size(then)
    assert budget._more(then, now) == grown
    [tenant_now] = now.tenants.values()
    renamed = replace(tenant_now, tiers=(replace(tenant_now.tiers[0], name="other"),))
    elsewhere = replace(now, tenants={tenant_now.name: renamed})
    assert budget._more(then, elsewhere) == grown


def test_a_rule_in_its_place_that_names_more_has_the_rules_grow() -> None:
    [own] = site(2, 9).tenants.values()
    [first] = own.tiers
    wider = replace(first.rules[1], sources=first.rules[1].sources * 5)
    tiers = (replace(first, rules=(first.rules[0], wider)),)
    then = site(2, 9)
    now = replace(then, tenants={own.name: replace(own, tiers=tiers)})
    assert budget._more(then, now) == budget._size(now) - budget._size(then) == 4
