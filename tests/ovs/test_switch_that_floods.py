"""A switch that was let in and lies without end: what waits of it is bounded, and the others are heard."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from topologies.frames import rarp

from support.dummy import DummySwitch, running_dummy_switch
from support.hostile_switch import complaint, hostile_switch, packet_in, port_status
from support.running_controller import RunningController, bridge_row, running_controller
from zonewall.openflow.channel import READ_BYTES
from zonewall.pipeline.cookie import Reason
from zonewall.reconciler.gate import MOST_WAITING

pytestmark = pytest.mark.ovs
HOSTILE, HONEST = 0xB1, 0xB2
MANY = 5_000
FEW = 10
"""What comes once beside the flood, such as that the bridge has connected, is never dropped."""
MOST_GROWN_KIB = 100 * 1024
"""What a minute of this flood took before was 1.3 GB."""


def documents() -> dict[str, dict[str, Any]]:
    hosts = {
        name: {"bridges": {name: {"attachment": "fabric", "datapath-id": f"{number:016x}"}}}
        for name, number in (("hv1", HOSTILE), ("hv2", HONEST))
    }
    endpoints = [
        {"name": f"vm{n}", "tenant": "acme", "iface-id": f"vm{n}", "mac": f"52:54:00:00:00:{n:02x}",
         "ips": [f"10.0.0.{n}"]}
        for n in (1, 2)
    ]  # fmt: skip
    inventory = {"kind": "inventory", "hosts": hosts, "endpoints": endpoints}
    return {"inventory": inventory, "acme": {"kind": "tenant", "tenant": "acme"}}


def frames() -> bytes:
    """Return frames of no machine, from no port, for every reason, and errors."""
    draw = random.Random(1)
    said = [complaint(draw.randrange(1 << 16)) for _ in range(50)]
    for _ in range(1000):
        frame = rarp(f"52:54:{draw.randbytes(4).hex(':')}")
        tcp = frame[:12] + bytes.fromhex("0800450000280000000040060000") + draw.randbytes(28)
        said += [packet_in(frame, reason, draw.randrange(1 << 31)) for reason in (1, Reason.SPOKE)]
        said.append(packet_in(tcp, Reason.CUT))
    return b"".join(said)


def ports() -> bytes:
    """Return word of ports that change and change."""
    return b"".join(port_status(number, f"p{number}") for number in range(1, 2000))


@contextmanager
def honest_and(folder: Path, flood: bytes) -> Iterator[tuple[RunningController, DummySwitch, Any]]:
    """Give a controller that serves an honest switch and one that floods."""
    with running_controller(folder) as controller, running_dummy_switch(folder / "hv2", "hv2") as switch:
        for name, document in documents().items():
            controller.put(name, document)
        controller.start()
        switch.add_bridge("hv2", datapath_id=HONEST)
        switch.add_port("hv2", "vm1", iface_id="vm1")
        controller.join(switch, "hv2")
        controller.until(lambda now: in_place(now) == {"acme/vm1"})
        with hostile_switch(("127.0.0.1", controller.openflow), HOSTILE, flood) as hostile:
            yield controller, switch, hostile


def in_place(status: dict[str, Any]) -> set[str]:
    is_held = bridge_row(status, "hv2")["state"] == "in-force"
    active = {one["endpoint"] for one in status["endpoints"] for place in one["places"] if place["ready"]}
    return active if is_held else set()


def memory_kib(controller: RunningController) -> int:
    assert controller.process is not None
    status = Path(f"/proc/{controller.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1])


@pytest.mark.parametrize(
    ("flood", "many", "most"),
    [
        pytest.param(
            frames,
            lambda now, sent: bridge_row(now, "hv1")["dropped"] > MANY,
            MOST_WAITING + FEW,
            id="frames and errors are dropped",
        ),
        pytest.param(
            ports,
            lambda now, sent: sent > 8 * READ_BYTES,
            MOST_WAITING + FEW + READ_BYTES // len(port_status(1, "p1")),
            id="word of ports is read no faster than it is taken",
        ),
    ],
)
def test_what_waits_of_a_switch_that_floods_is_bounded_and_another_is_heard_meanwhile(
    flood: Callable[[], bytes], many: Callable[[dict[str, Any], int], bool], most: int, tmp_path: Path
) -> None:
    with honest_and(tmp_path, flood()) as (controller, switch, hostile):
        controller.until(lambda now: bridge_row(now, "hv1")["most_waiting"] >= MOST_WAITING)
        before_kib = memory_kib(controller)
        switch.add_port("hv2", "vm2", iface_id="vm2")
        controller.until(lambda now: in_place(now) == {"acme/vm1", "acme/vm2"})
        status = controller.until(lambda now: many(now, hostile.sent))
        assert status["inbox"]["most_waiting"] <= most
        assert bridge_row(status, "hv2")["dropped"] == 0
        assert memory_kib(controller) - before_kib < MOST_GROWN_KIB
        assert len(status["mirror_targets_that_sent"]) <= 100
        assert controller.log_file.read_text().count("bridge_event") <= 100
