"""Documents past a bridge's budget are refused; bridges that are far from theirs are not compiled for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from support.compiled import BRIDGE, FIRST, SECOND, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier, zone
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
