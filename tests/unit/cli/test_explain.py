"""``zonewall explain``: the verdict, the tiers on the way, what follows, and the flows that carry it out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zonewall.cli.app import build_app
from zonewall.errors import ZonewallError

DEMO = str(Path(__file__).parents[3] / "policies" / "demo")
PLACEMENT = """
placements:
  - {endpoint: acme/web1, host: hv1, bridge: br-int, ofport: 5}
  - {endpoint: acme/db1, host: hv2, bridge: br-int, ofport: 6}
  - {endpoint: acme/web2, host: hv2, bridge: br-int, ofport: 7, state: quarantined}
ports:
  - {host: hv1, bridge: br-int, name: fab0, ofport: 1}
  - {host: hv1, bridge: br-int, name: waf-in, ofport: 2}
  - {host: hv1, bridge: br-int, name: waf-out, ofport: 3}
  - {host: hv2, bridge: br-int, name: fab0, ofport: 1}
  - {host: hv2, bridge: br-int, name: ids0, ofport: 2}
links: [{a: hv1/br-int/1, b: hv2/br-int/1}]
"""


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(build_app(), ["explain", *words])
    if isinstance(done.exception, ZonewallError):
        return 2, str(done.exception)
    return done.exit_code, done.output


def asked(service: str, *more: str, source: str = "acme/web1") -> dict[str, Any]:
    words = [DEMO, "--from", source, "--to", "acme/db1", "--service", service, "--output", "json", *more]
    code, text = run(*words)
    assert code == 0, text
    document: dict[str, Any] = json.loads(text)
    return document


@pytest.fixture
def placement(tmp_path: Path) -> str:
    file = tmp_path / "placement.yaml"
    file.write_text(PLACEMENT)
    return str(file)


def test_it_names_the_rule_its_line_and_every_tier_that_was_asked() -> None:
    told = asked("tcp/5432")
    assert (told["verdict"], told["rule"]) == ("allow", "acme/application/app-db")
    assert told["at"].startswith("acme.yaml:")
    tiers = [(one["author"], one["tier"], one["result"], one["rule"]) for one in told["tiers"]]
    assert tiers == [
        ("provider", "guardrails", "no rule", None),
        ("acme", "application", "allow", "acme/application/app-db"),
    ]
    assert told["tiers"][1]["at"] == told["at"]


def test_it_says_what_else_happens_to_the_connection() -> None:
    told = asked("tcp/5432")
    assert (told["mirror"], told["through"], told["monitored"]) == (["ids"], ["waf"], False)
    assert told["from"] == {
        "tenant": "acme",
        "endpoint": "acme/web1",
        "address": "10.0.0.1",
        "zones": ["web"],
    }


def test_a_default_decides_after_all_tiers_said_nothing() -> None:
    told = asked("tcp/22")
    assert (told["verdict"], told["rule"], told["tier"]) == ("drop", "acme/default", "default")
    assert [one["result"] for one in told["tiers"]] == ["no rule", "no rule"]


def test_its_flows_lead_from_the_source_through_the_appliance_to_the_destination(placement: str) -> None:
    path = asked("tcp/5432", "--flows", "--placement", placement)["path"]
    assert path["arrives"] is True
    assert path["visits"][0]["bridge"] == "hv1/br-int"
    assert {(one["kind"], one["name"]) for one in path["departures"]} == {
        ("function", "waf"),
        ("mirror", "ids"),
        ("endpoint", "acme/db1"),
    }


def test_each_flow_that_stands_for_a_rule_names_it_by_its_cookie(placement: str) -> None:
    path = asked("tcp/22", "--flows", "--placement", placement)["path"]
    rules = {
        (flow["rule"], flow["at"]) for visit in path["visits"] for flow in visit["flows"] if flow["rule"]
    }
    assert path["arrives"] is False
    assert {rule for rule, _ in rules} == {"acme/default"}
    assert all(at.startswith("acme.yaml:") for _, at in rules)


def test_isolation_stands_above_the_verdict_and_is_said(placement: str) -> None:
    told = asked("tcp/5432", "--flows", "--placement", placement, source="acme/web2")
    assert told["verdict"] == "allow"
    assert (told["path"]["isolated"], told["path"]["arrives"]) == (["acme/web2"], False)
    assert told["live"]["differences"] == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (
            ["--from", "acme/web9", "--to", "acme/db1", "--service", "tcp/80"],
            "write an endpoint as tenant/name; did you mean 'acme/web",
        ),
        (["--from", "acme/web1", "--to", "db1", "--service", "tcp/80"], "tenant/name"),
        (["--from", "acme/web1", "--to", "acme/db1", "--service", "tcp"], "tcp/443"),
        (["--from", "acme/web1", "--to", "acme/db1", "--service", "tcp/1-9"], "one port"),
        (["--from", "acme/web1", "--to", "acme/db1", "--service", "icmp"], "icmp/echo-request"),
        (["--from", "acme/web1", "--to", "acme/db1", "--service", "tcp/1", "--time", "noon"], "2026-07-03"),
        (["--from", "acme/web1", "--to", "acme/db1", "--service", "tcp/1", "--flows"], "--placement"),
    ],
)
def test_a_question_that_cannot_be_answered_says_what_would_do(words: list[str], hint: str) -> None:
    code, text = run(DEMO, *words)
    assert code == 2
    assert hint in text
    assert "\n" not in text
