"""``zonewall check``: JSON Lines in, JSON Lines out, in order, one for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from zonewall.cli.app import build_app
from zonewall.cli.verb_check import MAX_LINE_CHARACTERS
from zonewall.errors import ConfigurationError, ZonewallError

INVENTORY = """\
kind: inventory
hosts: {hv1: {bridges: {br-int: {attachment: fabric}}}}
endpoints:
  - {name: web1, tenant: acme, iface-id: web1, mac: "52:54:00:00:00:01",
     ips: [10.0.0.1, "fd00::1"], labels: {role: web}}
  - {name: db1, tenant: acme, iface-id: db1, mac: "52:54:00:00:00:02",
     ips: [10.0.0.2, "fd00::2"], labels: {role: db}}
mirror-targets: {ids: {}}
service-functions: {waf: {kind: bump-in-the-wire}}
"""
ACME = """\
kind: tenant
tenant: acme
zones:
  web: {labels: {role: web}}
  db: {labels: {role: db}}
services:
  pg: [tcp/5432]
tiers:
  - name: application
    rules:
      - {name: app-db, from: web, to: db, services: [pg], action: allow,
         through: [waf], mirror: [ids], log: connections}
      - {name: ping, from: any, to: any, services: [icmp/echo-request, icmpv6/echo-request], action: allow}
      - {name: day, from: external, to: web, services: [tcp/443], action: allow,
         expires: "2030-01-01T00:00:00Z"}
"""
WEB_TO_DB = {"src": "acme/web1", "dst": "acme/db1", "proto": "tcp", "dport": 5432, "sport": 40000}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "configuration"
    path.mkdir()
    (path / "inventory.yaml").write_text(INVENTORY)
    (path / "acme.yaml").write_text(ACME)
    return path


def run(directory: Path, *probes: object) -> Result:
    lines = "".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in probes)
    return CliRunner().invoke(build_app(), ["check", str(directory), "--probes", "-"], input=lines)


def answers(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_verdict_has_every_key_in_the_form_that_stays_stable(directory: Path) -> None:
    result = run(directory, WEB_TO_DB, {**WEB_TO_DB, "src": "203.0.113.9", "tenant": None})

    assert result.exit_code == 0
    assert answers(result) == [
        {
            "verdict": "allow",
            "rule": "acme/application/app-db",
            "at": "acme.yaml:11",
            "tier": "application",
            "mirror": ["ids"],
            "through": ["waf"],
            "log": "connections",
            "monitored": False,
        },
        {
            "verdict": "drop",
            "rule": "acme/default",
            "at": "acme.yaml:1",
            "tier": "default",
            "mirror": [],
            "through": [],
            "log": "none",
            "monitored": False,
        },
    ]


def test_probes_are_read_from_a_file_and_answered_in_its_order(directory: Path, tmp_path: Path) -> None:
    probes = tmp_path / "probes.jsonl"
    asked = [{**WEB_TO_DB, "dport": port} for port in (1, 5432, 2)]
    probes.write_text("\n".join(map(json.dumps, asked)) + "\n\n")

    result = CliRunner().invoke(build_app(), ["check", str(directory), "--probes", str(probes)])

    assert [one["verdict"] for one in answers(result)] == ["drop", "allow", "drop"]


@pytest.mark.parametrize(
    ("keys", "verdict"),
    [
        ({"proto": "icmp", "icmp": [8, 0]}, "allow"),
        ({"proto": 1, "icmp": [8, 0]}, "allow"),
        ({"proto": "icmp", "icmp": [13, 0]}, "drop"),
        ({"proto": "icmpv6", "icmp": [128, 0]}, "allow"),
        ({"proto": 6}, "allow"),
        ({"src_ip": "fd00::1", "dst_ip": "fd00::2"}, "allow"),
        ({"proto": 47}, "drop"),
        ({"src": "203.0.113.9", "dst": "acme/web1", "dport": 443, "time": "2029-12-31T23:59:59Z"}, "allow"),
        (
            {"src": "203.0.113.9", "dst": "acme/web1", "dport": 443, "time": "2030-01-01T01:00:00+01:00"},
            "drop",
        ),
    ],
)
def test_every_form_of_a_probe_is_understood(directory: Path, keys: dict[str, object], verdict: str) -> None:
    result = run(directory, {**WEB_TO_DB, **keys})

    assert [one.get("verdict", one) for one in answers(result)] == [verdict]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({**WEB_TO_DB, "dport": None}, "dport"),
        ({**WEB_TO_DB, "dport": 65536}, "dport"),
        ({**WEB_TO_DB, "dport": "5432"}, "dport"),
        ({**WEB_TO_DB, "proto": "icmp"}, "icmp"),
        ({**WEB_TO_DB, "proto": "icmp", "icmp": [8]}, "icmp"),
        ({**WEB_TO_DB, "proto": "tpc"}, "proto"),
        ({**WEB_TO_DB, "proto": 256}, "proto"),
        ({**WEB_TO_DB, "proto": True}, "proto"),
        ({**WEB_TO_DB, "src": "acme/nobody"}, "acme/nobody"),
        ({**WEB_TO_DB, "src": "web1"}, "tenant/name"),
        ({**WEB_TO_DB, "src": "fe80::1%eth0"}, "tenant/name"),
        ({**WEB_TO_DB, "src_ip": ""}, "src_ip"),
        ({**WEB_TO_DB, "tenant": "nobody"}, "nobody"),
        ({**WEB_TO_DB, "time": "yesterday"}, "RFC 3339"),
        ({**WEB_TO_DB, "time": "2026-07-03T08:00:00"}, "RFC 3339"),
        ({**WEB_TO_DB, "time": "2026-13-03T08:00:00Z"}, "RFC 3339"),
        ({**WEB_TO_DB, "port": 5432}, "known are"),
        ({"src": "acme/web1", "proto": "tcp"}, "dst"),
        ("no json\n", "JSON"),
        ("[1, 2]\n", ""),
        ("[" * 10000 + "\n", "JSON"),
        ('{"src": "' + "x" * MAX_LINE_CHARACTERS * 3 + '"}\n', "longer"),
        ("\x00\ufffd\n", "JSON"),
    ],
)
def test_a_probe_that_cannot_be_judged_gets_an_error_on_its_own_line(
    directory: Path, wrong: object, message: str
) -> None:
    result = run(directory, WEB_TO_DB, wrong, WEB_TO_DB)

    assert result.exit_code == 1
    first, second, third = answers(result)
    assert first == third
    assert list(second) == ["error"]
    assert message in str(second["error"])
    assert len(str(second["error"])) < 400


def test_a_configuration_that_is_invalid_is_not_asked_anything(directory: Path) -> None:
    (directory / "acme.yaml").write_text(ACME.replace("to: db", "to: bd"))

    result = run(directory, WEB_TO_DB)

    assert isinstance(result.exception, ConfigurationError)
    assert result.stdout == ""


def test_probes_that_cannot_be_read_are_reported_in_one_line(directory: Path) -> None:
    result = CliRunner().invoke(build_app(), ["check", str(directory), "--probes", "/nowhere/probes"])

    assert isinstance(result.exception, ZonewallError)
    assert "/nowhere/probes" in str(result.exception)
