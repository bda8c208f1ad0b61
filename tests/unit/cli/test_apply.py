"""`zonewall apply` says which directory by the name that it was given, with its links."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zonewall.cli import verb_apply
from zonewall.cli.app import build_app


def test_a_link_is_named_not_what_it_leads_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link can be swapped afterwards, as the directory that `run` names can."""
    (tmp_path / "41").mkdir()
    (tmp_path / "current").symlink_to("41")
    told: list[dict[str, Any]] = []

    def tell(_: Path, __: str, said: dict[str, Any]) -> dict[str, Any]:
        told.append(said)
        return {"done": "apply", "journal": 1}

    monkeypatch.setattr(verb_apply, "tell", tell)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(build_app(), ["apply", "current", "--state", str(tmp_path)])
    assert done.exit_code == 0, done.output
    link = {"directory": str(tmp_path / "current"), "confirm": None}
    done = CliRunner().invoke(
        build_app(), ["apply", "current", "--even-if-cut-off", "--state", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    assert told == [{**link, "even_if_cut_off": said} for said in (False, True)]
