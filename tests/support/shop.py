"""A shop on two hosts under traffic that never pauses: what is asked of it while something happens to it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from topologies.lab import Host, Lab

from support.filters import dropped
from support.packets import build
from support.raw_probes import ACK, Knock, ip_packet, send
from support.site import Site
from support.steady import before_others
from support.traffic import LONG_PORT, SHORT_PORT, UDP_PORT, Pair, Traffic
from support.traffic_report import Report
from zonewall.flows.leaving import REVALIDATION_S

BULK = 1200
"""Rules' flows of a change that is put in force by stages."""
GAP_MS, GAP_FACTOR = 1000.0, 20.0
"""Nobody's traffic stands still so long, or so many times longer than in the same run's calm."""
MACHINES = {
    "acme-client": ("hv1", 1, "web"),
    "acme-far": ("hv2", 2, "db"),
    "acme-near": ("hv1", 3, "db"),
    "acme-beside": ("hv2", 4, "web"),
    "acme-there": ("hv2", 5, "db"),
    "acme-stranger": ("hv1", 6, "other"),
}
PAIRS = (("acme-client", "acme-far", 4), ("acme-client", "acme-near", 6), ("acme-beside", "acme-there", 4))
"""Over both hosts, and on each of them alone."""
SERVICES = [f"udp/{UDP_PORT}", f"tcp/{SHORT_PORT}", f"tcp/{LONG_PORT}"]


def inventory(site: Site) -> dict[str, Any]:
    ends = [
        {"name": name.split("-")[1], "tenant": "acme", "iface-id": name, "mac": f"52:54:00:00:00:0{n}",
         "ips": [f"10.0.0.{n}", f"fd00::{n}"], "labels": {"role": role}}
        for name, (_, n, role) in MACHINES.items()
    ]  # fmt: skip
    return {"kind": "inventory", "hosts": site.lab.inventory_hosts(), "endpoints": ends}


def acme(name: str = "first", *, action: str = "allow", source: str = "web", **zones: Any) -> dict[str, Any]:
    """Return a policy whose rule of this name decides over the traffic."""
    rule = {"name": name, "from": source, "to": "db", "services": SERVICES, "action": action}
    known = {role: {"labels": {"role": role}} for role in ("web", "db", "other")}
    tier = {"name": "application", "rules": [rule]}
    return {"kind": "tenant", "tenant": "acme", "zones": {**known, **zones}, "tiers": [tier]}


def hasten(host: Host) -> None:
    """Have a lost controller found out and tried again sooner than by default, to keep the tests short."""
    host.vsctl("set", "controller", "br-int", "inactivity_probe=1000", "max_backoff=1000")
    host.vsctl("set", "manager", ".", "inactivity_probe=1000", "max_backoff=1000")


@contextmanager
def shop() -> Iterator[Site]:
    """Two hosts, a client and two servers; the policy that allows the traffic is in force."""
    with Lab() as lab:
        site = Site(lab)
        site.hosts = {name: lab.host(name) for name in ("hv1", "hv2")}
        lab.link(*site.hosts.values())
        site.put(inventory=inventory(site), acme=acme())
        site.start()
        site.join(*site.hosts.values())
        for host in site.hosts.values():
            hasten(host)
        for host in site.hosts.values():
            before_others(host.switch.pid)
        for name, (where, n, _) in MACHINES.items():
            site.machine(name, where, f"52:54:00:00:00:0{n}", f"10.0.0.{n}/24", f"fd00::{n}/64")
        site.wait_for(lambda status: len(status["links"]) == 1 and site.is_settled(status))
        yield site


def pairs_of(site: Site, names: Iterable[tuple[str, str, int]]) -> list[Pair]:
    """Return pairs of a client, a server and a family."""
    return [Pair(site.machines[client], site.machines[server], family) for client, server, family in names]


def traffic(site: Site) -> Traffic:
    return Traffic(pairs_of(site, PAIRS), site.machines["acme-stranger"])


