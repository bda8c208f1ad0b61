"""Tiers in order, to one verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from zonewall.intent.semantics.connection import Connection, connect
from zonewall.intent.semantics.ends import find_ends
from zonewall.intent.semantics.matching import (
    mirror_matches,
    names_both_tenants,
    provider_rule_matches,
    tenant_rule_matches,
)
from zonewall.intent.semantics.membership import is_in_zone
from zonewall.intent.semantics.multicast import is_group_address, passes_multicast
from zonewall.intent.semantics.probe import Probe, ProbeError, Step, Verdict
from zonewall.policy.model import Action, Configuration, Mode, Provider, Rule, Tenant, Tier

BETWEEN_TENANTS = Verdict(Action.DROP, "builtin/between-tenants", None, "builtin")

_Matches = Callable[[Rule], bool]


@dataclass(frozen=True, slots=True)
class _Decision:
    """The rule that ended a row of tiers; ``author`` None is the provider."""

    author: Tenant | None
    tier: Tier
    rule: Rule


def verdict(configuration: Configuration, probe: Probe) -> Verdict | ProbeError:
    """Return what the configuration says about the connection, or why the probe cannot be judged.

    A pure function: the same configuration and probe always give the same answer, wherever the ends run.
    """
    answer = account(configuration, probe)
    return answer if isinstance(answer, ProbeError) else answer[0]


def account(configuration: Configuration, probe: Probe) -> tuple[Verdict, tuple[Step, ...]] | ProbeError:
    """Return the verdict, and what each tier that was asked said, in order."""
    if probe.time is None and _asks_time(configuration):
        return ProbeError("a rule of this configuration has hours or expires; say the probe's time")
    ends = find_ends(configuration, probe)
    if isinstance(ends, ProbeError):
        return ends
    connection = connect(*ends, probe)
    if is_group_address(connection.destination.address):
        passes = passes_multicast(configuration.provider, connection)
        return Verdict(Action.ALLOW if passes else Action.DROP, "builtin/multicast", None, "builtin"), ()
    steps: list[Step] = []
    if connection.crosses:
        judged = _between_tenants(configuration.provider, connection, steps)
    else:
        judged = _within_tenant(configuration.provider, connection, steps)
    return _with_mirrors(connection, judged), tuple(steps)


def _within_tenant(provider: Provider, connection: Connection, steps: list[Step]) -> Verdict:
    """Provider's before, the tenant's tiers, provider's after, the tenant's default."""
    tenant = connection.source.tenant
    decision = (
        _provider_decides(connection, provider.before, steps)
        or _tenant_decides(connection, tenant, steps)
        or _provider_decides(connection, provider.after, steps)
    )
    if decision is not None:
        return _carried_out(decision, _is_monitored(decision, connection))
    location = tenant.default_location or tenant.location
    monitored = tenant.default is not Action.ALLOW and _watches(tenant, connection)
    return Verdict(
        verdict=Action.ALLOW if monitored else tenant.default,
        rule=f"{tenant.name}/default",
        at=location.at if location.file else None,
        tier="default",
        monitored=monitored,
    )


def _between_tenants(provider: Provider, connection: Connection, steps: list[Step]) -> Verdict:
    """Provider's before, the source's tiers, the destination's tiers, provider's after, drop."""
    if not connection.agreements and not _provider_names_both(provider, connection):
        return BETWEEN_TENANTS
    decision = _provider_decides(connection, provider.before, steps)
    if decision is not None:
        return _carried_out(decision)
    of_source = _tenant_decides(connection, connection.source.tenant, steps)
    if of_source is not None and of_source.rule.action is not Action.ALLOW:
        return _carried_out(of_source)
    if of_source is not None:
        of_destination = _tenant_decides(connection, connection.destination.tenant, steps)
        if of_destination is not None and of_destination.rule.action is not Action.ALLOW:
            return _carried_out(of_destination)
        if of_destination is not None:
            return _allowed_by_both(of_source, of_destination)
    decision = _provider_decides(connection, provider.after, steps)
    return BETWEEN_TENANTS if decision is None else _carried_out(decision)


def _provider_names_both(provider: Provider, connection: Connection) -> bool:
    return any(
        names_both_tenants(connection, rule)
        for tier in provider.before + provider.after
        if _stands_for(tier, connection)
        for rule in tier.rules
    )


def _provider_decides(connection: Connection, tiers: Iterable[Tier], steps: list[Step]) -> _Decision | None:
    standing = (tier for tier in tiers if _stands_for(tier, connection))
    return _first_decision(None, standing, lambda rule: provider_rule_matches(connection, rule), steps)


def _tenant_decides(connection: Connection, tenant: Tenant, steps: list[Step]) -> _Decision | None:
    return _first_decision(
        tenant, tenant.tiers, lambda rule: tenant_rule_matches(connection, tenant, rule), steps
    )


def _first_decision(
    author: Tenant | None, tiers: Iterable[Tier], matches: _Matches, steps: list[Step]
) -> _Decision | None:
    """Return the first tier's first matching rule; ``pass`` and no rule at all lead to the next tier."""
    for tier in tiers:
        rule = next((rule for rule in tier.rules if matches(rule)), None)
        steps.append(Step("provider" if author is None else author.name, tier.name, rule))
        if rule is not None and rule.action is not Action.PASS:
            return _Decision(author, tier, rule)
    return None


