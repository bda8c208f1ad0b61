"""Faults in a seeded order, done to a fleet under traffic; then every bridge is exactly as it should be.

A burst is some faults one after the other (``chaos_faults``), often while the controller is still at work on
the one before; then all that was taken away is given back.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from topologies.lab import Host, Lab, LabError
from topologies.machine import Machine

from support.exactly import Truth, exact
from support.shop import MACHINES, PAIRS, acme, hasten, large, pairs_of
from support.site import OPENFLOW, PATIENCE_S, Site
from support.steady import before_others
from support.traffic import Traffic

WANDERERS = {"acme-roam1": 11, "acme-roam2": 12, "acme-roam3": 13}
"""Machines that are plugged, moved and isolated; the shop's stay where they are."""
TWIN = "twin"
"""How ports are called that say they are a wanderer's, too."""
LONGEST_PAUSE_S = 0.6
ON_THE_WAY = {
    "acme-far": {"hv1", "hv2", "hv1-hv2"},
    "acme-near": {"hv1"},
    "acme-there": {"hv2"},
    "acme-third": {"hv1", "hv3", "hv1-hv3"},
}
"""Whom the traffic to each of the shop's servers passes, and over which cable."""
THIRD = {"acme-third": ("hv3", 7, "db")}
"""What three hosts have beside the shop's machines."""


@dataclass
class Wishes:
    """What the documents say beside the shop's rule.

    Attributes:
        left_out: machines that the inventory has not, and hosts.
        large: which of several large policies is wanted, 0 for none.
        by_name: endpoints are known by their ports' names, as where no database is connected.
    """

    rules: list[dict[str, Any]] = field(default_factory=list)
    zones: dict[str, Any] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    large: int = 0
    by_name: bool = False


class Chaos:
    """A fleet, and what has happened to it; ``log`` tells that, with times."""

    def __init__(self, site: Site, seed: int, faults: Mapping[Callable[[Chaos], None], int]) -> None:
        """Do faults of these kinds, each as often as its number says beside the others'."""
        self.site = site
        self.random = random.Random(seed)
        self.truth = Truth()
        self.log: list[str] = []
        self.disturbed: set[str] = set()
        """Hosts whose own forwarding this burst has stopped or changed, and cables."""
        self.wishes = Wishes()
        self.stopped: set[str] = set()
        """Hosts whose switch is stopped at the moment."""
        self._faults = dict(faults)
        self._begun = time.monotonic()
        self._undo: list[Callable[[], object]] = []

    def burst(self, count: int) -> None:
        """Do so many faults, give everything back, and wait until all is exactly as it should be."""
        self.disturbed.clear()
        for _ in range(count):
            self._one()
            time.sleep(self.random.choice((0.0, 0.02, 0.1, self.random.random() * LONGEST_PAUSE_S)))
        self.heal()
        exact(self.site, self.truth)

    def _one(self) -> None:
        fault = self.random.choices(list(self._faults), list(self._faults.values()))[0]
        self.say(fault.__name__)
        with suppress(LabError, subprocess.TimeoutExpired):  # a switch that is stopped cannot be told
            fault(self)
            return
        self.say("  failed")

    def say(self, what: str) -> None:
        """Note what happens now."""
        self.log.append(f"{time.monotonic() - self._begun:8.2f} {what}")

    def heal(self) -> None:
        """Give back what was taken away."""
        self.say("healed")
        while self._undo:
            undo, deadline = self._undo.pop(), time.monotonic() + PATIENCE_S
            while True:
                try:
                    undo()
                    break
                except LabError:  # a switch that has just begun again has no such bridge for a moment
                    assert time.monotonic() < deadline, "what was taken away cannot be given back"
                    time.sleep(0.1)
        self.revive()

    def revive(self) -> None:
        """Start the controller, where there is none."""
        controller = self.site.controller
        if controller is None or not controller.running():
            self.site.start(*self.site.words)

    def later(self, undo: Callable[[], object]) -> None:
        """Have something undone when the burst is over."""
        self._undo.append(undo)

    def at_last(self, undo: Callable[[], object]) -> None:
        """Have something undone when all the rest is."""
        self._undo.insert(0, undo)

    def for_a_while(self, undo: Callable[[], object]) -> None:
        """Have something undone soon, or when the burst is over."""
        if self.random.random() < 0.5:
            time.sleep(self.random.random() * 3)
            undo()
        else:
            self.later(undo)

    def some_host(self) -> Host:
        """Return one of the hosts whose switch is not stopped."""
        host = self.random.choice([h for h in self.site.hosts.values() if h.short_name not in self.stopped])
        self.log[-1] += f" {host.short_name}"
        return host

    def other_host(self, *but: Host | None) -> Host:
        """Return one of the hosts, but not one of some."""
        return self.random.choice([host for host in self.site.hosts.values() if host not in but])

    def wanderer(self) -> tuple[str, Machine]:
        """Return one of the machines that move."""
        name = self.random.choice(list(WANDERERS))
        return name, self.site.machines[name]

    def put(self) -> None:
        """Write the documents as they are to be now."""
        policy = acme("first", extra={"labels": {"role": "web"}}, **self.wishes.zones)
        policy["tiers"][0]["rules"] += self.wishes.rules
        if self.wishes.large:
            policy["tiers"][0]["rules"] += large(self.wishes.large)["tiers"][0]["rules"][1:]
        self.site.put(inventory=self._inventory(), acme=policy)

    def _bound(self, name: str) -> dict[str, Any]:
        return {"port": {"name": name}} if self.wishes.by_name else {"iface-id": name}

    def _inventory(self) -> dict[str, Any]:
        names = {name: (n, role) for name, (_, n, role) in shops(self.site).items()}
        names |= {name: (n, "roam") for name, n in WANDERERS.items() if name not in self.wishes.left_out}
        ends = [
            {"name": name.split("-")[1], "tenant": "acme", **self._bound(name), "mac": mac(n),
             "ips": [f"10.0.0.{n}", f"fd00::{n}"], "labels": {"role": role}}
            for name, (n, role) in names.items()
        ]  # fmt: skip
        hosts = self.site.lab.inventory_hosts()
        for host in hosts.values():
            host["bridges"]["br-int"]["foreign-flows"] = "remove"
        kept = {name: host for name, host in hosts.items() if name not in self.wishes.left_out}
        return {"kind": "inventory", "hosts": kept, "endpoints": ends}


