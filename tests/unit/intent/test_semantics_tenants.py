"""Between tenants: nothing but by agreement or the provider's word."""

from __future__ import annotations

from typing import Any

import pytest

from support.configurations import configure, endpoint, mirror, probe, rule, tenant, tier, zone
from zonewall.intent.semantics import Probe, Verdict, verdict
from zonewall.policy.model import Action, Configuration, Mode, Provider, Rule, Tenant, Tier, Zone

ENDPOINTS = (
    endpoint("acme/db", "10.0.0.2", labels={"role": "db"}),
    endpoint("acme/web", "10.0.0.1", labels={"role": "web"}),
    endpoint("blue/app", "10.0.0.1", "10.1.0.1", labels={"role": "app"}),
    endpoint("blue/other", "10.1.0.2"),
    endpoint("ops/probe", "10.2.0.1", labels={"role": "probe"}),
)
TO_DB = probe("blue/app", "acme/db", "tcp/5432")
FROM_DB = probe("acme/db", "blue/app", "tcp/5432")
BUILTIN = "builtin/between-tenants"
NO_PROVIDER = Provider()


def exporter(*rules: Rule, zones: tuple[Zone, ...] = (), **fields: object) -> Tenant:
    """Return acme, which exports its zone ``db`` to blue."""
    own = (zone("db", labels={"role": "db"}), zone("web", labels={"role": "web"}), *zones)
    return tenant("acme", tier("t", *rules), zones=own, exports=[("db", "blue")], **fields)


def importer(*rules: Rule, zones: tuple[Zone, ...] = (), **fields: object) -> Tenant:
    """Return blue, which imports it as ``acme-db``."""
    own = (zone("app", labels={"role": "app"}), *zones)
    return tenant("blue", tier("t", *rules), zones=own, imports=[("acme/db", "acme-db")], **fields)


def judge(asked: Probe, *tenants: Tenant, provider: Provider = NO_PROVIDER) -> Verdict:
    configuration: Configuration = configure(*ENDPOINTS, *tenants, tenant("ops"), provider=provider)
    answer = verdict(configuration, asked)
    assert isinstance(answer, Verdict), answer
    return answer


def test_nothing_passes_between_tenants_that_agreed_on_nothing() -> None:
    open_to_all = [
        tenant(name, tier("t", rule("r", "any", "any")), default="allow") for name in ("acme", "blue")
    ]

    assert judge(TO_DB, *open_to_all) == Verdict(Action.DROP, BUILTIN, None, "builtin")


@pytest.mark.parametrize(
    ("exports", "imports"),
    [([("db", "blue")], []), ([], [("acme/db", "acme-db")]), ([("db", "ops")], [("acme/db", "acme-db")])],
)
def test_one_side_alone_agrees_on_nothing(
    exports: list[tuple[str, str]], imports: list[tuple[str, str]]
) -> None:
    acme = tenant(
        "acme",
        tier("t", rule("r", "any", "db")),
        zones=[zone("db", labels={"role": "db"})],
        exports=exports,
    )
    blue = tenant("blue", tier("t", rule("r", "any", "acme-db")), imports=imports)

    assert judge(TO_DB, acme, blue).rule == BUILTIN


def test_both_tenants_rules_must_allow_and_the_destinations_is_reported() -> None:
    acme, blue = exporter(rule("in", "any", "db")), importer(rule("out", "app", "acme-db"))

    assert (judge(TO_DB, acme, blue).verdict, judge(TO_DB, acme, blue).rule) == (Action.ALLOW, "acme/t/in")
    assert judge(TO_DB, acme, importer()).rule == BUILTIN
    assert judge(TO_DB, exporter(), blue).rule == BUILTIN


def test_the_agreement_serves_the_other_direction_too_where_both_allow_it() -> None:
    acme, blue = exporter(rule("out", "db", "any")), importer(rule("in", "acme-db", "app"))

    assert judge(FROM_DB, acme, blue).rule == "blue/t/in"
    assert judge(TO_DB, acme, blue).rule == BUILTIN


def test_an_endpoint_outside_the_exported_zone_stays_out_of_reach() -> None:
    acme, blue = exporter(rule("in", "any", "any")), importer(rule("out", "any", "any"))

    assert judge(probe("blue/app", "acme/web", "tcp/5432"), acme, blue).rule == BUILTIN


@pytest.mark.parametrize(
    ("in_acme", "in_blue"),
    [(("any", "any"), ("app", "acme-db")), (("any", "db"), ("app", "any")), (("any", "db"), ("any", "far"))],
)
def test_an_allow_that_does_not_name_what_was_agreed_on_allows_nothing(
    in_acme: tuple[str, str], in_blue: tuple[str, str]
) -> None:
    acme = exporter(rule("in", *in_acme))
    blue = importer(rule("out", *in_blue), zones=(zone("far", cidrs=["10.0.0.0/24"]),))

    assert judge(TO_DB, acme, blue).rule == BUILTIN


