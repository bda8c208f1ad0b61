"""A hostile machine sends all it can: what that costs others is measured, beside a run without it."""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from topologies.lab import Lab, Machine

from support import flood, steady
from support.raw_probes import send
from support.service_frames import eventually
from support.site import Site, places_in

pytestmark = [pytest.mark.net, pytest.mark.timeout(300)]
MACHINES = {"evil": ("hv1", 1), "one": ("hv1", 2), "two": ("hv1", 3), "mover": ("hv1", 4)}
FLOODED = (False, True, True, False) * 2
"""In turns, so that both see as much of the machine's other work, and as many moves there as back."""
PER_S, NEW_PER_S = 200, 1000
BEFORE_S = 0.5
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
        for hypervisor in site.hosts.values():
            steady.before_others(hypervisor.switch.pid)  # what else the machine does is not the flood's
        lab.link(*site.hosts.values())
        site.put(**documents(site))
        site.start()
        site.join(*site.hosts.values())
        for name, (host, n) in MACHINES.items():
            site.machine(f"acme-{name}", host, mac(n), f"10.0.0.{n}/24")
        site.wait_for(lambda status: len(status["links"]) == 1 and site.is_settled(status))
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


def moved(site: Site) -> None:
    """Move the mover to the other host, and wait until it is there alone."""
    mover = site.machines["acme-mover"]
    mover.migrate(
        next(host for host in site.hosts.values() if host is not mover.at),
        copy_s=0,
        ready=lambda: site.wait_for(
            lambda now: "pending" in places_in(now, "acme/mover").values() and site.is_settled(now)
        ),
        linger_s=0.5,
    )
    site.wait_for(lambda _: list(site.places("acme/mover").values()) == ["active"])


def felt(pair: Path, moving: Path, spans: Sequence[tuple[int, int]]) -> Felt:
    """Return what was felt in the times in which the machine moved."""
    flights = [steady.flight(pair, *span) for span in spans]
    ways = [
        (received - sent) / 1e6
        for _, sent, received in steady.rows(pair)
        if any(begin <= sent <= end for begin, end in spans)
    ]
    gaps = [steady.longest_gap_ms(moving, *span) for span in spans]
    lost = sum(flight.lost for flight in flights) / sum(flight.sent for flight in flights)
    return Felt(lost, statistics.median(ways), statistics.median(gaps))


def test_a_machine_that_floods_with_all_it_can_costs_others_little(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """Move a machine back and forth under traffic to it, beside traffic between two others."""
    one, two, mover, evil = (site.machines[f"acme-{who}"] for who in ("one", "two", "mover", "evil"))
    pair, moving, sent = (site.folder / name for name in ("pair", "moving", "sent"))
    words = ("eth0", evil.mac, evil.ips[0], two.mac, two.ips[0], str(sent))
    spans: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    tracked = 0
    with steadily(one, two, 7001, pair), steadily(one, mover, 7002, moving):
        flooding = evil.start(sys.executable, flood.__file__, *words)
        site.wait_for(lambda _: sent.exists())
        for is_flooded in FLOODED:
            os.killpg(flooding.pid, signal.SIGCONT if is_flooded else signal.SIGSTOP)
            time.sleep(BEFORE_S)
            began = time.time_ns()
            moved(site)
            spans[is_flooded].append((began, time.time_ns()))
            tracked = max(tracked, int(site.hosts["hv1"].appctl("dpctl/ct-get-nconns")))
        os.killpg(flooding.pid, signal.SIGCONT)
        flooding.stop()
    calm, flooded = (felt(pair, moving, spans[is_flooded]) for is_flooded in (False, True))
    seconds = sum(BEFORE_S + (end - begin) / 1e9 for begin, end in spans[True])
    rate = int(sent.read_text()) / seconds
    with capsys.disabled():
        print(f"\n{rate:,.0f} frames/s; calm: {calm}; flooded: {flooded}; {tracked} connections tracked")
    assert rate > 1000
    assert flooded.lost <= calm.lost + 0.01
    assert flooded.way_ms <= WAY_FACTOR * calm.way_ms
    assert flooded.move_ms <= MOVE_FACTOR * calm.move_ms
    # Whatever it begins, no more is tracked than its limit lets it begin: a second's more, each time anew.
    assert tracked <= NEW_PER_S * (seconds + FLOODED.count(True))
    assert site.is_settled(site.status())