def mac(n: int) -> str:
    """Return the MAC address of a machine."""
    return f"52:54:00:00:00:{n:02x}"


def shops(site: Site) -> dict[str, tuple[str, int, str]]:
    """Return the machines of the shop that have a host there."""
    return {name: one for name, one in (MACHINES | THIRD).items() if one[0] in site.hosts}


def traffic(site: Site) -> Traffic:
    """Return the shop's traffic, and to each further server there."""
    more = [("acme-client", name, 6) for name in THIRD if name in site.machines]
    return Traffic(pairs_of(site, [*PAIRS, *more]), site.machines["acme-stranger"])


def cable(one: str, other: str) -> str:
    """Return what the cable between two hosts is called."""
    return "-".join(sorted((one, other)))


def cables_of(host: Host) -> set[str]:
    """Return those that end at a host; each port is called after the host at the other end."""
    return {cable(host.short_name, port.removeprefix("to-")) for port in host.roles["br-int"]}


@contextmanager
def chaos(
    seed: int, faults: Mapping[Callable[[Chaos], None], int], *, by_name: bool = False, hosts: int = 2
) -> Iterator[Chaos]:
    """Some hosts, each joined with each, the shop's machines and those that wander; all is in force.

    ``by_name``: the controller knows ports by what bridges tell of them, and is told by no database.
    """
    with Lab() as lab:
        site = Site(lab)
        site.hosts = {name: lab.host(name) for name in ("hv1", "hv2", "hv3")[:hosts]}
        run = Chaos(site, seed, faults)
        for one, other in combinations(site.hosts, 2):
            lab.link(site.hosts[one], site.hosts[other])
            run.truth.links.append(((one, f"to-{other}"), (other, f"to-{one}")))
        run.truth.databases = not by_name
        run.wishes.by_name = by_name
        run.put()
        start(site, by_name=by_name)
        for host in site.hosts.values():
            hasten(host)
            before_others(host.switch.pid)
        places = {name: (where, n) for name, (where, n, _) in shops(site).items()}
        places |= {name: (run.random.choice(list(site.hosts)), n) for name, n in WANDERERS.items()}
        for name, (where, n) in places.items():
            site.machine(name, where, mac(n), f"10.0.0.{n}/24", f"fd00::{n}/64")
        exact(site, run.truth)
        yield run


def start(site: Site, *, by_name: bool) -> None:
    """Start the controller, and have the hosts connect to it."""
    if by_name:
        place = f"tcp:{site.lab.controller_address}:{OPENFLOW}"
        site.start("--state", str(site.state), "--allow-plain", "--openflow", place)
    else:
        site.start()
    site.join(*site.hosts.values())
