"""A hostile machine sends all it can: what that costs others is measured, beside a run without it."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from topologies.lab import Lab, Machine

from support import flood, steady
from support.raw_probes import send
from support.service_frames import eventually
from support.site import Site

pytestmark = [pytest.mark.net, pytest.mark.timeout(300)]
MACHINES = {"evil": ("hv1", 1), "one": ("hv1", 2), "two": ("hv1", 3), "mover": ("hv1", 4)}
MOVES = 4
PER_S, NEW_PER_S = 200, 1000
WAY_FACTOR, MOVE_FACTOR = 10, 4
"""What docs/runtime.md states: a flood makes nothing of others' longer than so many times."""


def mac(number: int) -> str:
    return f"52:54:00:00:00:{number:02x}"


def documents(site: Site) -> dict[str, Any]:
    ends = [
        {"name": name, "tenant": "acme", "iface-id": f"acme-{name}", "mac": mac(n), "ips": [f"10.0.0.{n}"]}
        for name, (_, n) in MACHINES.items()
    ]
    rules = [{"name": "all", "from": "any", "to": "any", "action": "allow"}]
    return {
        "inventory": {"kind": "inventory", "hosts": site.lab.inventory_hosts(), "endpoints": ends},
        "acme": {"kind": "tenant", "tenant": "acme", "tiers": [{"name": "t", "rules": rules}]},
        "provider": {"kind": "provider", "limits": {"new-connections": f"{NEW_PER_S}/s per endpoint"}},
    }


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Lab() as lab:
        site = Site(lab)
        site.hosts = {name: lab.host(name) for name in ("hv1", "hv2")}
        lab.link(*site.hosts.values())
        site.put(**documents(site))
        site.start()
        site.join(*site.hosts.values())
        for name, (host, n) in MACHINES.items():
            site.machine(f"acme-{name}", host, mac(n), f"10.0.0.{n}/24")
        site.settle()
        site.wait_for(lambda status: len(status["links"]) == 1)
        yield site


def test_what_the_flood_begins_is_what_a_rule_allows(site: Site) -> None:
    evil, two = site.machines["acme-evil"], site.machines["acme-two"]
    flooder = flood.Flooder(evil.mac, evil.ips[0], two.mac, two.ips[0])
    frames = [flooder.begin(6), flooder.begin(17)]
    with two.capture() as capture:
        send(evil, frames)
        assert all(capture.wait_for(lambda seen, frame=frame: seen == frame) for frame in frames)


@dataclass(frozen=True, slots=True)
class Felt:
    """What others felt: part lost, milliseconds on the way (median), and out of reach in a move (median)."""

    lost: float
    way_ms: float
    move_ms: float


@contextmanager
def steadily(source: Machine, target: Machine, port: int, arrivals: Path) -> Iterator[None]:
    """Send numbered datagrams from one machine to another within the block."""
    receiver = target.start(sys.executable, steady.__file__, "receive", str(port), str(arrivals))
    eventually(arrivals.exists)  # it is made when somebody listens
    address = target.ips[0]
    sender = source.start(sys.executable, steady.__file__, "send", address, str(port), str(PER_S))
    try:
        yield
    finally:
        sender.stop()
        time.sleep(0.3)
        receiver.stop()


def felt(site: Site, name: str) -> Felt:
    """Move a machine back and forth under traffic to it, beside traffic between two others."""
    one, two, mover = (site.machines[f"acme-{who}"] for who in ("one", "two", "mover"))
    pair, moving = (site.folder / f"{name}-{what}" for what in ("pair", "moving"))
    gaps: list[float] = []
    with steadily(one, two, 7001, pair), steadily(one, mover, 7002, moving):
        time.sleep(1.0)
        for turn in range(MOVES):
            began = time.time_ns()
            mover.migrate(
                site.hosts["hv2" if turn % 2 == 0 else "hv1"],
                copy_s=0,
                ready=lambda: site.wait_for(
                    lambda _: (
                        "pending" in site.places("acme/mover").values() and site.is_settled(site.status())
                    )
                ),
                linger_s=0.5,
            )
            site.wait_for(lambda _: list(site.places("acme/mover").values()) == ["active"])
            gaps.append(steady.longest_gap_ms(moving, began, time.time_ns()))
    rows = steady.rows(pair)
    ways = [(received - sent) / 1e6 for _, sent, received in rows]
    numbers = {number for number, _, _ in rows}
    count = max(numbers) - min(numbers) + 1
    return Felt(1 - len(numbers) / count, statistics.median(ways), statistics.median(gaps))


def test_a_machine_that_floods_with_all_it_can_costs_others_little(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    calm = felt(site, "calm")
    evil, two = site.machines["acme-evil"], site.machines["acme-two"]
    sent = site.folder / "sent"
    words = ("eth0", evil.mac, evil.ips[0], two.mac, two.ips[0], str(sent))
    began = time.monotonic()
    flooding = evil.start(sys.executable, flood.__file__, *words)
    site.wait_for(lambda _: sent.exists())
    flooded = felt(site, "flooded")
    tracked = int(site.hosts["hv1"].appctl("dpctl/ct-get-nconns"))
    flooding.stop()
    seconds = time.monotonic() - began
    rate = int(sent.read_text()) / seconds
    with capsys.disabled():
        print(f"\n{rate:,.0f} frames/s; calm: {calm}; flooded: {flooded}; {tracked} connections tracked")
    assert rate > 1000
    assert flooded.lost <= calm.lost + 0.01
    assert flooded.way_ms <= max(WAY_FACTOR * calm.way_ms, 5.0)
    assert flooded.move_ms <= max(MOVE_FACTOR * calm.move_ms, 200.0)
    # Whatever it begins, no more is tracked than its limit lets it begin.
    assert tracked <= NEW_PER_S * (seconds + 1)
    assert site.is_settled(site.status())
