"""What holds for every configuration and every probe."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from support.configurations import judge, rule, tier
from support.generated_configurations import worlds
from zonewall.intent.semantics import Probe
from zonewall.policy.inventory import EndpointDeclaration
from zonewall.policy.model import Action, Configuration, Provider

World = tuple[Configuration, list[Probe]]


def owners(configuration: Configuration, asked: Probe) -> set[str]:
    ends = (configuration.inventory.endpoints.get(end) for end in (asked.source, asked.destination))  # type: ignore[arg-type]
    return {end.tenant for end in ends if isinstance(end, EndpointDeclaration)} or {str(asked.tenant)}


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_every_verdict_names_a_rule_of_the_configuration_and_nothing_that_is_not_there(world: World) -> None:
    configuration, asked = world
    provider = configuration.provider
    rules = {f"provider/{t.name}/{r.name}": r for t in provider.before + provider.after for r in t.rules}
    for name, tenant in configuration.tenants.items():
        rules |= {f"{name}/{t.name}/{r.name}": r for t in tenant.tiers for r in t.rules}

    for each in asked:
        answer = judge(configuration, each)
        if answer.rule in rules:
            decided = rules[answer.rule]
            assert answer.at == decided.location.at
            assert answer.verdict is (Action.ALLOW if answer.monitored else decided.action)
        else:
            assert answer.tier in ("default", "builtin")
            assert answer.through == ()
        assert answer.mirror == tuple(sorted(set(answer.mirror)))
        assert set(answer.mirror) <= configuration.inventory.mirror_targets.keys()
        assert answer.verdict is Action.ALLOW or answer.through == ()


@settings(max_examples=100, deadline=None)
@given(worlds(linked=True))
def test_without_exports_and_provider_nothing_passes_between_tenants(world: World) -> None:
    configuration, asked = world
    apart = replace(
        configuration,
        provider=Provider(),
        tenants={name: replace(one, exports=()) for name, one in configuration.tenants.items()},
    )

    for each in asked:
        if len(owners(apart, each)) == 2:
            assert judge(apart, each).rule == "builtin/between-tenants"
            assert judge(apart, each).verdict is Action.DROP


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_tenants_that_own_no_end_have_no_say(world: World) -> None:
    configuration, asked = world

    for each in asked:
        concerned = owners(configuration, each)
        others = {
            name: one if name in concerned else replace(one, tiers=(), mirrors=(), default=Action.ALLOW)
            for name, one in configuration.tenants.items()
        }
        assert judge(replace(configuration, tenants=others), each) == judge(configuration, each)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_no_tenant_can_undo_what_the_provider_refuses_first(world: World) -> None:
    configuration, asked = world
    wall = tier("wall", rule("all", "any", "any", "drop"))
    provider = replace(configuration.provider, before=(wall, *configuration.provider.before))

    for each in asked:
        answer = judge(replace(configuration, provider=provider), each)
        assert answer.verdict is Action.DROP
        assert answer.rule in ("provider/wall/all", "builtin/between-tenants")
