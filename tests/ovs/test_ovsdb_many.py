"""Two hundred hosts on one controller: one thread, no polling, and one that hangs is nobody else's affair."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.ovsdb_host import declared_hosts, follower
from zonewall.ovsdb.connection import HostConnection
from zonewall.ovsdb.patience import Patience
from zonewall.placement.observations import BridgeSeen, HostLost, SnapshotComplete

pytestmark = pytest.mark.ovs
HOSTS = 200
PROBE_S = 6.0
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
NAMES = tuple(f"hv{number:03}" for number in range(HOSTS))


def transact(*words: str) -> None:
    subprocess.run(["ovsdb-tool", *words], check=True, capture_output=True)


@contextmanager
def databases(folder: Path, port: int) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """A real database for each host, made beforehand, that connects to the port."""
    plain = folder / "plain.db"
    transact("create", str(plain), SCHEMA)
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name in NAMES:
            path = folder / f"{name}.db"
            path.write_bytes(plain.read_bytes())
            manager = {"target": f"tcp:127.0.0.1:{port}", "max_backoff": 1000}
            root = {
                "external_ids": ["map", [["system-id", name]]],
                "manager_options": ["named-uuid", "m"],
            }
            rows = [
                {"op": "insert", "table": "Manager", "row": manager, "uuid-name": "m"},
                {"op": "insert", "table": "Open_vSwitch", "row": root},
            ]
            transact("transact", str(path), json.dumps(["Open_vSwitch", *rows]))
            running[name] = subprocess.Popen(
                ["ovsdb-server", str(path), "--no-chdir", f"--remote=punix:{folder}/{name}.sock",
                 "--remote=db:Open_vSwitch,Open_vSwitch,manager_options", f"--unixctl={folder}/{name}.ctl"],
                env={**os.environ, "OVS_RUNDIR": str(folder)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        yield running
    finally:
        for server in running.values():
            server.send_signal(signal.SIGCONT)
            server.terminate()
        for server in running.values():
            server.wait(timeout=20)


def add_bridge(folder: Path, name: str) -> None:
    words = ["ovs-vsctl", "--no-wait", f"--db=unix:{folder}/{name}.sock", "add-br", "br0"]
    subprocess.run(words, check=True, capture_output=True)


def test_two_hundred_hosts_are_followed_by_one_thread_that_rests_while_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = Patience(handshake_s=20.0, snapshot_s=60.0, probe_s=PROBE_S)
    turns = counted_turns(monkeypatch)
    with follower(declared_hosts(*NAMES), patience=patient) as ear:
        threads = set(threading.enumerate())
        port = ear.service.listen("127.0.0.1", 0, None)
        with databases(tmp_path, port) as running:
            complete: set[str] = set()
            while len(complete) < HOSTS:
                complete.add(ear.until_a(SnapshotComplete, within_s=60.0).host)
            assert not set(threading.enumerate()) - threads
            ear.quiet(0.5)
            before, since = turns[0], time.monotonic()
            ear.quiet(2.0)
            probes = 1 + (time.monotonic() - since) / PROBE_S
            # A probe is sent and answered; polling would look at all hosts at each of them.
            assert turns[0] - before <= 5 * probes * HOSTS, "it works though nothing happens"
            running[NAMES[7]].send_signal(signal.SIGSTOP)
            for name in (NAMES[0], NAMES[99], NAMES[-1]):
                add_bridge(tmp_path, name)
                ear.until_a(BridgeSeen, host=name)
            # Nobody has given up the one that hangs by then: it delayed nobody.
            assert not [one for one in ear.heard if isinstance(one, HostLost)]
            assert ear.until_a(HostLost, within_s=60.0).host == NAMES[7]
            running[NAMES[7]].send_signal(signal.SIGCONT)
            ear.until_a(SnapshotComplete, within_s=60.0, host=NAMES[7])


def counted_turns(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how often a host's connection has been run, which goes on counting."""
    turns, run = [0], HostConnection.run

    def counting(connection: HostConnection) -> None:
        turns[0] += 1
        run(connection)

    monkeypatch.setattr(HostConnection, "run", counting)
    return turns
