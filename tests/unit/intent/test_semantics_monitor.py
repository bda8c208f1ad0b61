"""Monitor mode: what would be dropped passes, with the rule that would have dropped it."""

from __future__ import annotations

import pytest

from support.configurations import configure, endpoint, mirror, probe, rule, tenant, tier, zone
from zonewall.intent.semantics import Verdict, verdict
from zonewall.policy.model import Action, Mode, Provider

MONITOR, ENFORCE = Mode.MONITOR, Mode.ENFORCE
ENDPOINTS = (
    endpoint("acme/web", "10.0.0.1", labels={"role": "web"}),
    endpoint("acme/db", "10.0.0.2", labels={"role": "db"}),
)


def judge(
    action: str = "drop",
    *,
    of_rule: Mode | None = None,
    of_tier: Mode | None = None,
    of_zone: Mode = ENFORCE,
    of_tenant: Mode = ENFORCE,
    **fields: object,
) -> Verdict:
    zones = [zone("web", labels={"role": "web"}), zone("db", of_zone, labels={"role": "db"})]
    own = tier("t", rule("r", "web", "db", action, mode=of_rule, mirror=("tap",)), mode=of_tier)
    configuration = configure(*ENDPOINTS, tenant("acme", own, zones=zones, mode=of_tenant, **fields))
    answer = verdict(configuration, probe("acme/web", "acme/db"))
    assert isinstance(answer, Verdict)
    return answer


@pytest.mark.parametrize("action", ["drop", "reject"])
@pytest.mark.parametrize("where", ["of_rule", "of_tier", "of_zone", "of_tenant"])
def test_a_watched_refusal_passes_and_names_itself(action: str, where: str) -> None:
    answer = judge(action, **{where: MONITOR})

    assert (answer.verdict, answer.monitored, answer.rule, answer.mirror) == (
        Action.ALLOW,
        True,
        "acme/t/r",
        ("tap",),
    )


@pytest.mark.parametrize("where", ["of_rule", "of_tier", "of_zone", "of_tenant"])
def test_an_allow_is_never_monitored(where: str) -> None:
    assert judge("allow", **{where: MONITOR}).monitored is False


@pytest.mark.parametrize(
    ("modes", "monitored"),
    [
        ({"of_rule": ENFORCE, "of_tier": MONITOR}, False),
        ({"of_rule": MONITOR, "of_tier": ENFORCE}, True),
        ({"of_rule": ENFORCE, "of_tenant": MONITOR}, False),
        ({"of_tier": ENFORCE, "of_zone": MONITOR}, False),
        ({"of_zone": MONITOR, "of_tenant": ENFORCE}, True),
    ],
)
def test_the_nearest_word_about_the_mode_wins(modes: dict[str, Mode], monitored: bool) -> None:
    answer = judge("drop", **modes)

    assert (answer.monitored, answer.verdict is Action.ALLOW) == (monitored, monitored)


@pytest.mark.parametrize("where", ["of_tenant", "of_zone"])
@pytest.mark.parametrize("default", ["drop", "reject"])
def test_a_default_is_watched_with_its_tenant_or_a_zone_of_an_end(where: str, default: str) -> None:
    answer = judge("pass", default=default, **{where: MONITOR})

    assert (answer.verdict, answer.monitored, answer.rule) == (Action.ALLOW, True, "acme/default")


def test_a_default_of_allow_is_no_refusal_to_watch() -> None:
    assert judge("pass", default="allow", of_tenant=MONITOR).monitored is False


def test_what_is_only_watched_counts_as_allowed_for_mirrors() -> None:
    mirrors = tuple(mirror(when, "any", "any", when, targets=[when]) for when in ("allowed", "dropped"))

    assert judge("drop", of_rule=MONITOR, mirrors=mirrors).mirror == ("allowed", "tap")


@pytest.mark.parametrize(
    ("of_rule", "of_tier", "monitored"),
    [(None, None, False), (MONITOR, None, True), (None, MONITOR, True), (ENFORCE, MONITOR, False)],
)
def test_a_providers_rule_is_watched_by_its_own_word_alone(
    of_rule: Mode | None, of_tier: Mode | None, monitored: bool
) -> None:
    guard = tier("g", rule("no", "any", "any", "drop", mode=of_rule), mode=of_tier)
    watched = tenant("acme", zones=[zone("all", MONITOR)], mode=MONITOR)
    configuration = configure(*ENDPOINTS, watched, provider=Provider(before=(guard,)))

    answer = verdict(configuration, probe("acme/web", "acme/db"))

    assert isinstance(answer, Verdict)
    assert (answer.rule, answer.monitored) == ("provider/g/no", monitored)
