"""Rules in banks: sections end where a pass must skip; tenants see each other as far as they agreed."""

from __future__ import annotations

from dataclasses import replace

from support.configurations import configure, endpoint, peer, probe, rule, tenant, tier, zone
from zonewall.intent.banks import Bank, Outcome
from zonewall.intent.identity import build_directory
from zonewall.intent.judgement import build_banks, linked_pairs
from zonewall.intent.semantics import Verdict, verdict
from zonewall.policy.model import Configuration, Mode, Provider, Tenant, Tier

WEB = endpoint("acme/web", "10.0.0.1", labels={"role": "web"})
DB = endpoint("blue/db", "10.1.0.1", labels={"role": "db"})


def banks(configuration: Configuration) -> dict[str, Bank]:
    return build_banks(configuration, build_directory(configuration))


def agreed(*acme_tiers: Tier, blue: tuple[Tier, ...] = (), **fields: object) -> Configuration:
    """Blue exports its zone db to acme."""
    acme: Tenant = tenant("acme", *acme_tiers, imports=[("blue/db", "blue-db")], **fields)  # type: ignore[arg-type]
    other = tenant("blue", *blue, zones=[zone("db", labels={"role": "db"})], exports=[("db", "acme")])
    return configure(WEB, DB, acme, other)


def test_tiers_without_a_pass_share_a_section() -> None:
    plain = tenant("acme", tier("a", rule("r", "any", "any")), tier("b", rule("r", "any", "any", "drop")))

    [section] = banks(configure(WEB, plain))["acme"].sections

    assert [line.rule for line in section.lines] == ["acme/a/r", "acme/b/r"]
    assert section.miss is None


def test_a_pass_leads_to_the_section_after_its_tier() -> None:
    passing = tenant(
        "acme",
        tier("a", rule("go-on", "any", "any", "pass"), rule("never", "any", "any", "drop")),
        tier("b", rule("r", "any", "any")),
    )

    first, second = banks(configure(WEB, passing))["acme"].sections

    assert (first.lines[0].outcome, first.lines[0].onward, first.miss) == (Outcome.ONWARD, 1, 1)
    assert [line.rule for line in second.lines] == ["acme/b/r"]


def test_a_rule_about_nobody_has_no_line() -> None:
    empty = tenant(
        "acme", tier("a", rule("r", "ghosts", "any")), zones=[zone("ghosts", labels={"role": "x"})]
    )

    [section] = banks(configure(WEB, empty))["acme"].sections

    assert section.lines == ()


def test_self_joins_each_from_zone_with_itself_only() -> None:
    zones = [zone("web", labels={"role": "web"}), zone("db", labels={"role": "db"})]
    own = tenant("acme", tier("a", rule("r", "web db", "self")), zones=zones)
    other = endpoint("acme/db", "10.0.0.2", labels={"role": "db"})

    [section] = banks(configure(WEB, other, own))["acme"].sections

    assert [(line.sources, line.sources == line.destinations) for line in section.lines] == [
        (section.lines[0].sources, True),
        (section.lines[1].sources, True),
    ]
    assert section.lines[0].sources != section.lines[1].sources


def test_a_monitored_drop_is_an_allow_under_the_same_name() -> None:
    watched = tenant("acme", tier("a", rule("r", "any", "any", "drop", mode=Mode.MONITOR)))

    [section] = banks(configure(WEB, watched))["acme"].sections

    assert [(line.rule, line.outcome, line.monitored) for line in section.lines] == [
        ("acme/a/r", Outcome.ALLOW, True)
    ]


def test_tenants_are_linked_by_an_agreement_in_both_directions_and_by_nothing_else() -> None:
    apart = configure(WEB, DB, tenant("acme"), tenant("blue"))

    assert linked_pairs(agreed()) == [("acme", "blue"), ("blue", "acme")]
    assert linked_pairs(apart) == []


def test_a_source_without_tiers_is_asked_all_the_same_so_that_the_destination_alone_allows_nothing() -> None:
    open_hand = tier("t", rule("r", "any", "db"))
    configuration = agreed(blue=(open_hand,))
    asked = verdict(configuration, probe("acme/web", "blue/db"))

    sections = banks(configuration)["acme>blue"].sections

    assert [len(section.lines) for section in sections] == [0, 1]
    assert sections[0].miss is None
    assert isinstance(asked, Verdict)
    assert asked.rule == "builtin/between-tenants"


def test_an_allow_of_the_source_leads_to_the_destinations_tiers() -> None:
    configuration = agreed(
        tier("t", rule("out", "any", "blue-db")), blue=(tier("t", rule("in", "any", "db")),)
    )

    first, second = banks(configuration)["acme>blue"].sections

    assert [(line.outcome, line.onward) for line in first.lines] == [(Outcome.ONWARD, 1)]
    assert [line.outcome for line in second.lines] == [Outcome.ALLOW]


def test_an_allow_between_tenants_that_names_no_agreed_zone_allows_nothing() -> None:
    [first, _] = banks(
        agreed(tier("t", rule("out", "any", "any")), blue=(tier("t", rule("r", "any", "any")),))
    )["acme>blue"].sections

    assert first.lines == ()


def test_between_tenants_nothing_is_merely_watched() -> None:
    watching = Tier("g", (rule("r", "*/any", "*/any", "drop", mode=Mode.MONITOR),), WEB.location)
    opening = Tier("h", (rule("r", "*/any", "*/any"),), WEB.location)
    provider = Provider(before=(watching, opening))
    configuration = configure(WEB, DB, tenant("acme"), tenant("blue"), provider=provider)

    found = banks(configuration)

    assert found["acme>blue"].sections[0].lines[0].outcome is Outcome.DROP
    assert found["acme"].sections[0].lines[0].outcome is Outcome.ALLOW


def test_a_provider_names_everybody_outside_of_one_tenant_by_external() -> None:
    outside = rule("r", "any", "any", "drop")
    named = Tier("g", (replace(outside, sources=(peer("acme/external"),)),), WEB.location)
    configuration = configure(WEB, tenant("acme"), provider=Provider(before=(named,)))

    [line] = banks(configuration)["acme"].sections[0].lines

    assert line.sources.outside
    assert not line.sources.inside


def _fields(one: object) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}  # type: ignore[attr-defined]
