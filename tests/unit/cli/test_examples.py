"""Every configuration in `policies/` can be used as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from zonewall.cli.app import build_app

POLICIES = Path(__file__).parents[3] / "policies"
EXAMPLES = sorted(path.parent.name for path in POLICIES.glob("*/inventory.yaml"))


def test_there_are_examples_for_the_demo_and_for_both_mininet_topologies() -> None:
    assert {"demo", "mininet-two-hosts", "mininet-fabric"} <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_validates_without_a_warning(name: str) -> None:
    done = CliRunner().invoke(build_app(), ["validate", "--strict", str(POLICIES / name)])
    assert done.exit_code == 0, done.output
