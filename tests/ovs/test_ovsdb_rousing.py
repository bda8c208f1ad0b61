"""A bridge that is awaited has its switch turn: its status changes until it has come, and is as before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.ovsdb_host import DatabaseHost, Follower, database_host, declared_hosts, follower
from zonewall.ovsdb.rousing import KEY
from zonewall.placement.observations import SnapshotComplete
from zonewall.values.names import BridgeName, HostName

pytestmark = pytest.mark.ovs
HV1, BR0 = HostName("hv1"), BridgeName("br0")
PATIENCE_S = 60.0


def _status(host: DatabaseHost) -> str:
    return host.vsctl("get", "bridge", "br0", "status").strip()


def _until(host: DatabaseHost, holds: Callable[[str], bool]) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while not holds(status := _status(host)):
        assert time.monotonic() < deadline, status
        time.sleep(0.01)
    return status


def _joined(host: DatabaseHost, ear: Follower) -> None:
    host.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "status:stp_bridge_id=8000.1")
    host.connect_to(f"tcp:127.0.0.1:{ear.service.listen('127.0.0.1', 0, None)}")


def test_a_bridge_is_called_when_its_host_connects_and_no_more_once_it_has_come(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        ear.service.await_bridge(HV1, BR0, awaited=True)
        _joined(host, ear)
        first = _until(host, lambda status: KEY in status)
        _until(host, lambda status: KEY in status and status != first)
        ear.service.await_bridge(HV1, BR0, awaited=False)
        assert _until(host, lambda status: KEY not in status) == '{stp_bridge_id="8000.1"}'
        ear.service.await_bridge(HV1, BR0, awaited=False)
        ear.quiet()
        assert KEY not in _status(host)


def test_who_does_not_come_is_not_called_for_ever_and_is_called_again_when_it_goes(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        _joined(host, ear)
        ear.until_a(SnapshotComplete)
        for _ in range(2):
            ear.service.await_bridge(HV1, BR0, awaited=True)
            _until(host, lambda status: KEY in status)
            assert _until(host, lambda status: KEY not in status) == '{stp_bridge_id="8000.1"}'
            ear.service.await_bridge(HV1, BR0, awaited=False)


def test_a_bridge_that_the_host_does_not_have_harms_nothing(tmp_path: Path) -> None:
    with database_host(tmp_path / "hv1", "hv1") as host, follower(declared_hosts("hv1")) as ear:
        ear.service.await_bridge(HV1, BridgeName("br-other"), awaited=True)
        ear.service.await_bridge(HostName("hv9"), BR0, awaited=True)
        _joined(host, ear)
        ear.until_a(SnapshotComplete)
        ear.service.await_bridge(HV1, BR0, awaited=True)
        _until(host, lambda status: KEY in status)
