"""Generated configurations that bridges can carry out, and which of their probes they judge by rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from support.configurations import at
from support.generated_configurations import worlds
from zonewall.intent.semantics import Probe, Verdict
from zonewall.policy.inventory import ServiceFunction
from zonewall.policy.model import Configuration, Hours, Provider, Rule, Tier
from zonewall.values.services import PORT_PROTOCOLS


@st.composite
def carried_worlds(
    draw: DrawFn, linked: bool | None = None, most: int = 12, cuts: bool = True
) -> tuple[Configuration, list[Probe]]:
    """Return a configuration that can be compiled, and probes that rules judge.

    ``cuts``: copies may be cut, which Open vSwitch cannot do on their way out of a patch port.
    """
    configuration, probes = draw(worlds(linked, most))
    made = with_own_functions(configuration)
    return made if cuts else with_whole_copies(made), [one for one in probes if is_tracked(one)]


def with_whole_copies(configuration: Configuration) -> Configuration:
    """Return the configuration with mirror rules that copy all of a packet."""
    tenants = {
        name: replace(tenant, mirrors=tuple(replace(one, truncate=None) for one in tenant.mirrors))
        for name, tenant in configuration.tenants.items()
    }
    return replace(configuration, tenants=tenants)


def is_tracked(probe: Probe) -> bool:
    """Say whether connection tracking hands the packet on: it takes port 0 as invalid."""
    return probe.protocol not in PORT_PROTOCOLS or 0 not in (probe.source_port, probe.destination_port)


def with_own_functions(configuration: Configuration) -> Configuration:
    """Return the configuration with functions of its own for each tenant, and none in provider's rules.

    A function's untagged legs cannot tell tenants apart, so that two that share one are refused.
    """
    tenants = {
        name: replace(tenant, tiers=tuple(_through(tier, f"-{name}") for tier in tenant.tiers))
        for name, tenant in configuration.tenants.items()
    }
    provider = configuration.provider
    before, after = (
        tuple(_through(tier, None) for tier in tiers) for tiers in (provider.before, provider.after)
    )
    names = {
        function
        for tenant in tenants.values()
        for tier in tenant.tiers
        for rule in tier.rules
        for function in rule.through
    }
    functions = {name: ServiceFunction(name, "bump-in-the-wire", at()) for name in sorted(names)}
    return replace(
        configuration,
        inventory=replace(configuration.inventory, service_functions=functions),
        provider=replace(provider, before=before, after=after) if provider != Provider() else provider,
        tenants=tenants,
    )


def goes_through_across(probe: Probe, judged: Verdict) -> bool:
    """Say whether a connection between tenants is sent through functions, which bridges do not offer."""
    if not judged.through or not isinstance(probe.source, str) or not isinstance(probe.destination, str):
        return False
    return probe.source.split("/")[0] != probe.destination.split("/")[0]


def _through(tier: Tier, suffix: str | None) -> Tier:
    return replace(tier, rules=tuple(_renamed(rule, suffix) for rule in tier.rules))


def _renamed(rule: Rule, suffix: str | None) -> Rule:
    return replace(rule, through=() if suffix is None else tuple(one + suffix for one in rule.through))


def is_icmp_error(probe: Probe) -> bool:
    """Say whether the packet reports an error; a refused one is never answered (RFC 1122, RFC 4443)."""
    errors = {1: (3, 4, 5, 11, 12), 58: (1, 2, 3, 4, 137)}
    return probe.icmp is not None and probe.icmp[0] in errors.get(probe.protocol, ())


HOURS = (
    Hours(frozenset({0, 1, 2, 3, 4}), 8 * 60, 18 * 60, "Europe/Berlin"),
    Hours(frozenset({2}), 22 * 60, 6 * 60, "UTC"),
    Hours(frozenset({5, 6}), 0, 24 * 60, "America/New_York"),
)
MOMENTS = tuple(
    datetime.fromisoformat(text)
    for text in (
        "2026-07-01T06:00:00+00:00",  # a Wednesday: eight in Berlin
        "2026-07-01T15:59:59+00:00",
        "2026-07-01T16:00:00+00:00",
        "2026-07-01T22:00:00+00:00",
        "2026-07-02T05:59:00+00:00",
        "2026-07-02T06:00:00+00:00",
        "2026-07-04T03:59:00+00:00",
        "2026-07-04T04:00:00+00:00",  # Saturday begins in New York
    )
)


@st.composite
def timed_worlds(draw: DrawFn, most: int = 12) -> tuple[Configuration, list[Probe], datetime]:
    """Return a configuration some of whose rules hold at times only, probes, and a moment for them."""
    configuration, probes = draw(carried_worlds(most=most))
    moment = draw(st.sampled_from(MOMENTS))

    def timed(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        return tuple(replace(tier, rules=tuple(map(rule_in_time, tier.rules))) for tier in tiers)

    def rule_in_time(rule: Rule) -> Rule:
        kind = draw(st.sampled_from(["always", "always", "hours", "expires", "both"]))
        return replace(
            rule,
            hours=draw(st.sampled_from(HOURS)) if kind in ("hours", "both") else None,
            expires=draw(st.sampled_from(MOMENTS)) if kind in ("expires", "both") else None,
        )

    provider = configuration.provider
    configuration = replace(
        configuration,
        provider=replace(provider, before=timed(provider.before), after=timed(provider.after)),
        tenants={name: replace(t, tiers=timed(t.tiers)) for name, t in configuration.tenants.items()},
    )
    return configuration, [replace(probe, time=moment) for probe in probes], moment
