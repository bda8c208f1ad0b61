"""SIGHUP, as ``systemctl reload`` sends it, has documents read; the controller goes on."""

from __future__ import annotations

import signal
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
        for _ in range(2):
            revision = status_of(running.state)["configuration"]["revision"]
            running.process.send_signal(signal.SIGHUP)
            running.until(lambda now, last=revision: now["configuration"]["revision"] > last)  # type: ignore[misc]
        running.put("acme", {"kind": "tenant", "tenant": "acme", "default": "nonsense"})
        running.process.send_signal(signal.SIGHUP)
        running.until(lambda now: now["configuration"]["refused"])
        assert running.process.poll() is None
