"""Suricata's events as they are written, and what must not be believed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zonewall.respond.alert import parse_eve, parse_plain


def eve(**more: Any) -> bytes:
    event = {
        "timestamp": "2026-11-24T13:00:00.250000+0000", "flow_id": 1, "event_type": "alert",
        "src_ip": "10.0.0.1", "src_port": 40000, "dest_ip": "10.0.0.3", "dest_port": 80, "proto": "TCP",
        "alert": {"action": "allowed", "gid": 1, "signature_id": 2100498, "rev": 7,
                  "signature": "GPL ATTACK_RESPONSE id check returned root", "severity": 2},
    }  # fmt: skip
    return json.dumps(event | more).encode()


def test_an_alert_is_read() -> None:
    alert = parse_eve(eve())
    assert alert is not None
    assert (str(alert.attacker), str(alert.victim), alert.number, alert.severity) == (
        "10.0.0.1", "10.0.0.3", 2100498, 2,
    )  # fmt: skip


@pytest.mark.parametrize("offset", ["+0000", "+00:00", "Z"])
def test_the_offset_may_have_a_colon_or_none(offset: str) -> None:
    alert = parse_eve(eve(timestamp=f"2026-11-24T13:00:00.250000{offset}"))
    assert alert is not None
    assert alert.at == 1795525200.25


def test_an_offset_counts() -> None:
    early, late = (parse_eve(eve(timestamp=f"2026-11-24T13:00:00+0{hours}00")) for hours in (2, 0))
    assert early is not None
    assert late is not None
    assert late.at - early.at == 7200


@pytest.mark.parametrize("kind", ["flow", "dns", "http", "stats", "anomaly", "fileinfo"])
def test_other_events_are_no_alerts(kind: str) -> None:
    assert parse_eve(eve(event_type=kind)) is None


def test_the_source_of_a_rule_with_a_target_is_the_attacker_though_src_ip_is_the_victim() -> None:
    alert = parse_eve(eve(src_ip="10.0.0.3", dest_ip="10.0.0.1", alert={
        "signature": "x", "severity": 1, "source": {"ip": "10.0.0.1"}, "target": {"ip": "10.0.0.3"},
    }))  # fmt: skip
    assert alert is not None
    assert (str(alert.attacker), str(alert.victim)) == ("10.0.0.1", "10.0.0.3")


def test_without_it_who_began_the_flow_is_the_attacker() -> None:
    alert = parse_eve(eve(src_ip="fd00::3", dest_ip="fd00::1", direction="to_client",
                          flow={"src_ip": "fd00::1", "dest_ip": "fd00::3"}))  # fmt: skip
    assert alert is not None
    assert str(alert.attacker) == "fd00::1"


def test_macs_go_with_their_ends() -> None:
    ether = {"src_mac": "52:54:00:00:00:03", "dest_mac": "52:54:00:00:00:01"}
    alert = parse_eve(eve(src_ip="10.0.0.3", dest_ip="10.0.0.1", ether=ether, flow={"src_ip": "10.0.0.1"}))
    assert alert is not None
    assert alert.attacker_mac == 0x525400000001


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"[]", b"nonsense", b"\xff\xfe", b"[" * 100_000, b'{"event_type": "alert"}',
        eve(src_ip="10.0.0.999"), eve(src_ip=7), eve(timestamp="yesterday"), eve(timestamp=None),
        eve(timestamp="2026-11-24T13:00:00"), eve(alert=[]), eve(dest_ip=None),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused_with_a_reason(line: bytes) -> None:
    with pytest.raises(ValueError):
        parse_eve(line)


def test_an_adapters_form_is_plain() -> None:
    alert = parse_plain(b'{"time": 5, "attacker": "10.0.0.1", "victim": "fd00::2", "signature": "scan"}')
    assert alert is not None
    assert (alert.at, alert.severity, alert.signature) == (5.0, 255, "scan")
