"""A host that an edit takes out of the inventory and brings back goes on as it was: not one flow is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.dummy import DummySwitch, running_dummy_switch
from support.running_controller import RunningController, bridge_row, running_controller
from support.whole_controller import is_at_rest

pytestmark = pytest.mark.ovs
LEFT_OUT, OTHER = "hv1", "hv2"


def inventory(*hosts: str) -> dict[str, Any]:
    """Return hosts, of which the first is known by its datapath id, and two machines."""
    bridge = {"attachment": "fabric", "datapath-id": f"{0xA1:016x}"}
    known = {
        LEFT_OUT: {"bridges": {"br-int": bridge}},
        OTHER: {"bridges": {"br-int": {"attachment": "fabric"}}},
    }
    ends = [
        {"name": f"vm{n}", "tenant": "acme", "iface-id": f"vm{n}", "mac": f"52:54:00:00:00:0{n}",
         "ips": [f"10.0.0.{n}"]}
        for n in (1, 2)
    ]  # fmt: skip
    return {"kind": "inventory", "hosts": {host: known[host] for host in hosts}, "endpoints": ends}


def is_settled(status: dict[str, Any]) -> bool:
    """Say whether both machines are in force on the bridge that is there."""
    places = [[place["state"] for place in one["places"]] for one in status["endpoints"]]
    row = bridge_row(status, LEFT_OUT)
    return places == [["active"], ["active"]] and row["state"] == "in-force" and not row["pending"]


def begin(running: RunningController, switch: DummySwitch) -> None:
    running.put("inventory", inventory(LEFT_OUT, OTHER))
    running.put("acme", {"kind": "tenant", "tenant": "acme", "default": "allow"})
    running.start()
    switch.add_bridge("br-int", datapath_id=0xA1)
    for n in (1, 2):
        switch.add_port("br-int", f"tap{n}", ofport=n, iface_id=f"vm{n}")
    running.join(switch, "br-int")
    # A switch that is refused tries again soon.
    switch.vsctl(
        "set", "controller", "br-int", "max_backoff=1000", "--", "set", "manager", ".", "max_backoff=1000"
    )


def test_its_machines_are_not_put_in_force_anew(tmp_path: Path) -> None:
    with running_controller(tmp_path) as running, running_dummy_switch(tmp_path / "hv1", LEFT_OUT) as switch:
        begin(running, switch)
        status = running.until(lambda now: is_settled(now) and is_at_rest(switch, bridge_row(now, LEFT_OUT)))
        before = bridge_row(status, LEFT_OUT)
        running.put("inventory", inventory(OTHER))
        running.until(lambda now: [one["host"] for one in now["hosts"]] == [OTHER])
        running.put("inventory", inventory(LEFT_OUT, OTHER))
        running.until(lambda now: len(now["hosts"]) == 2 and is_settled(now))
        after = bridge_row(running.status(), LEFT_OUT)
        assert (after["flows"], after["drift_repaired"]) == (before["flows"], 0)
        assert after["changes_applied"] == 0, "since it is back"
