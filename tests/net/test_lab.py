"""The lab of hosts: what docs/lab.md says of it, and that nothing of it is left, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from topologies.lab import Lab

from support.documents import ROOT, blocks
from support.interrupted import interrupted, sweep_from_outside

pytestmark = pytest.mark.net

LAB = """
import time
from topologies.lab import Lab

with Lab() as lab:
    host = lab.host("hv1")
    machine = lab.machine("web1", "52:54:00:00:00:01", ["10.0.0.1/24"])
    machine.plug(host)
    machine.start("sleep", "600")
    print("the lab is there")
    time.sleep(600)
"""


def test_the_example_of_the_document_prints_what_the_document_says() -> None:
    program, output = blocks("docs/lab.md", "The lab of hosts")
    done = subprocess.run(
        [sys.executable, "-c", program.text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, output.text), done.stderr


def test_a_frame_of_full_size_crosses_a_link_with_two_tags() -> None:
    with Lab() as lab:
        ends = {name: lab.host(name) for name in ("hv1", "hv2")}
        links = dict(zip(ends, lab.link(*ends.values()), strict=True))
        machines = [
            lab.machine(f"vm{number}", f"52:54:00:00:00:0{number}", [f"10.0.0.{number}/24"])
            for number in (1, 2)
        ]
        for machine, (name, host) in zip(machines, ends.items(), strict=True):
            port = machine.plug(host)
            tags = "".join(f"push_vlan:0x8100,set_field:{0x1000 | vlan}->vlan_vid," for vlan in (5, 6))
            host.add_flows(
                [
                    f"in_port={port},actions={tags}output:{links[name]}",
                    f"in_port={links[name]},dl_vlan=6,actions=pop_vlan,goto_table:1",
                    f"table=1,dl_vlan=5,actions=pop_vlan,output:{port}",
                ]
            )
        said = machines[0].run("ping", "-c1", "-W5", "-M", "do", "-s", "1472", "10.0.0.2")
        assert "1 received" in said


@pytest.mark.parametrize(
    ("number", "alone", "status"),
    [
        (signal.SIGINT, False, -signal.SIGINT),
        (signal.SIGTERM, True, 128 + signal.SIGTERM),
        (signal.SIGHUP, True, 128 + signal.SIGHUP),
    ],
    ids=["Ctrl-C", "SIGTERM", "SIGHUP"],
)
def test_an_interrupted_lab_leaves_nothing(tmp_path: Path, number: int, alone: bool, status: int) -> None:
    with interrupted(tmp_path, "-c", LAB) as program:
        program.wait_for("the lab is there")
        assert program.interrupt(number, alone=alone) == status
        assert program.made() >= 3
        assert program.left() == []


@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.4])
def test_a_lab_that_is_interrupted_while_it_is_built_leaves_nothing(tmp_path: Path, after_s: float) -> None:
    with interrupted(tmp_path, "-c", LAB) as program:
        program.wait_for_lab()
        time.sleep(after_s)
        assert program.interrupt(signal.SIGTERM, alone=True) == 128 + signal.SIGTERM
        assert program.left() == []


def test_what_a_lab_that_was_killed_left_is_undone_by_the_next_one(tmp_path: Path) -> None:
    with interrupted(tmp_path, "-c", LAB) as program:
        program.wait_for("the lab is there")
        program.interrupt(signal.SIGKILL)
        assert len(program.left()) > 3, "a killed program can undo nothing"
        sweep_from_outside(program.base)
        assert program.left() == []