def test_another_name_beside_the_agreed_one_does_not_let_the_rest_through() -> None:
    both = (zone("db2", endpoints=["db"]),)
    acme = exporter(rule("in", "any", "web db2"), rule("named", "external", "web db"), zones=both)

    assert judge(TO_DB, acme, importer(rule("out", "any", "acme-db"))).rule == "acme/t/named"


@pytest.mark.parametrize("word", ["any", "external", "far", "acme-db"])
def test_a_refusal_sees_the_other_tenant_by_every_word_the_agreement_gives_it(word: str) -> None:
    blue = importer(
        rule("no", "app", word, "reject"),
        rule("out", "app", "acme-db"),
        zones=(zone("far", cidrs=["10.0.0.2/32"]), zone("outside", cidrs=["0.0.0.0/0"], outside=True)),
    )

    assert judge(TO_DB, exporter(rule("in", "any", "db")), blue).rule == "blue/t/no"


def test_a_zone_of_outside_addresses_or_of_labels_never_holds_another_tenants_endpoint() -> None:
    blue = importer(
        rule("a", "app", "outside", "reject"),
        rule("b", "app", "labelled", "reject"),
        rule("c", "app", "empty", "reject"),
        rule("out", "app", "acme-db"),
        zones=(
            zone("outside", cidrs=["0.0.0.0/0"], outside=True),
            zone("labelled", labels={"role": "db"}),
            zone("empty"),
        ),
    )

    assert judge(TO_DB, exporter(rule("in", "any", "db")), blue).verdict is Action.ALLOW


def test_the_destinations_refusal_overrules_the_sources_allow() -> None:
    acme = exporter(rule("no", "any", "db", "reject"))

    answer = judge(TO_DB, acme, importer(rule("out", "app", "acme-db")))

    assert (answer.verdict, answer.rule) == (Action.REJECT, "acme/t/no")


def test_no_default_and_no_monitor_mode_of_a_tenant_opens_a_way() -> None:
    acme = exporter(rule("no", "any", "db", "drop"), default="allow", mode=Mode.MONITOR)
    blue = importer(rule("out", "app", "acme-db"), default="allow", mode=Mode.MONITOR)

    answer = judge(TO_DB, acme, blue)

    assert (answer.verdict, answer.monitored, answer.rule) == (Action.DROP, False, "acme/t/no")


def test_modifiers_of_both_allows_count() -> None:
    acme = exporter(rule("in", "any", "db", mirror=("ids",), through=("ips",)))
    blue = importer(rule("out", "app", "acme-db", mirror=("tap",), through=("waf",), log="connections"))

    answer = judge(TO_DB, acme, blue)

    assert (answer.mirror, answer.through, answer.log) == (("ids", "tap"), ("waf", "ips"), "connections")


def test_mirrors_of_both_tenants_watch_what_their_agreement_shows_them() -> None:
    acme = exporter(rule("in", "any", "db"), mirrors=(mirror("m", "external", "db", "allowed"),))
    blue = importer(rule("out", "app", "acme-db"), mirrors=(mirror("m", "app", "acme-db", targets=["tap"]),))

    assert judge(TO_DB, acme, blue).mirror == ("ids", "tap")
    assert judge(probe("blue/app", "acme/web"), acme, blue).mirror == ()


def test_an_address_of_an_imported_endpoint_is_that_endpoint() -> None:
    acme, blue = exporter(rule("in", "any", "db")), importer(rule("out", "app", "acme-db"))

    assert judge(probe("blue/app", "10.0.0.2"), acme, blue).rule == "acme/t/in"
    assert judge(probe("blue/app", "10.2.0.1"), acme, blue).rule == "blue/default"


def tiers_of(*rules: Rule, tenants: tuple[str, ...] | None = None) -> tuple[Tier, ...]:
    return (tier("p", *rules, tenants=tenants),)


METRICS = rule("metrics", "ops/probes", "*/any", services=["tcp/9100"])
OPS = tenant("ops", zones=[zone("probes", labels={"role": "probe"})])


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_providers_allow_that_names_both_tenants_ends_it(place: str) -> None:
    tiers: dict[str, Any] = {place: tiers_of(METRICS)}
    provider = Provider(**tiers)
    configuration = configure(*ENDPOINTS, exporter(), OPS, provider=provider)

    answers = [
        verdict(configuration, probe("ops/probe", "acme/web", "tcp/9100")),
        verdict(configuration, probe("ops/probe", "acme/web", "tcp/80")),
        verdict(configuration, probe("acme/web", "ops/probe", "tcp/9100")),
    ]

    assert [answer.rule for answer in answers if isinstance(answer, Verdict)] == [
        "provider/p/metrics",
        BUILTIN,
        BUILTIN,
    ]


