"""A state folder on a disk that is full: what a restart would not know is not in force."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.net

_ON_A_SMALL_DISK = """
import asyncio, json, sys
from pathlib import Path
import structlog
from zonewall.reconciler.reconciler import Reconciler
from zonewall.store.numbering_file import read_numbering

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
document, state = Path(sys.argv[1]) / "policies" / "all.yaml", Path(sys.argv[2])
said = document.read_text()
reconciler = Reconciler(document.parent, state, b"k" * 32)

def fill():
    with (state / "others").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass

def rules():
    return [rule.name for tier in reconciler.world.configuration.tenants["acme"].tiers for rule in tier.rules]

fill()
document.write_text(said + "      - {name: second, from: any, to: any, action: drop}\\n")
asyncio.run(reconciler.reload())
full = {"rules": rules(), "refused": reconciler.refused_configuration}
(state / "others").unlink()
asyncio.run(reconciler.reload())
in_use = reconciler.world.policy.numbering.to_plain()
on_disk = read_numbering(state / "numbering.json").to_plain()
after = {"rules": rules(), "refused": reconciler.refused_configuration, "same": in_use == on_disk}
print(json.dumps([full, after, sorted(path.name for path in state.iterdir())]))
"""

_DOCUMENT = """kind: tenant
tenant: acme
tiers:
  - name: t
    rules:
      - {name: first, from: any, to: any, services: [tcp/80], action: allow}
"""


def test_documents_wait_for_room_for_their_numbers(tmp_path: Path) -> None:
    state, policies = tmp_path / "state", tmp_path / "policies"
    for folder in (state, policies):
        folder.mkdir()
    (policies / "all.yaml").write_text(_DOCUMENT)
    small = ["sh", "-c", 'mount -t tmpfs -o size=64k none "$1" && shift && exec "$@"', "sh", str(state)]
    done = subprocess.run(
        ["unshare", "-m", *small, sys.executable, "-c", _ON_A_SMALL_DISK, str(tmp_path), str(state)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    full, after, files = json.loads(done.stdout)
    assert full["rules"] == ["first"]
    assert "numbering.json: No space left on device" in full["refused"]
    assert after == {"rules": ["first", "second"], "refused": "", "same": True}
    assert files == ["numbering.json"], "nothing half is left"
