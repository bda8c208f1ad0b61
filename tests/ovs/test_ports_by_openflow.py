"""Where no host's database is connected, ports are known by what their bridges tell, and by that alone."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from support.asked import Status
from support.dummy import running_dummy_switch
from support.running_controller import running_controller

pytestmark = pytest.mark.ovs
HOST = {"bridges": {"br-int": {"attachment": "fabric", "datapath-id": f"{0xA1:016x}"}}}


def inventory() -> dict[str, Any]:
    """Return two endpoints that are bound by their ports' names."""
    ends = [
        {"name": name, "tenant": "acme", "port": {"name": f"tap{n}"}, "mac": f"52:54:00:00:00:0{n}",
         "ips": [f"10.0.0.{n}"]}
        for n, name in enumerate(("one", "two"), 1)
    ]  # fmt: skip
    return {"kind": "inventory", "hosts": {"hv1": HOST}, "endpoints": ends}


def places(status: Status) -> dict[str, list[int]]:
    """Return where each endpoint is, by name: the numbers of its ports."""
    return {
        one["endpoint"]: [place["ofport"] for place in one["places"] if place["state"] == "active"]
        for one in status["endpoints"]
    }


@pytest.mark.parametrize("restarted", [False, True], ids=["session lost", "controller killed, too"])
def test_a_port_that_went_while_its_bridge_could_not_tell_is_no_endpoints_any_more(
    tmp_path: Path, restarted: bool
) -> None:
    with running_controller(tmp_path) as running, running_dummy_switch(tmp_path / "hv1", "hv1") as switch:
        running.put("inventory", inventory())
        running.put("acme", {"kind": "tenant", "tenant": "acme"})
        running.start(ovsdb=False)
        switch.add_bridge("br-int", datapath_id=0xA1)
        for n in (1, 2):
            switch.add_port("br-int", f"tap{n}", ofport=n)
        connect(switch.vsctl, running.openflow)
        running.until(lambda now: places(now) == {"acme/one": [1], "acme/two": [2]})
        switch.vsctl("set-controller", "br-int", "tcp:127.0.0.1:1")
        running.until(lambda now: now["bridges"][0]["state"] == "away")
        switch.del_port("br-int", "tap1")
        if restarted:
            assert running.process is not None
            running.process.send_signal(signal.SIGKILL)
            running.process.wait()
            running.start(ovsdb=False)
        connect(switch.vsctl, running.openflow)
        running.until(lambda now: places(now) == {"acme/one": [], "acme/two": [2]})


def connect(vsctl: Any, port: int) -> None:
    vsctl(
        "set-controller",
        "br-int",
        f"tcp:127.0.0.1:{port}",
        "--",
        "set",
        "controller",
        "br-int",
        "max_backoff=1000",
    )