def _stands_for(tier: Tier, connection: Connection) -> bool:
    return (
        tier.tenants is None
        or connection.source.tenant.name in tier.tenants
        or connection.destination.tenant.name in tier.tenants
    )


def _is_monitored(decision: _Decision, connection: Connection) -> bool:
    """Say whether a drop or reject is only watched: the nearest word wins."""
    if decision.rule.action is Action.ALLOW:
        return False
    nearest = decision.rule.mode or decision.tier.mode
    if nearest is not None:
        return nearest is Mode.MONITOR
    return decision.author is not None and _watches(decision.author, connection)


def _watches(tenant: Tenant, connection: Connection) -> bool:
    """Say whether the tenant, or a zone of it that an end is in, is in monitor mode."""
    return tenant.mode is Mode.MONITOR or any(
        zone.mode is Mode.MONITOR and is_in_zone(tenant, name, end)
        for name, zone in tenant.zones.items()
        for end in (connection.source, connection.destination)
    )


def _carried_out(decision: _Decision, monitored: bool = False) -> Verdict:
    rule = decision.rule
    author = "provider" if decision.author is None else decision.author.name
    return Verdict(
        verdict=Action.ALLOW if monitored else rule.action,
        rule=f"{author}/{decision.tier.name}/{rule.name}",
        at=rule.location.at,
        tier=decision.tier.name,
        mirror=tuple(sorted(set(rule.mirror))),
        through=rule.through if rule.action is Action.ALLOW else (),
        log=rule.log,
        monitored=monitored,
    )


def _allowed_by_both(of_source: _Decision, of_destination: _Decision) -> Verdict:
    first, last = _carried_out(of_source), _carried_out(of_destination)
    return Verdict(
        verdict=Action.ALLOW,
        rule=last.rule,
        at=last.at,
        tier=last.tier,
        mirror=tuple(sorted({*first.mirror, *last.mirror})),
        through=first.through + last.through,
        log="connections" if "connections" in (first.log, last.log) else "none",
    )


def _with_mirrors(connection: Connection, judged: Verdict) -> Verdict:
    """Return the verdict with what ``mirrors:`` of the tenants concerned add to its targets."""
    outcome = "allowed" if judged.verdict is Action.ALLOW else "dropped"
    tenants = {end.tenant.name: end.tenant for end in (connection.source, connection.destination)}
    targets = {
        target
        for tenant in tenants.values()
        for mirror in tenant.mirrors
        if mirror.when in ("before", outcome) and mirror_matches(connection, tenant, mirror)
        for target in mirror.targets
    }
    return Verdict(
        judged.verdict,
        judged.rule,
        judged.at,
        judged.tier,
        tuple(sorted({*judged.mirror, *targets})),
        judged.through,
        judged.log,
        judged.monitored,
    )


def _asks_time(configuration: Configuration) -> bool:
    owners = (configuration.provider.before, configuration.provider.after)
    tiers = [tier for of in owners for tier in of]
    tiers += [tier for tenant in configuration.tenants.values() for tier in tenant.tiers]
    return any(rule.hours is not None or rule.expires is not None for tier in tiers for rule in tier.rules)
