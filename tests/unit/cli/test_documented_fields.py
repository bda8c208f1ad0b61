"""Every field that a command writes as JSON is told of in docs/commands.md, under that command."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zonewall.cli.app import build_app

ROOT = Path(__file__).parents[3]
DEMO = str(ROOT / "policies" / "demo")
PLACEMENT = """
placements:
  - {endpoint: acme/web1, host: hv1, bridge: br-int, ofport: 5}
  - {endpoint: acme/web2, host: hv1, bridge: br-int, ofport: 6}
"""
COMMANDS = {
    "compile": [DEMO, "--bridge", "hv1/br-int"],
    "explain": [DEMO, "--from", "acme/web1", "--to", "acme/web2", "--service", "tcp/80", "--flows"],
    "matrix": [DEMO],
    "plan": [DEMO, "--against", str(ROOT / "policies" / "mininet-two-hosts")],
}


def fields(value: Any) -> set[str]:
    """Return the names of all fields in a document."""
    if isinstance(value, dict):
        return set(value) | {name for one in value.values() for name in fields(one)}
    return {name for one in value for name in fields(one)} if isinstance(value, list) else set()


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_field_of_a_command_is_documented(command: str, tmp_path: Path) -> None:
    placement = tmp_path / "placement.yaml"
    placement.write_text(PLACEMENT)
    words = [] if command == "matrix" else ["--placement", str(placement)]
    done = CliRunner().invoke(build_app(), [command, *COMMANDS[command], *words, "--output", "json"])
    section = re.split(r"^## ", (ROOT / "docs" / "commands.md").read_text(), flags=re.MULTILINE)
    told = next(text for text in section if text.startswith(f"{command}\n"))
    written = fields(json.loads(done.stdout))
    assert len(written) > 5
    assert {name for name in written if f"`{name}`" not in told} == set()
