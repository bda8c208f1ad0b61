"""``topologies/in_private_ovs.py``: a command gets an Open vSwitch of its own, gone in the end."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support.private_lab import PrivateLab

pytestmark = pytest.mark.net


@pytest.fixture
def lab(tmp_path: Path) -> PrivateLab:
    return PrivateLab(tmp_path)


def until_gone(lab: PrivateLab) -> list[str]:
    """Return what is still left after a while."""
    late = time.monotonic() + 10
    while (left := lab.leftovers()) and time.monotonic() < late:
        time.sleep(0.05)
    return left


def test_a_command_finds_an_open_vswitch_that_was_not_there_before(lab: PrivateLab) -> None:
    done = lab.run(
        "sh", "-c", "ovs-vsctl add-br br0 && ovs-vsctl list-br && ovs-appctl version && ip -br link"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("br0\novs-vswitchd (Open vSwitch)")
    assert "eth0" not in done.stdout
    assert lab.leftovers() == []


def test_commands_at_the_same_time_share_one_switch_and_the_last_one_takes_it_away(lab: PrivateLab) -> None:
    first = lab.start("sh", "-c", "ovs-vsctl add-br br0; echo made; sleep 600")
    first.wait_for_output("made")
    assert lab.run("ovs-vsctl", "list-br").stdout == "br0\n"
    assert lab.run("ovs-vsctl", "list-br").stdout == "br0\n", "who leaves takes nothing away from who stays"
    assert first.end() == 128 + signal.SIGTERM
    assert lab.leftovers() == []
    assert lab.run("ovs-vsctl", "list-br").stdout == ""


def test_another_name_is_another_switch(lab: PrivateLab, tmp_path: Path) -> None:
    first = lab.start("sh", "-c", "ovs-vsctl add-br br0; echo made; sleep 600")
    first.wait_for_output("made")
    assert PrivateLab(tmp_path).run("ovs-vsctl", "list-br").stdout == ""
    first.end()


def test_the_exit_status_is_the_commands(lab: PrivateLab) -> None:
    assert lab.run("sh", "-c", "exit 7").returncode == 7
    assert lab.run("sh", "-c", "kill -KILL $$").returncode == 128 + signal.SIGKILL


def test_what_a_command_leaves_running_is_ended_with_the_lab(lab: PrivateLab) -> None:
    done = lab.run("sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & unshare -n sleep 600 >/dev/null 2>&1 & :")
    assert done.returncode == 0
    assert lab.leftovers() == []


def test_ctrl_c_reaches_the_command_and_nothing_is_left(lab: PrivateLab) -> None:
    started = lab.start("sh", "-c", "trap 'echo caught; exit 3' INT; echo ready; sleep 600 & wait")
    started.wait_for_output("ready")
    started.signal_group(signal.SIGINT)
    assert started.process.wait(20) == 3
    assert "caught" in started.output.read_text()
    assert lab.leftovers() == []


def test_after_sigkill_the_next_lab_to_start_undoes_what_was_left(tmp_path: Path) -> None:
    # A folder of its own, since any lab of this machine would undo it; a short one, for sockets.
    with TemporaryDirectory(dir="/run") as base:
        lab = PrivateLab(tmp_path, Path(base))
        started = lab.start("sh", "-c", "ovs-vsctl add-br br0; echo ready; setsid sleep 600")
        started.wait_for_output("ready")
        started.signal_group(signal.SIGKILL)
        started.process.wait()
        assert lab.leftovers(), "a killed program can undo nothing"
        assert PrivateLab(tmp_path, Path(base)).run("true").returncode == 0
        assert until_gone(lab) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what to run"),
        (("--lab", "../etc", "true"), "cannot name a lab"),
        (("no-such-command-at-all",), "no-such-command-at-all"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(lab: PrivateLab, words: tuple[str, ...], said: str) -> None:
    done = lab.run(*words)
    assert done.returncode != 0
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert lab.leftovers() == []
