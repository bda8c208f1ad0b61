"""What happens to live connections of a rule that goes, and rules that end at a known moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from support.compiled import FIRST, CompiledFleet, Port, Seen
from support.configurations import configure, endpoint, probe, rule, service, tenant, tier, zone
from zonewall.flows.diff import diff_state
from zonewall.flows.encoded import BridgeState
from zonewall.flows.ending import MOST_S, program_with_timeouts, seconds_left, with_timeouts
from zonewall.flows.simulate.packet import Packet
from zonewall.flows.wire import encode_program
from zonewall.intent.passing import Outliving, Passing, outliving_after, rule_ends
from zonewall.intent.semantics import Probe
from zonewall.pipeline.tables import VERDICT_TABLE
from zonewall.policy.model import Configuration, Hours, OnChange, Provider, Rule, Tier
from zonewall.values.names import EndpointKey, TenantName

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)  # a Wednesday
NOW_S = int(NOW.timestamp())
WEB, DB = EndpointKey("acme/web"), EndpointKey("acme/db")
ASK = probe(WEB, DB, "tcp/5432", sport=40000)
OTHER = probe(WEB, DB, "tcp/5432", sport=40001)


def acme(*rules: Rule, provider: Provider = Provider()) -> Configuration:  # noqa: B008
    ends = (
        endpoint(WEB, "10.0.0.1", labels={"role": "web"}),
        endpoint(DB, "10.0.0.2", labels={"role": "db"}),
    )
    zones = [zone("web", labels={"role": "web"}), zone("db", labels={"role": "db"})]
    last = rule("last", "any", "db", "drop")
    return configure(*ends, tenant("acme", tier("t", *rules, last), zones=zones), provider=provider)


def app(on_change: str = "cut", seconds: int = 0, **fields: Any) -> Rule:
    how = OnChange(on_change, seconds)  # type: ignore[arg-type]
    return rule("app", "web", "db", services=["tcp/5432"], on_change=how, **fields)


def outlived(before: Configuration, after: Configuration, known: tuple[Outliving, ...] = ()) -> Passing:
    nothing = frozenset[str]()
    return Passing(outliving=outliving_after((before, nothing), (after, nothing), known, NOW_S))


def follow(before: Configuration, after: Configuration, passing: Passing) -> CompiledFleet:
    """Return the bridges after a change, with the connection of ``ASK`` that began before it."""
    old = CompiledFleet(before)
    assert old.judge(ASK).arrived
    new = CompiledFleet(after, numbering=old.policy.numbering, passing=passing)
    new.tracked = old.tracked
    return new


def send(fleet: CompiledFleet, asked: Probe, flags: int, back: bool = False) -> Seen:
    if back:
        asked = replace(
            asked, source=DB, destination=WEB,
            source_port=asked.destination_port, destination_port=asked.source_port,
        )  # fmt: skip
    place: tuple[Port, Packet] = fleet.entering(asked, *fleet.addresses(asked))
    return fleet.send(place[0], place[1].but(tcp_flags=flags))


@pytest.mark.parametrize("how", [("drain", 30), ("keep", 0)])
def test_connections_of_a_rule_that_goes_live_on_both_ways_and_no_new_one_begins(
    how: tuple[str, int],
) -> None:
    before, after = acme(app(*how)), acme()

    fleet = follow(before, after, outlived(before, after))

    assert send(fleet, ASK, 0x12, back=True).arrived
    assert send(fleet, ASK, 0x10).arrived
    assert not send(fleet, OTHER, 0x02).arrived


def test_what_nobody_answers_lives_on_too_and_a_new_one_does_not_begin() -> None:
    """Open vSwitch takes it for new until it is answered; that the rule let it in says its label."""
    log = replace(app("keep"), services=(service("udp/514"), *app().services))
    before, after = acme(log), acme()
    old = CompiledFleet(before)
    stream = probe(WEB, DB, "udp/514", sport=40000)
    assert old.judge(stream).arrived
    unanswered = old.entering(ASK, *old.addresses(ASK))
    assert old.send(*unanswered).arrived
    new = CompiledFleet(after, numbering=old.policy.numbering, passing=outlived(before, after))
    new.tracked = old.tracked

    sent = [new.send(*new.entering(one, *new.addresses(one))) for one in (stream, stream, ASK)]
    others = (replace(stream, source_port=40001), OTHER)
    begin = [new.send(*new.entering(one, *new.addresses(one))) for one in others]

    assert all(seen.arrived for seen in sent)
    assert not any(seen.arrived or seen.cut for seen in begin)


def test_connections_of_a_rule_that_goes_are_cut_unless_it_says_otherwise() -> None:
    before, after = acme(app()), acme()

    passing = outlived(before, after)
    fleet = follow(before, after, passing)

    assert passing.outliving == ()
    assert not send(fleet, ASK, 0x12, back=True).arrived
    assert not send(fleet, ASK, 0x10).arrived


def test_a_tier_before_cuts_what_would_live_on() -> None:
    guard = Provider(before=(tier("g", rule("no", "any", "any", "drop", services=["tcp/5432"])),))
    before, after = acme(app("keep")), acme(provider=guard)

    fleet = follow(before, after, outlived(before, after))

    assert not send(fleet, ASK, 0x10).arrived
    assert not send(fleet, ASK, 0x12, back=True).arrived


def test_a_rule_that_becomes_about_something_else_has_gone_too() -> None:
    narrower = replace(app("drain", 30), destinations=app().sources)

    assert outlived(acme(app("drain", 30)), acme(narrower)).outliving == (
        Outliving("acme/t/app", NOW_S + 30),
    )
    assert (
        outlived(acme(app("drain", 30)), acme(replace(app("drain", 30), log="connections"))).outliving == ()
    )


def test_a_drained_rule_is_remembered_till_its_time_and_a_later_cut_ends_it_at_once() -> None:
    held = (Outliving("acme/t/app", NOW_S + 5), Outliving("acme/t/old", NOW_S))

    assert outlived(acme(), acme(), held).outliving == held[:1]
    assert outlived(acme(app()), acme(), held).outliving == ()


def test_what_went_through_a_service_function_never_lives_on_without_it() -> None:
    assert outlived(acme(app("keep", through=("waf",))), acme()).outliving == ()


def test_the_flow_of_a_drained_rule_ends_without_the_controller() -> None:
    before, after = acme(app("drain", 30)), acme()
    fleet = follow(before, after, outlived(before, after))

    ending = [flow for flow in program_with_timeouts(fleet.programs[FIRST], NOW_S).flows if flow.ends_at]

    assert [(flow.table, flow.hard_timeout_s) for flow in ending] == [(VERDICT_TABLE, 30)]


def test_an_allow_that_expires_has_a_timeout_and_a_drop_has_none() -> None:
    ends = datetime(2026, 7, 1, 13, tzinfo=UTC)
    stop = rule("stop", "web", "db", "drop", services=["tcp/1"], expires=ends)
    configuration = acme(stop, app(expires=ends))

    found = rule_ends(configuration, NOW)
    fleet = CompiledFleet(configuration, passing=Passing(found))
    timeouts = {f.hard_timeout_s for f in program_with_timeouts(fleet.programs[FIRST], NOW_S).flows}

    assert found == {"acme/t/app": NOW_S + 3600}
    assert timeouts == {0, 3600}


def test_an_allow_may_expire_in_the_last_hour_that_can_be_written() -> None:
    ends = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(-timedelta(hours=5)))

    assert rule_ends(acme(app(expires=ends)), NOW) == {"acme/t/app": 253402318799}


def test_hours_end_at_the_end_of_the_days_that_follow_each_other() -> None:
    def hours(days: set[int], since: int, until: int) -> dict[str, int]:
        return rule_ends(acme(app(hours=Hours(frozenset(days), since, until, "Europe/Berlin"))), NOW)

    six_in_the_evening = int(datetime(2026, 7, 1, 16, tzinfo=UTC).timestamp())
    midnight_after_friday = int(datetime(2026, 7, 3, 22, tzinfo=UTC).timestamp())

    assert hours({2}, 8 * 60, 18 * 60) == {"acme/t/app": six_in_the_evening}
    assert hours({0, 1, 2, 3, 4}, 0, 0) == {"acme/t/app": midnight_after_friday}
    assert hours({0, 1, 2, 3, 4, 5, 6}, 0, 0) == {}
    assert hours({3}, 8 * 60, 18 * 60) == {}  # it does not hold now


def test_a_timeout_is_given_once_the_end_is_near_enough_to_be_said() -> None:
    assert seconds_left(0, NOW_S) == 0
    assert seconds_left(NOW_S + MOST_S + 1, NOW_S) == 0
    assert seconds_left(NOW_S + MOST_S, NOW_S) == MOST_S
    assert seconds_left(NOW_S - 5, NOW_S) == 1
    assert seconds_left(NOW_S + 2, NOW_S + 0.3) == 2, "it does not end before its moment"


def test_time_alone_changes_no_flow_and_another_end_changes_its_own() -> None:
    def state(end: int, now: int) -> BridgeState:
        fleet = CompiledFleet(acme(app()), passing=Passing({"acme/t/app": end}))
        return with_timeouts(encode_program(fleet.programs[FIRST]), now)

    end = NOW_S + 1000
    assert not diff_state(state(end, NOW_S), state(end, NOW_S + 500))
    assert diff_state(state(end, NOW_S), state(end + 100, NOW_S)).flows.put
    assert diff_state(state(NOW_S + MOST_S + 9, NOW_S), state(NOW_S + MOST_S + 9, NOW_S + 10)).flows.put
    over = diff_state(state(end, NOW_S), state(end, end)).flows
    assert over.delete, "what is over is not put back"
    assert not over.put


def test_a_rule_that_is_outlived_adds_one_flow_and_touches_no_other() -> None:
    before, after = acme(app("keep")), acme()
    plain = CompiledFleet(after, numbering=CompiledFleet(before).policy.numbering)
    fleet = follow(before, after, outlived(before, after))

    extra = set(fleet.programs[FIRST].flows) - set(plain.programs[FIRST].flows)

    assert {flow.table for flow in extra} == {VERDICT_TABLE}
    assert len(extra) == 1


def test_an_emptied_tier_keeps_its_place_before_one_that_drops() -> None:
    stop = tier("stop", rule("no", "any", "any", "drop"))
    ends = acme().inventory.endpoints.values()
    zones = acme().tenants[TenantName("acme")].zones.values()
    tiers = tier("t", app("keep")), tier("t")
    before, after = (configure(*ends, tenant("acme", one, stop, zones=zones)) for one in tiers)

    fleet = follow(before, after, outlived(before, after))

    assert send(fleet, ASK, 0x10).arrived
    assert not send(fleet, OTHER, 0x02).arrived


# Between tenants: acme's clients ask blue's server

ACROSS = probe(WEB, "blue/db", "tcp/5432", sport=40000)
PG = rule("pg", "web", "blue-db", services=["tcp/5432"])
KEPT = rule("in", "any", "db", services=["tcp/5432"], on_change=OnChange("keep"))
ONLY_OTHERS = rule("others", "own", "own", services=["tcp/80"])
WATCH = rule("watch", "acme/web", "blue/db", services=["tcp/5432"], on_change=OnChange("keep"))


def joined(*tiers: Tier, asks: Rule | None = PG, provider: Tier | None = None) -> Configuration:
    ends = (
        endpoint(WEB, "10.0.0.1", labels={"role": "web"}),
        endpoint("blue/db", "10.0.0.2", labels={"role": "db"}),
        endpoint("blue/own", "10.0.0.3", labels={"role": "own"}),
    )
    asking = tenant(
        "acme", tier("t", *[asks] if asks else []), zones=[zone("web", labels={"role": "web"})],
        imports=[("blue/db", "blue-db")],
    )  # fmt: skip
    zones = [zone("db", labels={"role": "db"}), zone("own", labels={"role": "own"})]
    asked = tenant("blue", *tiers, zones=zones, exports=[("db", "acme")])
    return configure(*ends, asking, asked, provider=Provider(before=(provider,) if provider else ()))


def across(before: Configuration, after: Configuration) -> list[Seen]:
    """Return an answer and a packet of a connection after a change, and what would begin another one."""
    old = CompiledFleet(before)
    assert old.judge(ACROSS).arrived
    new = CompiledFleet(after, numbering=old.policy.numbering, passing=outlived(before, after))
    new.tracked = old.tracked
    answer = replace(
        ACROSS, source=ACROSS.destination, destination=WEB, source_port=5432, destination_port=40000
    )
    sent = [(answer, 0x12), (ACROSS, 0x10), (replace(ACROSS, source_port=40001), 0x02)]
    found = []
    for asked, flags in sent:
        port, frame = new.entering(asked, *new.addresses(asked))
        found.append(new.send(port, frame.but(tcp_flags=flags)))
    return found


@pytest.mark.parametrize(
    "after",
    [joined(tier("t")), joined(tier("t", ONLY_OTHERS)), joined(), joined(tier("u", ONLY_OTHERS))],
    ids=["tier-emptied", "rest-of-the-tier-within-the-tenant", "no-tier-left", "tier-gone"],
)
def test_between_tenants_they_live_on_whatever_else_is_in_the_tier(after: Configuration) -> None:
    answer, goes_on, begins = across(joined(tier("t", KEPT)), after)

    assert answer.arrived
    assert goes_on.arrived
    assert not begins.arrived


@pytest.mark.parametrize("after", [tier("p"), None], ids=["tier-emptied", "tier-gone"])
def test_between_tenants_those_of_the_providers_rule_live_on_as_well(after: Tier | None) -> None:
    before, later = joined(provider=tier("p", WATCH), asks=None), joined(provider=after, asks=None)

    answer, goes_on, begins = across(before, later)

    assert answer.arrived
    assert goes_on.arrived
    assert not begins.arrived


def test_between_tenants_the_source_ends_what_the_destination_would_keep() -> None:
    for rest in ([tier("t")], [tier("t", KEPT)], []):
        answer, goes_on, begins = across(joined(tier("t", KEPT)), joined(*rest, asks=None))

        assert not any(seen.arrived for seen in (answer, goes_on, begins))
        assert answer.cut, "and it is told"
