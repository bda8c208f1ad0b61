"""Tiers, peers, services, hours and modifiers within one tenant's view."""

from __future__ import annotations

from datetime import datetime

import pytest

from support.configurations import (
    at,
    configure,
    endpoint,
    judge,
    mirror,
    peer,
    probe,
    rule,
    tenant,
    tier,
    zone,
)
from zonewall.intent.semantics import Probe, ProbeError, Verdict, verdict
from zonewall.policy.model import Action, Configuration, Hours, MirrorRule, Peer, Provider, Rule, Tier

ENDPOINTS = (
    endpoint("acme/web", "10.0.0.1", "fd00::1", labels={"role": "web"}),
    endpoint("acme/web2", "10.0.0.3", labels={"role": "web"}),
    endpoint("acme/db", "10.0.0.2", "fd00::2", labels={"role": "db"}),
)
ZONES = (zone("web", labels={"role": "web"}), zone("db", labels={"role": "db"}))
WEB_TO_DB = probe("acme/web", "acme/db")


def acme(*tiers: Tier, provider: Provider = Provider(), **fields: object) -> Configuration:  # noqa: B008
    return configure(*ENDPOINTS, tenant("acme", *tiers, zones=ZONES, **fields), provider=provider)


def decides(one: Rule, asked: Probe) -> bool:
    return judge(acme(tier("t", one)), asked).rule != "acme/default"


def test_the_first_matching_rule_of_a_tier_wins() -> None:
    tiers = tier("t", rule("no", "web", "db", "reject"), rule("yes", "web", "db"))

    answer = judge(acme(tiers), WEB_TO_DB)

    assert (answer.verdict, answer.rule, answer.tier) == (Action.REJECT, "acme/t/no", "t")


def test_pass_goes_on_to_the_next_tier_past_the_rest_of_its_own() -> None:
    first = tier("first", rule("on", "web", "db", "pass"), rule("no", "web", "db", "drop"))

    assert judge(acme(first, tier("second", rule("yes", "any", "db"))), WEB_TO_DB).rule == "acme/second/yes"


def test_a_tier_without_a_matching_rule_goes_on_to_the_next() -> None:
    first = tier("first", rule("no", "db", "web", "drop"))

    assert judge(acme(first, tier("second", rule("yes", "any", "db"))), WEB_TO_DB).verdict is Action.ALLOW


@pytest.mark.parametrize("default", ["allow", "drop", "reject"])
def test_what_no_rule_decided_is_the_default_with_its_place(default: str) -> None:
    answer = judge(acme(default=default, default_location=at(7, "acme.yaml")), WEB_TO_DB)

    assert (answer.verdict.value, answer.rule, answer.tier, answer.at) == (
        default,
        "acme/default",
        "default",
        "acme.yaml:7",
    )


def test_a_default_that_nobody_wrote_is_found_at_the_tenants_document() -> None:
    assert judge(acme(), WEB_TO_DB).at == "acme.yaml:1"


def test_endpoints_of_a_tenant_without_a_document_are_dropped() -> None:
    configuration = configure(endpoint("new/a", "10.0.0.1"), endpoint("new/b", "10.0.0.2"))

    assert judge(configuration, probe("new/a", "new/b")) == Verdict(
        Action.DROP, "new/default", None, "default"
    )


def test_before_comes_first_and_after_comes_last_before_the_default() -> None:
    telnet, ssh, http = (rule("r", "any", "any", "drop", services=[f"tcp/{port}"]) for port in (23, 22, 80))
    own = tier("own", rule("ssh", "any", "any", services=["tcp/22", "tcp/23"]))
    provider = Provider(before=(tier("guard", telnet),), after=(tier("last", ssh, http),))
    configuration = acme(own, provider=provider, default="allow")

    rules = [
        judge(configuration, probe("acme/web", "acme/db", f"tcp/{port}")).rule for port in (23, 22, 80, 81)
    ]

    assert rules == ["provider/guard/r", "acme/own/ssh", "provider/last/r", "acme/default"]


