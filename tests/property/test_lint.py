"""What lint says is so, by the evaluator: witnesses are decided as told, and what is called useless is."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings

from support.generated_configurations import worlds
from zonewall.intent.analysis.lint import Remark, lint
from zonewall.intent.judgement import rule_records
from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.intent.semantics.connection import connect
from zonewall.intent.semantics.ends import find_ends
from zonewall.intent.semantics.matching import provider_rule_matches, tenant_rule_matches
from zonewall.policy.model import Action, Configuration, Tier
from zonewall.values.names import TenantName

COUNT = int(os.environ.get("ZONEWALL_CONFIGURATIONS", "0"))
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def matches(configuration: Configuration, name: str, probe: Probe) -> bool:
    """Say whether a rule is about a probe, whatever stands before it."""
    ends = find_ends(configuration, probe)
    assert isinstance(ends, tuple)
    rule = rule_records(configuration)[name].rule
    assert rule is not None
    owner = name.split("/")[0]
    if owner == "provider":
        return provider_rule_matches(connect(*ends, probe), rule)
    return tenant_rule_matches(connect(*ends, probe), configuration.tenants[TenantName(owner)], rule)


def without(configuration: Configuration, name: str) -> Configuration:
    """Return the configuration without a rule."""
    owner, tier_name, rule_name = name.split("/")

    def cut(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        return tuple(
            replace(tier, rules=tuple(r for r in tier.rules if r.name != rule_name))
            if tier.name == tier_name
            else tier
            for tier in tiers
        )

    if owner == "provider":
        provider = configuration.provider
        return replace(
            configuration, provider=replace(provider, before=cut(provider.before), after=cut(provider.after))
        )
    tenant = configuration.tenants[TenantName(owner)]
    changed = replace(tenant, tiers=cut(tenant.tiers))
    return replace(configuration, tenants={**configuration.tenants, TenantName(owner): changed})


def effect(configuration: Configuration, probe: Probe) -> tuple[object, ...]:
    said = verdict(configuration, probe)
    assert isinstance(said, Verdict)
    return said.verdict, said.monitored, said.mirror, said.through, said.log


def hold(configuration: Configuration, remark: Remark, probes: list[Probe]) -> None:
    """Hold one remark against the evaluator."""
    witness = remark.witness
    if witness is not None:
        assert verdict(configuration, witness.probe) == witness.verdict
    if remark.code == "shadowed":
        assert witness is not None
        assert matches(configuration, remark.subject, witness.probe)
        assert witness.verdict.rule != remark.subject
        assert remark.other is not None
        blocker = rule_records(configuration)[remark.other].rule
        if blocker is not None and blocker.action in (Action.DROP, Action.REJECT):
            assert witness.verdict.rule == remark.other
        for probe in probes:
            assert getattr(verdict(configuration, probe), "rule", None) != remark.subject, probe
    elif remark.code == "redundant":
        rest = without(configuration, remark.subject)
        for probe in [*probes, *([witness.probe] if witness else [])]:
            assert effect(rest, probe) == effect(configuration, probe), probe
    elif remark.code == "contradictory":
        assert witness is not None
        assert remark.other is not None
        assert matches(configuration, remark.subject, witness.probe)
        assert matches(configuration, remark.other, witness.probe)
        assert witness.verdict.rule != remark.subject


@settings(
    max_examples=COUNT or 80,
    deadline=None,
    database=None,
    derandomize=COUNT == 0,
    suppress_health_check=list(HealthCheck),
)
@given(world=worlds(most=40))
def test_what_lint_says_is_what_the_evaluator_does(world: tuple[Configuration, list[Probe]]) -> None:
    configuration, probes = world
    for remark in lint(configuration, NOW):
        hold(configuration, remark, probes)
