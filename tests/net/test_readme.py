"""The README's how-tos as they stand: own bridges, own zones, an IDS port (Mininet: test_mininet.py)."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from topologies.ledger import Ledger
from topologies.namespace import Namespace
from topologies.probes import ALLOWED_S, EchoServer, probe_tcp

from support.documents import ROOT, commands, documents, merged
from support.private_lab import PrivateLab, private_lab

pytestmark = pytest.mark.net

BRIDGES = "Point your own bridges at it"
ZONES = "Define your own zones"
MIRROR = "Mirror to an IDS port"
MACHINES = {"web1": ("52:54:00:00:00:01", "10.0.0.1/24"), "db1": ("52:54:00:00:00:02", "10.0.0.2/24")}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder where a user would type: `.venv` is there, `my-policies` is theirs."""
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "my-policies").mkdir()
    for name, text in zip(("inventory.yaml", "acme.yaml"), documents("README.md", BRIDGES), strict=True):
        (tmp_path / "my-policies" / name).write_text(text)
    return tmp_path


def typed(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Return how a block of the README ends in a shell."""
    return subprocess.run(
        ["bash", "-ec", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def bridge_of_ones_own(clone: Path) -> Iterator[tuple[PrivateLab, ExitStack]]:
    """Give a machine with Open vSwitch and a bridge `br-int` on it, and nothing of zonewall."""
    with private_lab(clone) as (lab, stack):
        lab.shell("ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev")
        yield lab, stack


def plugged(lab: PrivateLab, stack: ExitStack) -> dict[str, Namespace]:
    """Return virtual machines that libvirt, say, has plugged into br-int."""
    ledger = Ledger(lab.base)
    stack.callback(ledger.undo)
    machines = {}
    for name, (mac, ip) in MACHINES.items():
        machine = machines[name] = Namespace(ledger, name)
        machine.ip(f"link add name eth0 address {mac} type veth peer name tap-{name} netns {lab.namespace}")
        machine.run("ethtool", "-K", "eth0", "tx", "off")
        machine.ip(f"address add {ip} dev eth0", "link set dev eth0 up")
        lab.shell(
            f"ip link set dev tap-{name} up; ovs-vsctl add-port br-int tap-{name}"
            f" -- set interface tap-{name} external_ids:iface-id={name} external_ids:attached-mac='\"{mac}\"'"
        )
    return machines


def pointed_at_the_controller(lab: PrivateLab, stack: ExitStack) -> str:
    """Follow the how-to from its third step to its last; return the command that shows the outcome."""
    check, hosts, status = commands("README.md", BRIDGES)
    _, run = check.splitlines()
    controller = lab.start("bash", "-c", f"exec {run}")
    stack.callback(controller.end)
    controller.wait_for_output("controller_started")
    lab.shell(hosts)
    lab.wait_for(
        lambda said: (
            said["hosts"][0]["database"] == "connected"
            and said["bridges"][0]["state"] == "in-force"
            and all(one["places"] and one["places"][0]["state"] == "active" for one in said["endpoints"])
        )
    )
    return status


def test_ones_own_bridges_are_in_force_after_the_steps_of_the_readme(clone: Path) -> None:
    validate = commands("README.md", BRIDGES)[0].splitlines()[0]
    done = typed(clone, validate)
    assert (done.returncode, done.stdout) == (0, "my-policies: can be used, 0 error(s), 0 warning(s)\n")
    with bridge_of_ones_own(clone) as (lab, stack):
        machines = plugged(lab, stack)
        said = lab.shell(pointed_at_the_controller(lab, stack))
        assert "in-force" in said
        for name in MACHINES:
            assert f"acme/{name}" in said
        assert not machines["web1"].succeeds("ping", "-c1", "-W1", "10.0.0.2"), "no policy yet: isolated"


def test_the_readmes_zones_validate_and_check_says_who_may_talk_to_whom(clone: Path) -> None:
    [zones] = documents("README.md", ZONES)
    (clone / "my-policies" / "acme.yaml").write_text(zones)
    [script] = commands("README.md", ZONES)
    done = typed(clone, script)
    assert done.returncode == 0, done.stderr
    first, answer = done.stdout.splitlines()
    assert "0 error(s), 0 warning(s)" in first
    line = next(at for at, text in enumerate(zones.splitlines(), 1) if "name: app-db" in text)
    said = json.loads(answer)
    assert (said["verdict"], said["rule"], said["at"]) == (
        "allow",
        "acme/application/app-db",
        f"acme.yaml:{line}",
    )


def test_a_mistake_in_the_readmes_zones_is_named_with_file_line_and_column(clone: Path) -> None:
    [zones] = documents("README.md", ZONES)
    (clone / "my-policies" / "acme.yaml").write_text(zones.replace("to: web, ", "to: wbe, "))
    validate = commands("README.md", ZONES)[0].splitlines()[0]
    done = typed(clone, validate)
    line = next(at for at, text in enumerate(zones.splitlines(), 1) if "name: shop" in text)
    assert done.returncode == 2
    assert f"acme.yaml:{line}:" in done.stdout + done.stderr


def test_a_saved_change_is_applied_whole_and_an_invalid_one_changes_nothing_and_is_reported(
    clone: Path,
) -> None:
    [zones] = documents("README.md", ZONES)
    policy = clone / "my-policies" / "acme.yaml"
    with bridge_of_ones_own(clone) as (lab, stack):
        machines = plugged(lab, stack)
        pointed_at_the_controller(lab, stack)
        server = EchoServer(machines["db1"], [5432, 22])
        server.start()
        stack.callback(server.stop)
        assert probe_tcp(machines["web1"], "10.0.0.2", 5432, 0.3) == "drop"
        policy.write_text(zones)
        assert until(machines, 5432, "allow")
        assert until(machines, 22, "reject")
        policy.write_text(zones.replace("tcp/5432", "tcp/nonsense"))
        lab.wait_for(lambda said: bool(said["configuration"]["refused"]))
        done = lab.run(".venv/bin/zonewall", "status")
        assert done.returncode == 1
        assert "acme.yaml:" in done.stdout
        assert until(machines, 5432, "allow")
        assert until(machines, 22, "reject")


def until(machines: dict[str, Namespace], port: int, verdict: str) -> bool:
    """Say whether web1's calls of db1 come to fare so."""
    late = time.monotonic() + 40
    while time.monotonic() < late:
        if probe_tcp(machines["web1"], "10.0.0.2", port, 0.5) == verdict:
            return True
    return False


def test_copies_reach_an_ids_port_both_directions_each_packet_once(clone: Path) -> None:
    inventory, tenant = documents("README.md", MIRROR)
    [zones] = documents("README.md", ZONES)
    file = clone / "my-policies" / "inventory.yaml"
    file.write_text(merged(file.read_text(), inventory))
    (clone / "my-policies" / "acme.yaml").write_text(merged(zones, tenant))
    assert yaml.safe_load(file.read_text())["endpoints"]
    add, up, tcpdump = commands("README.md", MIRROR)[0].splitlines()
    with bridge_of_ones_own(clone) as (lab, stack):
        machines = plugged(lab, stack)
        pointed_at_the_controller(lab, stack)
        lab.shell(f"{add}\n{up}")
        lab.wait_for(lambda said: said["bridges"][0]["state"] == "in-force" and not said["unknown_ports"])
        server = EchoServer(machines["db1"], [5432])
        server.start()
        stack.callback(server.stop)
        assert until(machines, 5432, "allow")
        ids = lab.start("bash", "-c", f"exec {tcpdump.split('#')[0].strip()} -l --immediate-mode")
        stack.callback(ids.end)
        ids.wait_for_output("listening on ids0")
        assert probe_tcp(machines["web1"], "10.0.0.2", 5432, ALLOWED_S) == "allow"
        assert probe_tcp(machines["web1"], "10.0.0.2", 22) == "reject"
        seen = ids.wait_for_output("10.0.0.2.22: Flags [S]")
        calls = [line for line in seen.splitlines() if "10.0.0.2.5432: Flags [S]" in line]
        answers = [line for line in seen.splitlines() if "IP 10.0.0.2.5432" in line and "Flags [S.]" in line]
        assert (len(calls), len(answers)) == (1, 1)
        refused = [line for line in seen.splitlines() if "10.0.0.2.22: Flags [S]" in line]
        assert len(refused) == 1, "what is refused is seen, too"