def test_a_provider_tier_stands_only_for_the_tenants_it_names() -> None:
    guard = tier("guard", rule("no", "any", "any", "drop"), tenants=("blue",))

    assert judge(acme(provider=Provider(before=(guard,)), default="allow"), WEB_TO_DB).rule == "acme/default"


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("acme/web", "acme/db", {"any-any"}),
        ("acme/web", "203.0.113.9", {"any-any", "any-external"}),
        ("203.0.113.9", "acme/web", {"any-any", "external-any"}),
        ("203.0.113.9", "198.51.100.7", {"any-any", "any-external", "external-any", "external-external"}),
    ],
)
def test_any_is_everybody_and_external_everybody_who_is_no_endpoint(
    source: str, destination: str, expected: set[str]
) -> None:
    words = [(a, b) for a in ("any", "external") for b in ("any", "external")]

    found = {
        f"{a}-{b}" for a, b in words if decides(rule("r", a, b), probe(source, destination, tenant="acme"))
    }

    assert found == expected


def test_self_pairs_each_source_zone_with_itself_only() -> None:
    one = rule("r", "web db", "self")

    assert decides(one, probe("acme/web", "acme/web2"))
    assert not decides(one, WEB_TO_DB)


def test_self_beside_another_destination_keeps_the_other() -> None:
    assert decides(rule("r", "web", "self db"), WEB_TO_DB)


@pytest.mark.parametrize(
    ("provider_peer", "expected"),
    [
        ("any", {"acme/web", "acme/db", "203.0.113.9"}),
        ("external", {"203.0.113.9"}),
        ("*/any", {"acme/web", "acme/db"}),
        ("acme/any", {"acme/web", "acme/db"}),
        ("acme/external", {"203.0.113.9"}),
        ("blue/any", set()),
        ("acme/web", {"acme/web"}),
        ("*/web", {"acme/web"}),
        ("blue/web", set()),
    ],
)
def test_provider_peers_within_a_tenant(provider_peer: str, expected: set[str]) -> None:
    provider = Provider(before=(tier("g", rule("r", provider_peer, "any", "reject")),))
    configuration = acme(provider=provider)

    found = {
        source
        for source in ("acme/web", "acme/db", "203.0.113.9")
        if judge(configuration, probe(source, "acme/web2")).verdict is Action.REJECT
    }

    assert found == expected


def test_a_provider_zone_written_without_a_tenant_is_nobodys() -> None:
    nobody = Peer("zone", peer("web").zone)
    one = Rule("r", (nobody,), (peer("any"),), (), Action.ALLOW, at())

    assert judge(acme(provider=Provider(before=(tier("g", one),))), WEB_TO_DB).rule == "acme/default"


@pytest.mark.parametrize(
    ("asked", "matching"),
    [
        ("tcp/80", {"tcp/80", "tcp", "tcp/1-80", "tcp/80-90", "any", "ip/6"}),
        ("tcp/90", {"tcp", "tcp/80-90", "any", "ip/6"}),
        ("tcp/0", {"tcp", "any", "ip/6"}),
        ("tcp/65535", {"tcp", "any", "ip/6"}),
        ("udp/80", {"udp/80", "any"}),
        ("sctp/80", {"sctp", "any"}),
        ("icmp/8/0", {"icmp", "icmp/echo-request", "any"}),
        ("icmp/3/1", {"icmp", "icmp/3", "icmp/3/1", "any"}),
        ("icmp/3/4", {"icmp", "icmp/3", "any"}),
        ("47", {"ip/47", "any"}),
        ("0", {"any"}),
    ],
)
def test_services_by_protocol_port_and_type(asked: str, matching: set[str]) -> None:
    services = (
        "tcp/80 tcp tcp/1-80 tcp/80-90 udp/80 sctp icmp icmp/echo-request icmp/3 icmp/3/1 ip/47 ip/6 any"
    )

    found = {
        text
        for text in services.split()
        if decides(rule("r", "any", "any", services=[text]), probe("acme/web", "acme/db", asked))
    }

    assert found == matching


def test_icmpv6_is_another_protocol_than_icmp() -> None:
    asked = probe("acme/web", "acme/db", "icmpv6/128/0")

    assert decides(rule("r", "any", "any", services=["icmpv6/echo-request"]), asked)
    assert not decides(rule("r", "any", "any", services=["icmp", "icmpv6/129"]), asked)


@pytest.mark.parametrize(
    ("source_port", "expected"), [(1023, False), (1024, True), (65535, True), (None, False)]
)
def test_a_source_port_must_be_in_the_range_and_must_be_known(
    source_port: int | None, expected: bool
) -> None:
    one = rule("r", "any", "any", services=["tcp/80 from 1024-65535"])

    assert decides(one, probe("acme/web", "acme/db", sport=source_port)) is expected


