"""What an alert leads to survives whatever ends the controller; a cap and a release by hand hold."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from zonewall.reconciler.isolation import release
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.responder import Responder
from zonewall.respond.alert import FORMATS
from zonewall.values.names import EndpointKey

ENDPOINTS = 4
INVENTORY = """\
kind: inventory
hosts: {hv1: {bridges: {br-int: {attachment: fabric}}}}
endpoints:
""" + "".join(
    f'  - {{name: vm{n}, tenant: acme, iface-id: vm{n}, mac: "52:54:00:00:00:0{n}", ips: [10.0.0.{n}]}}\n'
    for n in range(1, ENDPOINTS + 1)
)
POLICY = """\
---
kind: tenant
tenant: acme
---
kind: provider
respond:
  - {name: few, action: quarantine, at-most: 2/h}
"""
PARSE = FORMATS["plain"]


class Running:
    """A controller that is not connected to anything, and its responder."""

    def __init__(self, folder: Path) -> None:
        policies = folder / "policies"
        policies.mkdir(exist_ok=True)
        (policies / "all.yaml").write_text(INVENTORY + POLICY)
        self.reconciler = Reconciler(policies, folder / "state", b"k" * 32)
        self.responder = Responder(self.reconciler, folder / "state" / "responses.json")

    def alert(self, *numbers: int) -> None:
        lines = [
            json.dumps(
                {"time": time.time(), "attacker": f"10.0.0.{n}", "victim": "192.0.2.1", "signature": "x",
                 "id": 1, "severity": 1}
            ).encode()
            for n in numbers
        ]  # fmt: skip
        self.responder.take(lines, PARSE)

    def isolated(self) -> set[str]:
        records = self.reconciler.world.fleet.records
        keys = [EndpointKey(f"acme/vm{n}") for n in range(1, ENDPOINTS + 1)]
        return {key for key in keys if (record := records.get(key)) is not None and record.holds}

    def settle(self) -> None:
        self.reconciler.remembered().result()
        assert self.responder.settle()


def test_the_cap_holds_over_a_restart(tmp_path: Path) -> None:
    first = Running(tmp_path)
    first.alert(1, 2, 3)
    assert first.isolated() == {"acme/vm1", "acme/vm2"}
    first.settle()
    second = Running(tmp_path)
    assert second.isolated() == {"acme/vm1", "acme/vm2"}
    second.alert(3, 4)
    assert second.isolated() == {"acme/vm1", "acme/vm2"}
    assert second.responder.outcomes == {"capped": 2}


def test_who_was_released_by_hand_is_isolated_by_the_next_alert(tmp_path: Path) -> None:
    running = Running(tmp_path)
    running.alert(1)
    release(running.reconciler, EndpointKey("acme/vm1"), None, "root")
    assert running.isolated() == set()
    running.alert(1)
    assert running.isolated() == {"acme/vm1"}


def test_what_stands_is_written_down_after_the_isolation_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(tmp_path)
    written: Future[None] = Future()
    monkeypatch.setattr(running.reconciler, "remembered", lambda: written)
    running.alert(1)
    assert running.isolated() == {"acme/vm1"}, "no disk is waited for"
    assert not running.responder.settle()
    assert not (tmp_path / "state" / "responses.json").exists()
    killed = Running(tmp_path)
    killed.alert(1)
    assert killed.isolated() == {"acme/vm1"}, "the alert is read once more, and acted on"
    written.set_result(None)
    assert running.responder.settle()
    assert (tmp_path / "state" / "responses.json").exists()


def test_what_stands_is_not_written_down_while_the_isolation_cannot_be(tmp_path: Path) -> None:
    running, places = Running(tmp_path), tmp_path / "state" / "places.json"
    (places / "in-the-way").mkdir(parents=True)
    running.alert(1)
    assert running.reconciler.remembered().exception() is not None
    assert not running.responder.settle()
    assert not (tmp_path / "state" / "responses.json").exists()


def test_what_an_older_controller_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "responses.json").write_text('[["few", "acme/vm1", null]]')
    standing = Running(tmp_path).responder.status()["standing"]
    assert standing == [{"rule": "few", "endpoint": "acme/vm1", "until": None}]
