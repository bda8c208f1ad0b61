"""A host is evacuated while most of what announces itself lies: everybody arrives, and nobody else moves."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from ovs.unixctl.client import UnixctlClient
from topologies.frames import rarp

from support.dummy import DummySwitch, running_dummy_switch
from support.ovsdb_host import free_port
from zonewall.api.control import ask
from zonewall.errors import ControllerUnreachableError

pytestmark = pytest.mark.ovs
MOVING, STAYING = 200, 50
STORM_S = 4.0
MOUTHS = 8
ROUNDS = 3  # QEMU repeats each announcement; a bridge may drop what comes too fast
FORGED_PER_MOVE = 17
BRIDGES = {"hv1": 0xE1, "hv2": 0xE2}
ZONEWALL = Path(sys.executable).with_name("zonewall")


def mac(number: int) -> str:
    return f"52:54:00:05:{number >> 8:02x}:{number & 255:02x}"


def documents(folder: Path) -> Path:
    endpoints = [
        {"name": f"vm{n}", "tenant": "acme", "iface-id": f"vm{n}", "mac": mac(n),
         "ips": [f"10.1.{n >> 8}.{n & 255}"]}
        for n in range(1, MOVING + STAYING + 1)
    ]  # fmt: skip
    hosts = {
        name: {"bridges": {name: {"attachment": "fabric", "datapath-id": f"{number:016x}"}}}
        for name, number in BRIDGES.items()
    }
    path = folder / "policies"
    path.mkdir()
    inventory = {"kind": "inventory", "hosts": hosts, "endpoints": endpoints}
    tenant = {"kind": "tenant", "tenant": "acme"}
    (path / "all.yaml").write_text(yaml.safe_dump_all([inventory, tenant]))
    return path


def forgery(host: str, sender: int, claimed: int, *, whole: bool) -> tuple[str, bytes]:
    """Return an announcement for another's MAC; its header has the port's own unless ``whole``."""
    frame = rarp(mac(claimed))
    own = bytes.fromhex(mac(sender).replace(":", ""))
    return f"{host}-{sender}", frame if whole else frame[:6] + own + frame[12:]


class Fleet:
    """Two hosts on the dummy datapath and a controller that follows them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        openflow, ovsdb = free_port(), free_port()
        self._state = folder / "state"
        self._controller = subprocess.Popen(
            [str(ZONEWALL), "run", str(documents(folder)), "--state", str(self._state),
             "--openflow", f"tcp:127.0.0.1:{openflow}", "--ovsdb", f"tcp:127.0.0.1:{ovsdb}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        stack.callback(self._stop)
        self.switches: dict[str, DummySwitch] = {}
        for name, number in BRIDGES.items():
            switch = stack.enter_context(running_dummy_switch(folder / name, name))
            switch.add_bridge(name, datapath_id=number)
            switch.vsctl("set-controller", name, f"tcp:127.0.0.1:{openflow}")
            switch.vsctl("set-manager", f"tcp:127.0.0.1:{ovsdb}")
            self.switches[name] = switch

    def plug(self, host: str, numbers: range) -> None:
        switch = self.switches[host]
        switch.add_ports(host, list(numbers), f"{host}-{{}}")
        words: list[str] = []
        for number in numbers:
            words += ["--", "set", "interface", f"{host}-{number}", f"external_ids:iface-id=vm{number}"]
        switch.vsctl(*words[1:])

    def speak(self, frames: list[tuple[str, bytes]], begun: float) -> None:
        """Put frames into ports, spread over the storm's time, by connections of its own."""
        controls = {
            host: UnixctlClient.create(str(switch.run_dir / "vswitchd.ctl"))[1]
            for host, switch in self.switches.items()
        }
        for at, (port, frame) in enumerate(frames):
            time.sleep(max(0.0, begun + at * STORM_S / len(frames) - time.monotonic()))
            error, failure, _ = controls[port.partition("-")[0]].transact(
                "netdev-dummy/receive", [port, frame.hex()]
            )
            assert not error
            assert failure is None
        for control in controls.values():
            control.close()

    def places(self) -> dict[str, dict[str, str]]:
        """Return where endpoints are; until a bridge has a place's flows nobody hears what is said there."""
        with suppress(ControllerUnreachableError):
            status: dict[str, Any] = ask(self._state / "control.sock", "/status")
            return {
                one["endpoint"]: {
                    place["bridge"].partition("/")[0]: place["state"] if place["ready"] else "not ready"
                    for place in one["places"]
                }
                for one in status["endpoints"]
            }
        return {}

    def until(self, condition: Callable[[dict[str, dict[str, str]]], bool], patience_s: float = 60.0) -> None:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            found = self.places()
            if found and condition(found):
                return
            time.sleep(0.2)
        raise AssertionError(f"not so after {patience_s} s: {self.places()}")

    def _stop(self) -> None:
        self._controller.terminate()
        self._controller.wait(timeout=20)


@contextmanager
def running(folder: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(folder, stack)


def test_two_hundred_move_at_once_among_a_thousand_announcements_a_second_of_which_most_are_forged(
    tmp_path: Path,
) -> None:
    moving = range(1, MOVING + 1)
    staying = range(MOVING + 1, MOVING + STAYING + 1)
    with running(tmp_path) as fleet:
        fleet.plug("hv1", range(1, MOVING + STAYING + 1))
        fleet.until(lambda now: all(places == {"hv1": "active"} for places in now.values()))
        fleet.plug("hv2", moving)
        waiting = {"hv1": "active", "hv2": "pending"}
        fleet.until(lambda now: all(now[f"acme/vm{n}"] == waiting for n in moving))
        draw = random.Random(20261124)
        honest = [(f"hv2-{number}", rarp(mac(number))) for number in moving] * ROUNDS
        forged = [
            forgery(f"hv{draw.choice((1, 2))}", draw.choice(moving), draw.choice(staying), whole=at % 2 == 0)
            for at in range(MOVING * FORGED_PER_MOVE)
        ]
        storm = [*honest, *forged]
        draw.shuffle(storm)
        begun = time.monotonic()
        with ThreadPoolExecutor(MOUTHS) as mouths:
            list(
                mouths.map(
                    lambda share: fleet.speak(share, begun), [storm[at::MOUTHS] for at in range(MOUTHS)]
                )
            )
        rate = len(storm) / (time.monotonic() - begun)
        fleet.until(lambda now: all(now[f"acme/vm{n}"].get("hv2") == "active" for n in moving))
        arrived_s = time.monotonic() - begun
        print(f"{rate:.0f} announcements a second; all had arrived after {arrived_s:.1f} s")
        now = fleet.places()
        assert all(now[f"acme/vm{n}"] == {"hv1": "leaving", "hv2": "active"} for n in moving)
        assert all(now[f"acme/vm{n}"] == {"hv1": "active"} for n in staying)
