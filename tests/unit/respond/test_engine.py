"""Which alerts lead to what: words, numbers, severity, counts, caps, exemptions, time."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from zonewall.policy.findings import Location
from zonewall.policy.model import Response
from zonewall.respond.alert import Alert
from zonewall.respond.engine import Engine, Outcome
from zonewall.values.names import EndpointKey

NOW = 1_000_000.0


def rule(**keys: Any) -> Response:
    return Response("r", keys.pop("action", "quarantine"), Location("provider.yaml", 1, 1), **keys)


def alert(
    attacker: str = "10.0.0.1", at: float = NOW, signature: str = "ET SCAN Nmap", severity: int = 2
) -> Alert:
    return Alert(at, signature, 2024364, severity, ip_address(attacker), ip_address("10.0.0.200"))


def find(told: Alert, who: str) -> EndpointKey | None:
    address = str(told.attacker if who == "attacker" else told.victim)
    return EndpointKey(f"acme/{address}") if address.startswith("10.0.0.") else None


def outcomes(engine: Engine, one: Response, *alerts: Alert, now: float = NOW, exempt: str = "") -> list[str]:
    found = []
    for told in alerts:
        decided = engine.take(told, [one], find, lambda _, key: key == exempt, now)
        found += [decision.outcome.value for decision in decided]
    return found


@pytest.mark.parametrize(
    ("signature", "is_meant"),
    [
        (None, True),
        ("ET SCAN *", True),
        ("et scan nmap", True),
        ("2024364", True),
        ("1", False),
        ("nmap", False),
    ],
)
def test_a_signature_is_named_by_words_with_stars_or_by_its_number(
    signature: str | None, is_meant: bool
) -> None:
    assert outcomes(Engine(), rule(signature=signature), alert()) == ["act"] * is_meant


@pytest.mark.parametrize(("severity", "is_meant"), [(1, False), (2, True), (3, True), (None, True)])
def test_a_severity_means_that_or_worse(severity: int | None, is_meant: bool) -> None:
    assert outcomes(Engine(), rule(severity=severity), alert()) == ["act"] * is_meant


def test_a_count_within_a_window_is_counted_for_each_endpoint() -> None:
    engine, counting = Engine(), rule(count=3, within_s=10)
    told = [alert(at=NOW - 40), alert(at=NOW - 5), alert("10.0.0.2"), alert(at=NOW - 3), alert(at=NOW)]
    assert outcomes(engine, counting, *told) == ["counted", "counted", "counted", "counted", "act"]


def test_what_is_in_force_is_not_done_twice_and_its_time_begins_anew() -> None:
    engine, short = Engine(), rule(expires_s=60)
    assert outcomes(engine, short, alert()) == ["act"]
    assert outcomes(engine, short, alert(at=NOW + 30), now=NOW + 30) == ["standing"]
    assert engine.expire(NOW + 61) == []
    assert engine.expire(NOW + 90) == [("r", "acme/10.0.0.1")]
    assert outcomes(engine, short, alert(at=NOW + 91), now=NOW + 91) == ["act"]


def test_no_more_endpoints_of_a_tenant_than_the_cap_are_restrained_in_an_hour() -> None:
    engine, capped = Engine(), rule(at_most=2)
    forged = [alert(f"10.0.0.{number}") for number in range(1, 6)]
    assert outcomes(engine, capped, *forged) == ["act", "act", "capped", "capped", "capped"]
    later = NOW + 3601
    assert outcomes(engine, capped, alert("10.0.0.9", at=later), now=later) == ["act"]


def test_an_exempt_endpoint_is_left_alone() -> None:
    assert outcomes(Engine(), rule(), alert(), exempt="acme/10.0.0.1") == ["exempt"]


def test_a_dry_run_says_what_would_be_done_and_does_nothing() -> None:
    engine = Engine()
    assert outcomes(engine, rule(monitor=True), alert()) == ["would-act"]
    assert engine.standing == {}


def test_notify_only_tells() -> None:
    assert outcomes(Engine(), rule(action="notify"), alert(), alert()) == ["notify", "notify"]


@pytest.mark.parametrize("age_s", [400, -120])
def test_an_event_of_another_time_says_nothing_about_who_has_the_address_now(age_s: float) -> None:
    assert outcomes(Engine(), rule(), alert(at=NOW - age_s)) == [Outcome.STALE.value]


def test_an_address_of_nobody_is_told_as_such() -> None:
    assert outcomes(Engine(), rule(), alert("192.0.2.1")) == ["nobody"]


def test_the_victim_may_be_who_is_meant() -> None:
    engine = Engine()
    assert outcomes(engine, rule(who="victim"), alert()) == ["act"]
    assert list(engine.standing) == [("r", "acme/10.0.0.200")]
