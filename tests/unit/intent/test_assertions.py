"""Assertions: tests of the policy beside it; what breaks one is refused with a connection that shows it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zonewall.cli.app import build_app
from zonewall.errors import ConfigurationError
from zonewall.intent.analysis.acceptance import accept, load_accepted
from zonewall.intent.analysis.assertions import broken_assertions
from zonewall.policy.load import load_texts
from zonewall.reconciler.reconciler import Reconciler

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)  # a Wednesday
INVENTORY = """
kind: inventory
endpoints:
  - {name: web1, tenant: acme, iface-id: w1, mac: "52:54:00:00:00:01", ips: [10.0.0.1, "fd00::1"],
     labels: {role: web}}
  - {name: db1, tenant: acme, iface-id: d1, mac: "52:54:00:00:00:02", ips: [10.0.0.2], labels: {role: db}}
  - {name: p1, tenant: ops, iface-id: p1, mac: "52:54:00:00:00:03", ips: [10.9.0.1], labels: {role: probe}}
"""
OPS = "kind: tenant\ntenant: ops\nzones: {probes: {labels: {role: probe}}}\n"


def documents(
    rules: str, assertions: str, more: str = "", provider: str = "kind: provider"
) -> dict[str, bytes]:
    acme = f"""kind: tenant
