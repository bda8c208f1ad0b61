"""The controller as the user nobody: it listens, keeps a bridge and follows a change."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.dummy import running_dummy_switch
from support.ovsdb_host import free_port
from zonewall.api.control import ask
from zonewall.errors import ControllerUnreachableError

pytestmark = pytest.mark.ovs
NOBODY = 65534
ZONEWALL = Path(sys.executable).with_name("zonewall")
# It may read what it cannot write, so that the clone that is tested may lie in anybody's home.
AS_NOBODY = [
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
]  # fmt: skip


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that nobody can reach; pytest's own are for one user."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def until(state: Path, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    deadline = time.monotonic() + 40
    status: dict[str, Any] = {}
    while time.monotonic() < deadline:
        with suppress(ControllerUnreachableError):
            status = ask(state / "control.sock", "/status")
            if condition(status):
                return status
        time.sleep(0.05)
    raise AssertionError(status)


def in_force(status: dict[str, Any]) -> bool:
    return [(one["state"], one["pending"]) for one in status["bridges"]] == [("in-force", False)]


def test_a_controller_that_runs_as_nobody_keeps_a_bridge_and_follows_a_change(folder: Path) -> None:
    policies, state = folder / "policies", folder / "state"
    policies.mkdir()
    state.mkdir(mode=0o755)  # made by hand, say
    os.chown(state, NOBODY, NOBODY)
    bridges = {"br0": {"attachment": "fabric", "datapath-id": f"{0xA1:016x}"}}
    end = {"name": "vm", "tenant": "acme", "iface-id": "vm", "mac": "52:54:00:00:00:01", "ips": ["10.0.0.1"]}
    (policies / "inventory.yaml").write_text(
        yaml.safe_dump({"kind": "inventory", "hosts": {"hv1": {"bridges": bridges}}, "endpoints": [end]})
    )
    (policies / "acme.yaml").write_text(yaml.safe_dump({"kind": "tenant", "tenant": "acme"}))
    openflow, ovsdb = free_port(), free_port()
    words = ["run", str(policies), "--state", str(state)]
    words += ["--openflow", f"tcp:127.0.0.1:{openflow}", "--ovsdb", f"tcp:127.0.0.1:{ovsdb}"]
    log = (folder / "log").open("wb")
    process = subprocess.Popen([*AS_NOBODY, str(ZONEWALL), *words], stdout=log, stderr=log)
    try:
        with log, running_dummy_switch(folder / "switch") as switch:
            switch.add_bridge("br0", datapath_id=0xA1, controller=f"tcp:127.0.0.1:{openflow}")
            switch.vsctl("set-manager", f"tcp:127.0.0.1:{ovsdb}")
            first = until(state, in_force)
            told = Path(f"/proc/{process.pid}/status").read_text()
            assert re.search(rf"^Uid:(\s+{NOBODY}){{4}}$", told, re.MULTILINE)
            (policies / "acme.yaml").write_text(
                yaml.safe_dump({"kind": "tenant", "tenant": "acme", "zones": {"vms": {"labels": {}}}})
            )
            revision = first["configuration"]["revision"]
            until(state, lambda now: now["configuration"]["revision"] > revision and in_force(now))
            assert {path.stat().st_uid for path in state.iterdir()} == {NOBODY}
            assert [path.name for path in state.iterdir() if path.stat().st_mode & 0o077] == []
    finally:
        process.terminate()
        assert process.wait(20) == 0, (folder / "log").read_text()