def undisturbed(report: Report, what: str) -> None:
    """Print the numbers, and assert that nothing was lost, reset, repeated, leaked or held up."""
    print(f"\n{what}: {report}{holes(report)}")
    assert report.sent > 100
    assert report.lost == 0
    assert report.broken == []
    assert set(report.transfers_broken.values()) == {""}
    assert sum(report.repeated.values()) == 0
    assert all(len(times) > 20 for times in report.transfers.values())
    nothing_leaked(report)
    assert report.longest_gap_ms() < max(GAP_MS, GAP_FACTOR * report.longest_gap_ms(calm=True))


def nothing_leaked(report: Report) -> None:
    """Assert that nothing arrived which no policy allows, nor anything of another identity's."""
    assert report.forbidden > 100
    assert report.leaked == 0
    assert report.knocks > 100
    assert report.let_in == 0


def holes(report: Report, *only: str, before_end: bool = False) -> str:
    """Return which datagrams were lost and what arrived around them, for a person who looks for the cause.

    With ``before_end`` those before the last that arrived; of some servers only these, the last ones first.
    """
    lines = []
    for server in only or report.udp:
        for way, flow in zip(("to", "from"), report.udp[server], strict=True):
            end = max(flow.arrivals, default=0) if only or before_end else flow.sent
            numbers = sorted(set(range(end)) - set(flow.arrivals), reverse=bool(only))
            for number in numbers[:10]:
                around = [flow.arrivals.get(n) for n in (number - 1, number + 1)]
                lines.append(
                    f"\n  lost {way} {server}: {number} of {flow.sent}, neighbours arrived at {around}"
                )
    return "".join(lines[:20])


def rest(site: Site) -> dict[str, Any]:
    """Wait until nothing is on its way: not even the rows that go a moment after a change (decision 0011)."""
    site.settle()
    time.sleep(2 * REVALIDATION_S)
    return site.settle()


def applied(site: Site) -> list[int]:
    """Return how often each bridge was changed by this controller."""
    return [bridge["changes_applied"] for bridge in site.status()["bridges"]]


def since(times: list[float], begin: float, end: float = float("inf")) -> list[float]:
    """Return the times within a span."""
    return [at for at in times if begin < at < end]


def takes_up(site: Site) -> bool:
    """Say whether a packet as of a connection that began before passes where a rule allows connections."""
    client, near = site.machines["acme-client"], site.machines["acme-near"]
    middle = build(ip_packet(client, near, "tcp", SHORT_PORT, flags=ACK))
    after = Knock(client, near, "udp", UDP_PORT).frame()
    with near.capture() as capture:
        send(client, [middle, after])
        assert capture.wait_for(lambda frame: frame == after) is not None
        return middle in capture.drain()


def large(version: int) -> dict[str, Any]:
    """Return a policy that allows the traffic beside other rules in each version, too many for a bundle."""
    policy = acme(("first", "second")[version % 2])
    ports = [20000 + 3 * number + version % 2 for number in range(50)]
    like = policy["tiers"][0]["rules"][0]
    policy["tiers"][0]["rules"] += [
        {**like, "name": f"r{n}", "services": {"proto": "tcp", "source-ports": 1024 + n, "ports": ports}}
        for n in range(BULK // 50)
    ]
    return policy


def flow_count(host: Host) -> int:
    """Return how many flows a bridge holds, whosever they are."""
    return int(host.ofctl("dump-aggregate", "br-int").rpartition("flow_count=")[2].split()[0])


def wait_until_all_is_back(run: Traffic, since_s: float, *, datagrams: bool = False) -> None:
    """Wait until something has arrived on every way since a moment, or on those of datagrams only."""
    deadline = time.monotonic() + 30
    while not all(since(times, since_s) for times in run.so_far().ways(datagrams=datagrams)):
        assert time.monotonic() < deadline, f"not all is back: {run.so_far()}"
        time.sleep(0.1)


def longest(times: list[float]) -> float:
    """Return the longest pause in seconds."""
    return max(b - a for a, b in pairwise(times))


@contextmanager
def cut_off(host: Host, direction: str) -> Iterator[None]:
    """Drop what a host hears from, or says to, the management network."""
    where = "iifname" if direction == "input" else "oifname"
    with dropped(host, direction, f"{where} mgmt0"):
        yield
