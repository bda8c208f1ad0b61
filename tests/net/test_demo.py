"""``make demo`` believes only what it has seen: where a claim does not hold it says so and exits 1."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from topologies.demo import POLICIES, Demo, Step, main, perform

from support.interrupted import interrupted

pytestmark = pytest.mark.net


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """Return a copy of the demo's policies that a test may change."""
    return Path(shutil.copytree(POLICIES, tmp_path / "demo"))


def edited(policies: Path, *changes: tuple[str, str]) -> Path:
    """Replace words of acme's policy."""
    file = policies / "acme.yaml"
    text = file.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    return policies


def mirror_and_redirect(demo: Demo) -> Sequence[Step]:
    return (
        ("start", demo.start),
        ("mirror", demo.intrusion),
        ("redirect", demo.redirect),
        ("proxy", demo.filtered),
    )


def test_with_its_own_policies_mirror_and_redirect_hold(
    policies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert perform(policies, mirror_and_redirect) == 0
    said = capsys.readouterr().out
    assert said.count("  ok   ") == 7
    assert "NOT" not in said
    assert said.rstrip().endswith("All of it held. The lab is gone.")


def test_what_the_bridges_do_otherwise_than_claimed_is_found_out(
    policies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(
        policies,
        (", through: [waf], mirror: [ids]", ""),
        (", through: [url]", ""),
        ("when: dropped", "when: allowed"),
    )

    def steps(demo: Demo) -> Sequence[Step]:
        def leave_the_bridges_behind() -> None:
            assert demo.controller is not None
            demo.controller.stop()
            edited(policies, ("to: web,       services: [http], action: allow", "to: web, action: drop"))

        def compare() -> None:
            demo.compare([("acme-web2", "acme-web1")])

        return (*mirror_and_redirect(demo), ("change", leave_the_bridges_behind), ("compare", compare))

    assert perform(policies, steps) == 1
    said = capsys.readouterr().out
    assert "  NOT  the IDS sees the attack that was blocked" in said
    assert "  NOT  allowed traffic that a rule mirrors is copied exactly once" in said
    assert "  NOT  the allowed connection passed through the appliance" in said
    assert "  NOT  what the appliance refuses does not arrive" in said
    assert "  NOT  a request that the proxy refuses is refused" in said
    assert "  NOT  nothing of batch1's reached web1 itself" in said
    assert "allow (!)" in said
    assert "  NOT  all 6 probes fared as `zonewall check` says they should" in said
    assert "7 claim(s) did not hold." in said


def test_a_controller_that_ends_is_a_claim_that_does_not_hold(
    policies: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(policies, ("kind: tenant", "kind: tenat"))
    assert perform(policies) == 1
    said = capsys.readouterr().out
    assert "  NOT  the controller has ended" in said
    assert "acme.yaml:2:7" in said, "and its last words are shown"


def test_without_root_it_says_in_one_line_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main() == 1
    assert capsys.readouterr().out == "demo: network namespaces need root; run it as: sudo make demo\n"


def test_a_demo_that_is_interrupted_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with interrupted(tmp_path, "-m", "topologies.demo") as program:
        program.wait_for("Six virtual machines appear")
        assert program.interrupt(signal.SIGINT) == 130
        assert program.output.rstrip().endswith("Interrupted. The lab is gone.")
        assert "Traceback" not in program.output
        assert program.made() >= 5
        assert program.left() == []
