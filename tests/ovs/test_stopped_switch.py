"""A switch that hangs: its process is stopped, and nothing of the others waits for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.dummy import DummySwitch, running_dummy_switch
from support.running_controller import RunningController, all_active, bridge_row, running_controller

pytestmark = pytest.mark.ovs
HOSTS = {"hv1": 0xD1, "hv2": 0xD2}
ENDS = {"hv1": (1, 2), "hv2": (3, 4)}


@contextmanager
def stopped(switch: DummySwitch) -> Iterator[None]:
    """Stop a switch's own process, and let it go on afterwards."""
    number = int((switch.run_dir / "ovs-vswitchd.pid").read_text())
    os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(number, signal.SIGCONT)


def tenant(*rules: dict[str, Any]) -> dict[str, Any]:
    zones = {f"z{number}": {"labels": {"n": str(number)}} for ends in ENDS.values() for number in ends}
    return {"kind": "tenant", "tenant": "acme", "zones": zones, "tiers": [{"name": "t", "rules": [*rules]}]}


def rule(name: str, source: int, destination: int) -> dict[str, Any]:
    ends = {"from": f"z{source}", "to": f"z{destination}"}
    return {"name": name, **ends, "services": ["tcp/80"], "action": "allow", "log": "connections"}


def inventory() -> dict[str, Any]:
    hosts = {
        name: {"bridges": {name: {"attachment": "fabric", "datapath-id": f"{number:016x}"}}}
        for name, number in HOSTS.items()
    }
    endpoints = [
        {"name": f"vm{n}", "tenant": "acme", "iface-id": f"vm{n}", "mac": f"52:54:00:00:00:{n:02x}",
         "ips": [f"10.0.0.{n}"], "labels": {"n": str(n)}}
        for ends in ENDS.values() for n in ends
    ]  # fmt: skip
    return {"kind": "inventory", "hosts": hosts, "endpoints": endpoints}


@contextmanager
def two_hosts(folder: Path) -> Iterator[tuple[RunningController, dict[str, DummySwitch]]]:
    """Give a controller and two switches whose rules log connections, all in force."""
    with ExitStack() as stack:
        controller = stack.enter_context(running_controller(folder))
        controller.put("inventory", inventory())
        controller.put("acme", tenant(rule("near", 1, 2), rule("far", 3, 4)))
        controller.start()
        switches = {}
        for name, number in HOSTS.items():
            switch = switches[name] = stack.enter_context(running_dummy_switch(folder / name, name))
            switch.add_bridge(name, datapath_id=number)
            for end in ENDS[name]:
                switch.add_port(name, f"vm{end}", iface_id=f"vm{end}")
            controller.join(switch, name)
        controller.until(all_active)
        yield controller, switches


def test_a_rule_is_revoked_on_a_bridge_while_another_that_logs_connections_hangs(tmp_path: Path) -> None:
    with two_hosts(tmp_path) as (controller, switches):
        before = set(switches["hv2"].dump_flows("hv2"))
        revision = controller.status()["configuration"]["revision"]
        with stopped(switches["hv1"]):
            controller.put("acme", tenant(rule("near", 1, 2)))
            controller.until(
                lambda now: (
                    now["configuration"]["revision"] > revision and not bridge_row(now, "hv2")["pending"]
                )
            )
            after = set(switches["hv2"].dump_flows("hv2"))
            hangs = bridge_row(controller.status(), "hv1")
            # Not because the one that hangs was cut meanwhile: it still counts as connected.
            assert hangs["state"] != "away"
        assert before - after
        controller.until(all_active)
