"""Lint: shadowed, redundant and contradictory rules, parts and zones that nobody needs, rules that end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zonewall.cli.app import build_app
from zonewall.intent.analysis.lint import Remark, lint
from zonewall.policy.load import load_texts

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
INVENTORY = """
kind: inventory
endpoints:
  - {name: web1, tenant: acme, iface-id: w1, mac: "52:54:00:00:00:01", ips: [10.0.0.1], labels: {role: web}}
  - {name: web2, tenant: acme, iface-id: w2, mac: "52:54:00:00:00:02", ips: [10.0.0.2], labels: {role: web}}
  - {name: db1, tenant: acme, iface-id: d1, mac: "52:54:00:00:00:03", ips: [10.0.0.3], labels: {role: db}}
mirror-targets: {ids: {tunnel: gre, remote: 192.0.2.9}}
"""
ZONES = """
kind: tenant
tenant: acme
zones:
  web: {labels: {role: web}}
  db: {labels: {role: db}}
  lan: {cidrs: [192.0.2.0/24]}
  host: {cidrs: [192.0.2.7/32]}
"""


def documents(*rules: str, more: str = "") -> dict[str, bytes]:
    lines = "".join(f"      - {{{rule}}}\n" for rule in rules)
    acme = f"{ZONES}tiers:\n  - name: t\n    rules:\n{lines}{more}" if rules else ZONES + more
    return {"acme.yaml": acme.encode(), "inventory.yaml": INVENTORY.encode()}


def remarks(*rules: str, more: str = "", soon: timedelta = timedelta(days=14)) -> list[Remark]:
    result = load_texts(documents(*rules, more=more))
    assert result.configuration is not None, result.findings
    return list(lint(result.configuration, NOW, soon))


def codes(*rules: str, more: str = "") -> list[tuple[str, str]]:
    return [(one.code, one.subject.rpartition("/")[2]) for one in remarks(*rules, more=more)]


WEB_DB = "name: app, from: web, to: db, services: [tcp/5432], action: allow"
NO_TO_DB = "name: rest, from: any, to: db, action: reject"


def test_a_policy_of_which_every_line_is_needed_has_no_remark() -> None:
    assert codes(WEB_DB, NO_TO_DB) == []


def test_a_rule_that_earlier_ones_decide_together_is_shadowed_with_a_witness() -> None:
    halves = (
        "name: low, from: any, to: db, services: [tcp/1-5000], action: allow",
        "name: high, from: any, to: db, services: [tcp/5001-65535, tcp/0], action: allow",
    )

    (found,) = remarks(*halves, "name: app, from: web, to: db, services: [tcp/5000-5001], action: drop")

    assert (found.code, found.subject, found.other) == ("shadowed", "acme/t/app", "acme/t/low")
    assert str(found) == (
        "acme.yaml:14:9: shadowed: acme/t/app is never reached: what it is about is decided before, here by "
        "acme/t/low [acme/web1 (10.0.0.1) to acme/db1 (10.0.0.3), tcp/5000: allow by acme/t/low "
        "(acme.yaml:12)]"
    )


def test_a_rule_of_an_earlier_tier_shadows_too() -> None:
    second = "  - name: second\n    rules:\n      - {name: late, from: web, to: db, action: reject}\n"

    assert codes("name: all, from: web, to: db, action: allow", more=second) == [("shadowed", "late")]


def test_a_rule_that_holds_only_at_times_shadows_nothing() -> None:
    at_night = 'name: night, from: web, to: db, action: drop, hours: {days: sun, from: "01:00", to: "02:00"}'

    assert codes(at_night, "name: app, from: web, to: db, action: allow") == []


def test_a_rule_after_which_the_same_would_be_decided_is_redundant() -> None:
    (found,) = remarks(WEB_DB, "name: wide, from: web, to: db, services: [tcp], action: allow")

    assert (found.code, found.subject, found.other) == ("redundant", "acme/t/app", "acme/t/wide")
    assert found.witness is not None
    assert found.witness.verdict.rule == "acme/t/app"


@pytest.mark.parametrize("modifier", ["log: connections", "mirror: [ids]", "limit: 10mbps"])
def test_a_rule_that_asks_for_more_than_the_next_is_needed(modifier: str) -> None:
    assert (
        codes(f"{WEB_DB}, {modifier}", "name: wide, from: web, to: db, services: [tcp], action: allow") == []
    )


def test_of_two_equal_rules_the_later_is_told_and_not_both() -> None:
    assert codes(WEB_DB, WEB_DB.replace("app", "again")) == [("shadowed", "again")]


def test_rules_that_overlap_and_say_the_contrary_are_told_and_an_exception_is_none() -> None:
    drop_from_lan = "name: no-lan, from: lan, to: any, action: drop"
    allow_web = "name: shop, from: any, to: web, services: [tcp/443], action: allow"

    (found,) = remarks(drop_from_lan, allow_web)

    assert (found.code, found.subject, found.other) == ("contradictory", "acme/t/shop", "acme/t/no-lan")
    assert found.witness is not None
    assert str(found.witness).startswith("192.0.2.0 to acme/web1 (10.0.0.1), tcp/443: drop by acme/t/no-lan")
    assert codes("name: but, from: host, to: web, services: [tcp/443], action: drop", allow_web) == []


def test_a_part_that_an_earlier_rule_always_decides_is_not_needed() -> None:
    no_db = "name: no-db, from: db, to: any, action: reject"
    both = "name: up, from: [web, db], to: web, services: [tcp/1, udp/1], action: allow"
    no_udp = "name: no-udp, from: any, to: any, services: [udp], action: drop"

    found = [one.message for one in remarks(no_db, no_udp, both) if one.code == "unneeded-part"]

    assert found == [
        "acme/t/up decides nothing about db in `from`; leave it out",
        "acme/t/up decides nothing about udp/1; leave it out of `services`",
    ]


def test_every_service_open_to_the_outside_is_wide() -> None:
    (found,) = remarks("name: all, from: any, to: web, action: allow")

    assert (found.code, found.message) == (
        "wide",
        "acme/t/all lets every service in from outside; name the services that are needed",
    )
    assert codes("name: all, from: web, to: any, action: allow") == []


def test_a_zone_that_nobody_is_in_is_told_by_any_selector() -> None:
    more = "default: drop\nmirrors: []\nservices: {x: [tcp/1]}\n"
    zones = ZONES.replace("  host:", "  gone: {labels: {role: web}, cidrs: [10.0.0.3/32]}\n  host:")
    texts = {"acme.yaml": (zones + more).encode(), "inventory.yaml": INVENTORY.encode()}
    result = load_texts(texts)
    assert result.configuration is not None

    assert [(one.code, one.subject) for one in lint(result.configuration, NOW)] == [
        ("empty-zone", "acme/gone")
    ]


def test_rules_that_ended_or_will_soon_are_told() -> None:
    past = f"{WEB_DB}, expires: 2026-06-01T00:00:00Z"
    near = f"{WEB_DB.replace('app', 'near')}, expires: 2026-07-10T00:00:00Z"
    far = f"{WEB_DB.replace('app', 'far')}, expires: 2027-07-10T00:00:00Z"

    found = {(one.code, one.subject.rpartition("/")[2]) for one in remarks(past, near, far)}

    assert {("expired", "app"), ("expires-soon", "near")} <= found
    assert not any(subject == "far" and code.startswith("expire") for code, subject in found)


def write(folder: Path, texts: dict[str, bytes]) -> str:
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return str(folder)


def test_the_command_writes_text_or_json_and_its_exit_code_says_whether_there_is_any_remark(
    tmp_path: Path,
) -> None:
    folder = write(tmp_path, documents(WEB_DB, WEB_DB.replace("app", "again")))

    text = CliRunner().invoke(build_app(), ["lint", folder])
    plain = CliRunner().invoke(build_app(), ["lint", folder, "--output", "json"])

    assert (text.exit_code, plain.exit_code) == (1, 1)
    assert "shadowed: acme/t/again is never reached" in text.output
    (remark,) = json.loads(plain.output)["remarks"]
    assert set(remark) == {"code", "subject", "file", "line", "column", "message", "other", "witness"}
    assert remark["witness"]["rule"] == "acme/t/app"
    probe = json.dumps(remark["witness"]["probe"])
    again = CliRunner().invoke(build_app(), ["check", folder, "--probes", "-"], input=probe)
    assert json.loads(again.output)["rule"] == "acme/t/app"


def test_a_clean_configuration_exits_0_and_an_invalid_one_2(tmp_path: Path) -> None:
    clean = CliRunner().invoke(build_app(), ["lint", write(tmp_path, documents(WEB_DB))])
    write(tmp_path, {"wrong.yaml": b"kind: nonsense"})
    wrong = CliRunner().invoke(build_app(), ["lint", str(tmp_path)])

    assert (clean.exit_code, clean.output.endswith("0 remark(s)\n")) == (0, True)
    assert wrong.exception is not None
    assert "kind: inventory" in str(wrong.exception)


def test_a_provider_rule_that_decides_only_between_tenants_is_not_called_shadowed() -> None:
    blue = b"kind: tenant\ntenant: blue\n"
    more = (
        INVENTORY.partition("mirror-targets")[0].replace("acme", "blue").replace("iface-id: ", "iface-id: b")
    )
    provider = (
        "kind: provider\nafter:\n  - name: last\n    rules:\n"
        "      - {name: open, from: any, to: any, action: allow}\n"
        "      - {name: apart, from: acme/any, to: [any, blue/any], action: reject}\n"
        "      - {name: never, from: acme/any, to: any, action: drop}\n"
    )
    texts = {**documents(), "blue.yaml": blue, "more.yaml": more.encode(), "provider.yaml": provider.encode()}

    result = load_texts(texts)
    assert result.configuration is not None, result.findings
    told = [(one.code, one.subject) for one in lint(result.configuration, NOW)]

    assert ("shadowed", "provider/last/apart") not in told
    assert ("shadowed", "provider/last/never") in told
