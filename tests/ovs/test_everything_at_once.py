"""Every kind of thing a document can say, at once: compiled by the command, loaded as its output says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.dummy import DummySwitch
from support.everything import ATTACHMENTS, write_everything

pytestmark = pytest.mark.ovs


def zonewall(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from zonewall.cli import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("attachment", ATTACHMENTS)
def test_all_that_a_document_can_say_compiles_and_a_switch_takes_it(
    attachment: str, tmp_path: Path, dummy_switch: DummySwitch
) -> None:
    configuration = tmp_path / "configuration"
    placement = write_everything(configuration, attachment)
    checked = zonewall("validate", configuration)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    for bridge in ("hv1/br-int", "hv2/br-int"):
        compiled = zonewall(
            "compile",
            configuration,
            "--placement",
            placement,
            "--bridge",
            bridge,
        )
        assert compiled.returncode == 0, compiled.stderr
        name = bridge[:3]
        dummy_switch.add_bridge(name)
        dummy_switch.load_program(name, compiled.stdout)
        loaded = [line for line in compiled.stdout.splitlines() if not line.startswith("#")]
        assert len(dummy_switch.dump_flows(name)) == len(loaded) > 200
