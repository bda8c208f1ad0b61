"""A controller that has lost a part which it cannot do without ends with an error, to be started again."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.ovsdb_host import free_port
from support.whole_controller import PATIENCE_S, one_bridge, whole_controller
from zonewall.errors import ControllerBrokenError
from zonewall.openflow.listener import Listener
from zonewall.ovsdb.loop import Loop
from zonewall.reconciler.bridges import BridgeEvents
from zonewall.reconciler.inbox import Inbox
from zonewall.reconciler.keeper import BridgeKeeper


async def fails(self: object) -> None:
    raise KeyError("gone")


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Inbox, "work"), (BridgeKeeper, "run"), (BridgeEvents, "probe"), (Listener, "_accept")],
    ids=["inbox", "keeper", "probes", "listener"],
)
def test_a_part_that_fails_ends_the_controller(
    owner: type, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, fails)
    with whole_controller(one_bridge(tmp_path / "policies"), tmp_path / "state") as (whole, _):
        whole.until_ended()
        assert isinstance(whole.error, ControllerBrokenError)
        assert "gone" in whole.controller.status()["faults"][0]["fault"]


def test_the_thread_that_follows_databases_ends_the_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = threading.Event()
    monkeypatch.setattr(Loop, "run", lambda self: ending.wait(PATIENCE_S))
    with whole_controller(one_bridge(tmp_path / "policies"), tmp_path / "state") as (whole, _):
        whole.bridge()
        assert not whole.has_ended
        ending.set()
        whole.until_ended()
        assert isinstance(whole.error, ControllerBrokenError)


PROGRAM = """
import sys
from zonewall.cli import main
from zonewall.reconciler.inbox import Inbox

async def fails(self):
    raise KeyError("gone")

Inbox.work = fails
main()
"""


def test_the_process_ends_with_an_error_and_says_why(tmp_path: Path) -> None:
    words = ["run", str(one_bridge(tmp_path / "policies")), "--state", str(tmp_path / "state")]
    words += ["--openflow", f"tcp:127.0.0.1:{free_port()}"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "has ended, which must not" in done.stderr
    assert "KeyError" in done.stderr
