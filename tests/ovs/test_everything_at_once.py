"""Every kind of thing a document can say, at once: compiled by the command, loaded as its output says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.dummy import DummySwitch

pytestmark = pytest.mark.ovs
CONFIGURATION = Path(__file__).parent / "everything"
PLACEMENT = """\
placements:
  - {endpoint: acme/web1, host: hv1, bridge: br-int, ofport: 11}
  - {endpoint: acme/job1, host: hv1, bridge: br-int, ofport: 12}
  - {endpoint: blue/vm9,  host: hv1, bridge: br-int, ofport: 13}
  - {endpoint: ops/eye,   host: hv1, bridge: br-int, ofport: 14}
  - {endpoint: acme/web2, host: hv2, bridge: br-int, ofport: 11}
  - {endpoint: acme/db1,  host: hv2, bridge: br-int, ofport: 12}
  - {endpoint: ops/fix,   host: hv2, bridge: br-int, ofport: 13}
ports:
  - {host: hv1, bridge: br-int, name: eth1, ofport: 1}
  - {host: hv1, bridge: br-int, name: fab0, ofport: 2}
  - {host: hv1, bridge: br-int, name: gnv0, ofport: 3}
  - {host: hv1, bridge: br-int, name: ids0, ofport: 4}
  - {host: hv1, bridge: br-int, name: waf-in, ofport: 5}
  - {host: hv1, bridge: br-int, name: waf-out, ofport: 6}
  - {host: hv2, bridge: br-int, name: eth1, ofport: 1}
  - {host: hv2, bridge: br-int, name: fab0, ofport: 2}
  - {host: hv2, bridge: br-int, name: gnv0, ofport: 3}
links: [{a: hv1/br-int/2, b: hv2/br-int/2}]
"""


def zonewall(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from zonewall.cli import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def configuration(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / "configuration"
    folder.mkdir()
    for path in CONFIGURATION.glob("*.yaml"):
        (folder / path.name).write_text(path.read_text().replace("ATTACHMENT", request.param))
    (tmp_path / "placement.yaml").write_text(PLACEMENT)
    return folder


@pytest.mark.parametrize("configuration", ["fabric", "underlay", "overlay"], indirect=True)
def test_all_that_a_document_can_say_compiles_and_a_switch_takes_it(
    configuration: Path, dummy_switch: DummySwitch
) -> None:
    checked = zonewall("validate", configuration)
    assert checked.returncode == 0, checked.stdout + checked.stderr

    for bridge in ("hv1/br-int", "hv2/br-int"):
        compiled = zonewall(
            "compile",
            configuration,
            "--placement",
            configuration.parent / "placement.yaml",
            "--bridge",
            bridge,
        )
        assert compiled.returncode == 0, compiled.stderr
        name = bridge[:3]
        dummy_switch.add_bridge(name)
        dummy_switch.load_program(name, compiled.stdout)
        loaded = [line for line in compiled.stdout.splitlines() if not line.startswith("#")]
        assert len(dummy_switch.dump_flows(name)) == len(loaded) > 200
