"""Faults in an order that a seed says: nothing leaks, and then all is exactly as it should be.

One short run here; ``make chaos`` does as many long ones as wanted, and tells losses that no fault explains.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from support.chaos import ON_THE_WAY, Chaos, chaos, traffic
from support.chaos_faults import BY_NAME, FAULTS, QUICK
from support.held_up import queues
from support.shop import holes, nothing_leaked
from support.traffic_report import Report

COUNT = int(os.environ.get("ZONEWALL_CHAOS", "0"))
FIRST = int(os.environ.get("ZONEWALL_CHAOS_SEED", "1"))
LONG = COUNT > 0
HOSTS = int(os.environ.get("ZONEWALL_CHAOS_HOSTS", "2"))
BURSTS, SIZE = (6, 6) if LONG else (1, 5)
MOST_RESIDENT_KB = 250_000
"""Of the controller, for two or three bridges; a new one has 100,000."""

pytestmark = [
    pytest.mark.net,
    pytest.mark.timeout(3600 if LONG else 300),
    pytest.mark.filterwarnings("ignore:Using fork:DeprecationWarning"),
]


@pytest.mark.parametrize("seed", range(FIRST, FIRST + max(1, COUNT)))
def test_whatever_happens_nothing_leaks_and_every_bridge_ends_as_it_should(seed: int) -> None:
    by_name = LONG and seed % 3 == 0
    kinds = (BY_NAME if by_name else FAULTS) if LONG else QUICK
    with chaos(seed, kinds, by_name=by_name, hosts=HOSTS) as run:
        try:
            with traffic(run.site) as under_way:
                for _ in range(BURSTS):
                    before, held_up = under_way.so_far(), HeldUp(run)
                    run.burst(SIZE)
                    if LONG:
                        no_other_loss(run, before, under_way.so_far(), held_up)
            print(f"\nseed {seed}: {under_way.report}, {resident_kb(run)} kB resident")
            nothing_leaked(under_way.report)
            assert resident_kb(run) < MOST_RESIDENT_KB
            done = run.site.command("journal", "verify", "--state", str(run.site.state))
            assert done.returncode == 0, done.stdout + done.stderr
        except BaseException:
            print("\n".join(run.log), run.site.log()[-20000:], sep="\n")
            raise


class HeldUp:
    """What ports' queues have dropped from now on, as their switch was held up and did not fetch it."""

    def __init__(self, run: Chaos) -> None:
        self._hosts = run.site.hosts
        self._before = {name: queues(host) for name, host in self._hosts.items()}

    def so_far(self, names: Iterable[str]) -> int:
        """Return how many frames of the ports of some hosts it was; of a port that was there before."""
        return sum(
            max(0, dropped - self._before[name].get(port, dropped))
            for name in names
            for port, dropped in queues(self._hosts[name]).items()
        )


def no_other_loss(run: Chaos, before: Report, after: Report, held_up: HeldUp) -> None:
    """Assert that of traffic whose hosts no fault has disturbed hardly a packet was lost (docs/status.md)."""
    for server in after.udp:
        hosts = ON_THE_WAY[server]
        lost = [
            now.holes - then.holes for now, then in zip(after.udp[server], before.udp[server], strict=True)
        ]
        if hosts & run.disturbed or max(lost) <= len(hosts):
            continue
        missed = held_up.so_far(hosts & run.site.hosts.keys())
        print(f"\n{server} lost {lost}; a switch on the way was held up and did not fetch {missed} frames")
        assert max(lost) <= len(hosts) + missed, (server, lost, holes(after, server))


def resident_kb(run: Chaos) -> int:
    """Return the controller's resident memory."""
    assert run.site.controller is not None
    text = Path(f"/proc/{run.site.controller.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])