OFFICE = Hours(frozenset({0, 1, 2, 3, 4}), 8 * 60, 18 * 60, "Europe/Berlin")
NIGHT = Hours(frozenset({4}), 22 * 60, 6 * 60, "Europe/Berlin")
ALL_DAY = Hours(frozenset({4}), 0, 0, "UTC")


@pytest.mark.parametrize(
    ("hours", "time", "expected"),
    [
        (OFFICE, "2026-07-03T06:00:00+00:00", True),  # Friday 08:00 in Berlin, summer time
        (OFFICE, "2026-07-03T05:59:59+00:00", False),
        (OFFICE, "2026-07-03T15:59:59+00:00", True),
        (OFFICE, "2026-07-03T16:00:00+00:00", False),
        (OFFICE, "2026-01-02T07:00:00+00:00", True),  # winter time
        (OFFICE, "2026-07-04T10:00:00+00:00", False),  # Saturday
        (NIGHT, "2026-07-03T22:00:00+02:00", True),
        (NIGHT, "2026-07-04T05:59:00+02:00", True),  # Saturday morning still belongs to Friday
        (NIGHT, "2026-07-04T06:00:00+02:00", False),
        (NIGHT, "2026-07-04T22:00:00+02:00", False),
        (NIGHT, "2026-07-03T05:00:00+02:00", False),  # Friday morning belonged to Thursday
        (ALL_DAY, "2026-07-03T00:00:00Z", True),
        (ALL_DAY, "2026-07-03T23:59:59Z", True),
        (ALL_DAY, "2026-07-04T00:00:00Z", False),
    ],
)
def test_hours_are_wall_clock_and_the_night_belongs_to_its_evening(
    hours: Hours, time: str, expected: bool
) -> None:
    assert decides(rule("r", "any", "any", hours=hours), probe("acme/web", "acme/db", time=time)) is expected


@pytest.mark.parametrize(("time", "expected"), [("11:59:59", True), ("12:00:00", False)])
def test_a_rule_is_gone_at_the_moment_it_expires(time: str, expected: bool) -> None:
    one = rule("r", "any", "any", expires=datetime.fromisoformat("2026-07-03T12:00:00Z"))

    assert decides(one, probe("acme/web", "acme/db", time=f"2026-07-03T{time}Z")) is expected


def test_without_a_time_nothing_is_said_where_a_rule_depends_on_it() -> None:
    configuration = acme(tier("t", rule("r", "any", "any", hours=OFFICE)))

    assert isinstance(verdict(configuration, WEB_TO_DB), ProbeError)


def test_modifiers_of_the_deciding_rule_are_reported() -> None:
    one = rule(
        "r",
        "web",
        "db",
        log="connections",
        mirror=("tap", "ids"),
        through=("waf", "ips"),
        location=at(17, "acme.yaml"),
    )

    assert judge(acme(tier("t", one)), WEB_TO_DB) == Verdict(
        Action.ALLOW, "acme/t/r", "acme.yaml:17", "t", ("ids", "tap"), ("waf", "ips"), "connections"
    )


def test_modifiers_of_rules_that_pass_are_not_the_connections() -> None:
    passed = rule("p", "web", "db", "pass", mirror=("ids",), log="connections")

    answer = judge(acme(tier("a", passed), tier("b", rule("r", "web", "db"))), WEB_TO_DB)

    assert (answer.mirror, answer.log) == ((), "none")


MIRRORS: tuple[MirrorRule, ...] = tuple(
    mirror(when, "any", "db", when, targets=[when]) for when in ("before", "allowed", "dropped")
)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("allow", ("allowed", "before", "ids")),
        ("drop", ("before", "dropped", "ids")),
        ("reject", ("before", "dropped", "ids")),
    ],
)
def test_mirrors_never_change_the_verdict_and_join_the_rules_own(
    action: str, expected: tuple[str, ...]
) -> None:
    configuration = acme(tier("t", rule("r", "web", "db", action, mirror=("ids",))), mirrors=MIRRORS)

    answer = judge(configuration, WEB_TO_DB)

    assert (answer.verdict.value, answer.mirror) == (action, expected)


def test_a_mirror_asks_for_its_own_peers_and_services() -> None:
    watch = mirror("m", "external", "db", services=["tcp/5432"])
    configuration = acme(mirrors=(watch,))

    asked = [probe("203.0.113.9", "acme/db", f"tcp/{port}") for port in (5432, 80)]
    asked.append(probe("acme/web", "acme/db", "tcp/5432"))

    assert [judge(configuration, each).mirror for each in asked] == [("ids",), (), ()]
