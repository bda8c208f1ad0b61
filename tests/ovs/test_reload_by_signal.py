"""SIGHUP, as ``systemctl reload`` sends it, has documents read; the controller goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.asked import status_of
from support.running_controller import running_controller

pytestmark = pytest.mark.ovs


def test_sighup_has_documents_read_and_ends_nothing(tmp_path: Path) -> None:
    with running_controller(tmp_path) as running:
        running.put("acme", {"kind": "tenant", "tenant": "acme"})
        running.start(ovsdb=False)
        assert running.process is not None
        for number in range(2):
            revision = status_of(running.state)["configuration"]["revision"]
            running.put("acme", {"kind": "tenant", "tenant": "acme", "default": ("drop", "reject")[number]})
            running.process.send_signal(signal.SIGHUP)
            running.until(lambda now, last=revision: now["configuration"]["revision"] > last)  # type: ignore[misc]
        running.put("acme", {"kind": "tenant", "tenant": "acme", "default": "nonsense"})
        running.process.send_signal(signal.SIGHUP)
        running.until(lambda now: now["configuration"]["refused"])
        running.process.terminate()
        while running.process.poll() is None:
            running.process.send_signal(signal.SIGHUP)
            time.sleep(0.0005)
        assert running.process.returncode == 0


def test_sighup_ends_no_controller_that_is_about_to_start() -> None:
    early = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from zonewall.cli import running\n"
        "def options(*_):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    sys.exit(7)\n"
        "running.read_options = options\n"
        "running.run_controller(Path('.'), None, {})\n"
    )
    assert subprocess.run([sys.executable, "-c", early], check=False).returncode == 7