@pytest.mark.parametrize(
    ("sources", "destinations"),
    [("any", "*/any"), ("*/any", "any"), ("external", "*/any"), ("*/any", "self")],
)
def test_a_providers_allow_opens_a_way_only_where_both_sides_are_written_with_a_tenant(
    sources: str, destinations: str
) -> None:
    provider = Provider(before=tiers_of(rule("open", sources, destinations), METRICS))

    assert judge(probe("ops/probe", "acme/web"), exporter(), OPS, provider=provider).rule == BUILTIN


def test_a_peer_without_a_tenant_beside_one_with_does_not_widen_it() -> None:
    provider = Provider(before=tiers_of(rule("open", "any ops/probes", "*/any")))
    configuration = configure(
        *ENDPOINTS, endpoint("ops/desk", "10.2.0.2"), exporter(), OPS, provider=provider
    )

    answers = [verdict(configuration, probe(source, "acme/web")) for source in ("ops/probe", "ops/desk")]

    assert [answer.rule for answer in answers if isinstance(answer, Verdict)] == ["provider/p/open", BUILTIN]


@pytest.mark.parametrize("word", ["any", "external", "ops/any", "*/probes"])
def test_a_providers_refusal_covers_ways_that_another_rule_opens(word: str) -> None:
    provider = Provider(before=tiers_of(rule("no", word, "any", "reject"), METRICS))
    configuration = configure(*ENDPOINTS, exporter(), OPS, provider=provider)

    answer = verdict(configuration, probe("ops/probe", "acme/web", "tcp/9100"))

    assert isinstance(answer, Verdict)
    assert answer.rule == "provider/p/no"


def test_a_providers_pass_leads_past_its_own_allow() -> None:
    provider = Provider(before=tiers_of(rule("on", "any", "*/any", "pass"), METRICS))
    configuration = configure(*ENDPOINTS, exporter(), OPS, provider=provider)

    answer = verdict(configuration, probe("ops/probe", "acme/web", "tcp/9100"))

    assert isinstance(answer, Verdict)
    assert answer.rule == BUILTIN


@pytest.mark.parametrize(
    ("tenants", "expected"),
    [(("acme",), "provider/p/metrics"), (("ops", "blue"), "provider/p/metrics"), (("blue",), BUILTIN)],
)
def test_a_provider_tier_stands_where_either_ends_tenant_is_named(
    tenants: tuple[str, ...], expected: str
) -> None:
    provider = Provider(before=tiers_of(METRICS, tenants=tenants))
    configuration = configure(*ENDPOINTS, exporter(), OPS, provider=provider)

    answer = verdict(configuration, probe("ops/probe", "acme/web", "tcp/9100"))

    assert isinstance(answer, Verdict)
    assert answer.rule == expected


def test_without_an_agreement_a_tenants_rules_do_not_see_what_the_provider_lets_across() -> None:
    provider = Provider(after=tiers_of(METRICS))
    closed = exporter(rule("no", "any", "any", "drop"), mirrors=(mirror("m", "any", "any"),))
    configuration = configure(*ENDPOINTS, closed, OPS, provider=provider)

    answer = verdict(configuration, probe("ops/probe", "acme/web", "tcp/9100"))

    assert answer == Verdict(Action.ALLOW, "provider/p/metrics", "test.yaml:1", "p")


def test_a_tenants_refusal_stands_before_the_providers_last_word() -> None:
    provider = Provider(after=tiers_of(rule("open", "blue/any", "acme/any")))
    blue = importer(rule("out", "app", "acme-db"))

    refused = judge(TO_DB, exporter(rule("no", "any", "db", "drop")), blue, provider=provider)
    undecided = judge(TO_DB, exporter(), blue, provider=provider)

    assert (refused.rule, undecided.rule) == ("acme/t/no", "provider/p/open")


def test_a_providers_monitor_mode_opens_no_way_between_tenants() -> None:
    provider = Provider(before=tiers_of(rule("no", "*/any", "*/any", "drop", mode=Mode.MONITOR)))

    answer = judge(probe("blue/app", "acme/web"), exporter(), importer(), provider=provider)

    assert (answer.verdict, answer.monitored) == (Action.DROP, False)


def test_an_address_outside_in_one_tenants_view_does_not_reach_another_tenant() -> None:
    acme, blue = exporter(rule("in", "any", "db")), importer(rule("out", "any", "acme-db"))

    answer = judge(probe("203.0.113.9", "acme/db", "tcp/5432", tenant="blue"), acme, blue)

    assert answer.rule == BUILTIN