tenant: acme
zones: {{web: {{labels: {{role: web}}}}, db: {{labels: {{role: db}}}}, lan: {{cidrs: [192.0.2.0/24]}}}}
tiers: [{{name: t, rules: [{rules}]}}]
assert: [{assertions}]
{more}
"""
    texts = {"acme.yaml": acme, "inventory.yaml": INVENTORY, "ops.yaml": OPS, "provider.yaml": provider}
    return {name: text.encode() for name, text in texts.items()}


def messages(rules: str, assertions: str, more: str = "", provider: str = "kind: provider") -> list[str]:
    result = load_texts(documents(rules, assertions, more, provider))
    assert result.configuration is not None, result.findings
    return [str(broken.finding) for broken in broken_assertions(result.configuration, NOW)]


SSH = "{name: ssh, from: web, to: db, services: [tcp/20-30], action: allow}"


def test_a_refusal_names_two_endpoints_the_service_and_the_rule_that_let_it_through() -> None:
    (message,) = messages(SSH, "{from: web, to: db, services: [tcp/22], never: allow}")

    assert message == (
        "acme.yaml:5:10: this assertion (never: allow) does not hold: acme/web1 (10.0.0.1) to "
        "acme/db1 (10.0.0.2), tcp/22: allow by acme/t/ssh (acme.yaml:4)"
    )


def test_a_refusal_names_what_stopped_that_which_must_pass() -> None:
    (message,) = messages("", "{from: any, to: web, services: [tcp/80], always: allow}", "default: reject")

    assert "tcp/80: reject by acme/default (acme.yaml:6)" in message


@pytest.mark.parametrize(
    "holds",
    [
        "{from: web, to: db, services: [tcp/22], always: allow}",
        "{from: web, to: db, services: [tcp/31-65535, tcp/1-19], never: allow}",
        "{from: external, to: db, never: allow}",
        "{from: db, to: web, never: reject}",
        "{from: lan, to: db, always: drop}",
        "{from: web, to: self, services: [tcp/22], never: allow}",
        "{from: web, to: db, services: [icmpv6], always: allow}",  # db1 has no IPv6 address
    ],
)
def test_an_assertion_that_holds_refuses_nothing(holds: str) -> None:
    assert messages(SSH, holds) == []


def test_every_broken_assertion_is_told_at_once() -> None:
    both = "{from: web, to: db, never: allow}, {from: lan, to: db, always: allow}"

    found = messages(SSH, both)

    assert [one.split(": ")[0] for one in found] == ["acme.yaml:5:10", "acme.yaml:5:45"]


def test_a_witness_from_outside_has_an_address_that_no_longer_prefix_and_no_endpoint_has() -> None:
    (message,) = messages(
        "{name: in, from: external, to: db, action: allow}", "{from: lan, to: db, never: allow}"
    )

    assert "192.0.2.0 to acme/db1" in message


def test_a_rule_that_begins_to_hold_later_is_found_today() -> None:
    night = SSH.replace("action", 'hours: {days: sun, from: "01:00", to: "02:00"}, action')

    (message,) = messages(night, "{from: web, to: db, never: allow}")

    assert "allow by acme/t/ssh" in message


def test_a_rule_that_expires_in_the_last_hour_that_can_be_written_beside_hours_is_no_error() -> None:
    last = SSH.replace("action", 'expires: "9999-12-31T23:59:59-05:00", action')
    hours = 'hours: {days: mon-fri, from: "01:00", to: "02:00", zone: Asia/Tokyo}, action'
    night = SSH.replace("name: ssh", "name: night").replace("action", hours)

    assert messages(f"{last}, {night}", "{from: web, to: db, services: [tcp/22], always: allow}") == []


def test_a_rule_that_expires_cannot_keep_a_promise_for_ever() -> None:
    soon = SSH.replace("action", "expires: 2027-01-01T00:00:00Z, action")
    gone = SSH.replace("action", "expires: 2026-01-01T00:00:00Z, action")

    assert messages(soon, "{from: web, to: db, services: [tcp/22], always: allow}") != []
    assert messages(gone, "{from: web, to: db, services: [tcp/22], never: allow}") == []


def test_monitor_mode_does_not_break_a_promise_of_the_rules() -> None:
    assert messages("", "{from: web, to: db, never: allow}", "mode: monitor") == []
    assert messages(SSH, "{from: web, to: db, never: allow}", "mode: monitor") != []


METRICS = (
    "{kind: provider, before: [{name: g, rules: "
    "[{name: metrics, from: ops/probes, to: '*/any', services: [tcp/9100], action: allow}]}]}"
)


def test_a_never_sees_what_the_provider_lets_in_from_another_tenant_and_an_always_does_not() -> None:
    (message,) = messages("", "{from: any, to: db, never: allow}", provider=METRICS)

    assert "ops/p1 (10.9.0.1) to acme/db1 (10.0.0.2), tcp/9100: allow by provider/g/metrics" in message
    assert messages("", "{from: external, to: db, always: drop}", provider=METRICS) == []


def test_what_is_dropped_between_tenants_that_agreed_on_nothing_breaks_no_assertion() -> None:
    inside = "default: reject"

    assert messages("", "{from: any, to: any, never: drop}", inside, METRICS) == []
    (message,) = messages("", "{from: any, to: any, never: reject}", inside, METRICS)
    assert "reject by acme/default" in message


def write(folder: Path, texts: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return folder


GOOD = documents(SSH, "{from: web, to: db, services: [tcp/22], always: allow}")
BROKEN = documents(SSH, "{from: web, to: db, services: [tcp/22], never: allow}")


def test_validate_refuses_a_broken_assertion_like_any_error(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", BROKEN)

    text = CliRunner().invoke(build_app(), ["validate", str(folder)])
    plain = CliRunner().invoke(build_app(), ["validate", str(folder), "--output", "json"])

    assert (text.exit_code, plain.exit_code) == (2, 2)
    assert "acme.yaml:5:10: this assertion (never: allow) does not hold" in text.output
    document = json.loads(plain.output)
    assert (document["valid"], [one["code"] for one in document["findings"]]) == (False, ["broken-assertion"])


def test_check_still_answers_where_an_assertion_is_broken(tmp_path: Path) -> None:
    folder = write(tmp_path / "c", BROKEN)
    asked = '{"src": "acme/web1", "dst": "acme/db1", "proto": "tcp", "dport": 22}'

    done = CliRunner().invoke(build_app(), ["check", str(folder), "--probes", "-"], input=asked)

    assert (done.exit_code, json.loads(done.output)["rule"]) == (0, "acme/t/ssh")


def test_a_configuration_that_breaks_an_assertion_is_not_loaded_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not hold"):
        load_accepted(write(tmp_path / "c", BROKEN), NOW)
    assert accept(load_texts(GOOD), NOW).configuration is not None


def test_a_running_controller_keeps_its_configuration_when_the_new_one_breaks_an_assertion(
    tmp_path: Path,
) -> None:
    folder = write(tmp_path / "c", GOOD)

    async def run() -> None:
        reconciler = Reconciler(folder, tmp_path / "state", b"k" * 32)
        working = asyncio.create_task(reconciler.run())
        before = reconciler.world.configuration
        write(folder, BROKEN)
        await reconciler.reload()
        assert reconciler.world.configuration is before
        assert "acme/web1 (10.0.0.1) to acme/db1 (10.0.0.2), tcp/22" in reconciler.refused_configuration
        write(folder, GOOD)
        await reconciler.reload()
        async with asyncio.timeout(10):
            while reconciler.refused_configuration:
                await asyncio.sleep(0.01)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    asyncio.run(run())
