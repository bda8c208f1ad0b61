"""Edits of a generated configuration, of the kinds that operators make."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from support.choosing import one_of, yes_or_no
from support.generated_configurations import ROLES, Scene, a_rule, a_tier, selected
from zonewall.policy.model import Action, Configuration, Mode, Tenant


@st.composite
def edited(draw: DrawFn, before: Configuration) -> Configuration:
    """Return the configuration after one to three edits of the kinds that operators make."""
    after = before
    for _ in range(one_of(draw, (1, 2, 3))):
        after = one_of(draw, _EDITS)(draw, after)
    return after


def _edit_rules(draw: DrawFn, configuration: Configuration) -> Configuration:
    """Drop, add or turn a rule of one tenant, or give it other defaults."""
    tenant = configuration.tenants[one_of(draw, sorted(configuration.tenants))]
    scene = Scene((*tenant.zones, *(one.local_name for one in tenant.imports)))
    tiers = list(tenant.tiers)
    if bool(tiers) and yes_or_no(draw):
        place = one_of(draw, range(len(tiers)))
        rules = list(tiers[place].rules)
        rules.insert(one_of(draw, range(len(rules) + 1)), replace(draw(a_rule(scene)), name="added"))
        if yes_or_no(draw):
            rules.pop(one_of(draw, range(len(rules))))
        rules = [one for index, one in enumerate(rules) if one.name not in {r.name for r in rules[:index]}]
        tiers[place] = replace(tiers[place], rules=tuple(rules))
    else:
        tiers = [*tiers, replace(draw(a_tier(scene)), name="added")][-3:]
        tiers = [one for index, one in enumerate(tiers) if one.name not in {t.name for t in tiers[:index]}]
    default = one_of(draw, [tenant.default, Action.DROP, Action.ALLOW])
    return _with_tenant(configuration, replace(tenant, tiers=tuple(tiers), default=default))


def _edit_zones(draw: DrawFn, configuration: Configuration) -> Configuration:
    """Select others into a zone, or watch it only."""
    tenant = configuration.tenants[one_of(draw, sorted(configuration.tenants))]
    mine = [one for one in configuration.inventory.endpoints.values() if one.tenant == tenant.name]
    name = one_of(draw, list(tenant.zones))
    zone = replace(
        tenant.zones[name],
        selector=selected(draw, mine, []),
        mode=one_of(draw, [Mode.ENFORCE, Mode.MONITOR]),
    )
    return _with_tenant(configuration, replace(tenant, zones={**tenant.zones, name: zone}))


def _edit_labels(draw: DrawFn, configuration: Configuration) -> Configuration:
    """Give an endpoint another role, take one away, or an address of it."""
    endpoints = dict(configuration.inventory.endpoints)
    key = one_of(draw, sorted(endpoints))
    one = endpoints[key]
    kind = one_of(draw, ["role", "role", "gone", "address"])
    if kind == "gone" and sum(e.tenant == one.tenant for e in endpoints.values()) > 1:
        del endpoints[key]
    elif kind == "address":
        endpoints[key] = replace(one, ips=one.ips[1:] or one.ips)
    else:
        endpoints[key] = replace(one, labels={"role": one_of(draw, ROLES)})
    return replace(configuration, inventory=replace(configuration.inventory, endpoints=endpoints))


def _edit_links(draw: DrawFn, configuration: Configuration) -> Configuration:
    """Take an export, an import or the provider's tiers away."""
    tenant = configuration.tenants[one_of(draw, sorted(configuration.tenants))]
    kind = one_of(draw, ["exports", "mirrors", "provider"])
    if kind == "provider":
        return replace(configuration, provider=replace(configuration.provider, after=()))
    if kind == "mirrors":
        return _with_tenant(configuration, replace(tenant, mirrors=()))
    return _with_tenant(configuration, replace(tenant, exports=tenant.exports[1:]))


def _with_tenant(configuration: Configuration, tenant: Tenant) -> Configuration:
    return replace(configuration, tenants={**configuration.tenants, tenant.name: tenant})


_EDITS = (_edit_rules, _edit_rules, _edit_zones, _edit_labels, _edit_links)
