"""No disruption, shown under traffic: every number is printed and asserted."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from topologies.lab import Host, Lab

from support.site import OPENFLOW, Site
from support.traffic import LONG_PORT, SHORT_PORT, UDP_PORT, Report, Traffic
from zonewall.flows.leaving import REVALIDATION_S

pytestmark = [
    pytest.mark.net,
    pytest.mark.timeout(600),
    # The traffic's process is forked; nothing of eventlet, which python-ovs imports, is used in it.
    pytest.mark.filterwarnings("ignore:Using fork:DeprecationWarning"),
]
CHANGES = 500
KILLS = 20
SILENT_S = 0.9
"""Longer than TCP waits before it repeats a second time."""
MACHINES = {"acme-client": ("hv1", 1, "web"), "acme-far": ("hv2", 2, "db"), "acme-near": ("hv1", 3, "db")}
SERVICES = [f"udp/{UDP_PORT}", f"tcp/{SHORT_PORT}", f"tcp/{LONG_PORT}"]


def inventory(site: Site) -> dict[str, Any]:
    ends = [
        {"name": name.split("-")[1], "tenant": "acme", "iface-id": name, "mac": f"52:54:00:00:00:0{n}",
         "ips": [f"10.0.0.{n}", f"fd00::{n}"], "labels": {"role": role}}
        for name, (_, n, role) in MACHINES.items()
    ]  # fmt: skip
    return {"kind": "inventory", "hosts": site.lab.inventory_hosts(), "endpoints": ends}


def acme(name: str = "first", *, action: str = "allow", **zones: Any) -> dict[str, Any]:
    """Return a policy whose rule of this name decides over the traffic."""
    rule = {"name": name, "from": "web", "to": "db", "services": SERVICES, "action": action}
    known = {role: {"labels": {"role": role}} for role in ("web", "db")}
    tier = {"name": "application", "rules": [rule]}
    return {"kind": "tenant", "tenant": "acme", "zones": {**known, **zones}, "tiers": [tier]}


def hasten(host: Host) -> None:
    """Have a lost controller found out and tried again sooner than by default, to keep the tests short."""
    host.vsctl("set", "controller", "br-int", "inactivity_probe=1000", "max_backoff=1000")


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
        for name, (where, n, _) in MACHINES.items():
            site.machine(name, where, f"52:54:00:00:00:0{n}", f"10.0.0.{n}/24", f"fd00::{n}/64")
        site.settle()
        site.wait_for(lambda status: len(status["links"]) == 1)
        yield site


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    with shop() as site:
        yield site


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    yield running
    running.change(acme=acme())


def traffic(site: Site) -> Traffic:
    client, far, near = (site.machines[name] for name in MACHINES)
    return Traffic(client, (far, near), (4, 6))


def undisturbed(report: Report, what: str) -> None:
    """Print the numbers, and assert that nothing was lost, reset, repeated or leaked."""
    print(f"\n{what}: {report}{holes(report)}")
    assert report.sent > 100
    assert report.lost == 0
    assert report.broken == []
    assert set(report.transfers_broken.values()) == {""}
    assert sum(report.repeated.values()) == 0
    assert all(len(times) > 20 for times in report.transfers.values())
    assert report.forbidden > 100
    assert report.leaked == 0


def holes(report: Report) -> str:
    """Return which datagrams were lost and what arrived around them, for a person who looks for the cause."""
    lines = []
    for server, pair in report.udp.items():
        for way, flow in zip(("to", "from"), pair, strict=True):
            for number in sorted(set(range(flow.sent)) - set(flow.arrivals)):
                around = [flow.arrivals.get(n) for n in (number - 1, number + 1)]
                lines.append(
                    f"\n  lost {way} {server}: {number} of {flow.sent}, neighbours arrived at {around}"
                )
    return "".join(lines)


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


def every_way(report: Report) -> list[list[float]]:
    """Return the arrivals of each way of datagrams and of each transfer."""
    return [flow.times for pair in report.udp.values() for flow in pair] + list(report.transfers.values())


def test_500_changes_between_two_policies_that_allow_it_lose_nothing_and_leak_nothing(site: Site) -> None:
    """Rule, its number, the zones and with them every identity are others each time."""
    before, begun = applied(site), time.monotonic()
    with traffic(site) as run:
        for number in range(CHANGES):
            more: dict[str, Any] = {"extra": {"labels": {"role": "web"}}} if number % 2 else {}
            site.change(acme=acme(("first", "second")[number % 2], **more))
    took = time.monotonic() - begun
    undisturbed(run.report, f"{CHANGES} changes of the policy in {took:.0f} s")
    assert all(now - then >= CHANGES - 1 for now, then in zip(applied(site), before, strict=True))


def test_a_revoked_rule_ends_its_transfers_on_every_bridge_and_they_live_on_when_it_is_back(
    site: Site,
) -> None:
    cuts: list[float] = []
    with traffic(site) as run:
        for _ in range(3):
            time.sleep(0.7)
            revoked = time.monotonic()
            site.change(acme=acme(action="drop"))
            time.sleep(2 * SILENT_S)
            allowed = time.monotonic()
            ways = every_way(run.so_far())
            cuts.append(max(max(times) for times in ways) - revoked)
            assert not any(since(times, allowed - SILENT_S) for times in ways), (
                "all of it is cut, and stays so"
            )
            assert all(since(times, revoked - 0.7, revoked) for times in ways)
            site.change(acme=acme())
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                if all(since(times, allowed) for times in every_way(run.so_far())):
                    break
                time.sleep(0.1)
            else:
                raise AssertionError(f"not all is back 10 s after the rule is: {run.so_far()}")
    print(f"\ncut after {', '.join(f'{cut * 1000:.0f}' for cut in cuts)} ms: {run.report}")
    assert set(run.report.transfers_broken.values()) == {""}
    assert run.report.leaked == 0
    told = cut_connections(site)
    for server in ("acme/far", "acme/near"):
        transfers = [one for one in told if one["destination"]["endpoint"] == server and is_transfer(one)]
        assert [(one["rule"], one["by"]) for one in transfers] == [("acme/application/first",) * 2] * 3
        assert {one["source"]["endpoint"] for one in transfers} == {"acme/client"}
    assert all(one["protocol"] in ("tcp", "udp") for one in told)


def cut_connections(site: Site) -> list[dict[str, Any]]:
    """Return what the journal tells of connections that were cut, oldest first."""
    done = site.command("journal", "--state", str(site.state), "--kind", "cut", "--output", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["details"] for line in done.stdout.splitlines()]


def is_transfer(cut: dict[str, Any]) -> bool:
    """Say whether it is the long transfer, whose server listens on a port of its own."""
    return (cut["protocol"], cut["destination"]["service"]) == ("tcp", LONG_PORT)


def test_where_a_rule_says_so_its_connections_are_drained_or_kept(another_site: Site) -> None:
    """The rule to ``far`` is drained in two seconds, that to ``near`` kept; only what goes is told."""
    site, drained_s = another_site, 2.0
    policy = acme()
    policy["zones"] |= {name: {"endpoints": [name]} for name in ("far", "near")}
    rule = policy["tiers"][0]["rules"][0]
    policy["tiers"][0]["rules"] = [
        {**rule, "name": "to-far", "to": "far", "on-change": f"drain {drained_s:.0f}"},
        {**rule, "name": "to-near", "to": "near", "on-change": "keep"},
    ]
    site.change(acme=policy)
    with traffic(site) as run:
        time.sleep(1)
        policy["tiers"][0]["rules"] = []
        revoked = time.monotonic()
        site.change(acme=policy)
        gone = time.monotonic()
        time.sleep(drained_s + 2)
        seen = run.so_far()
        far, near = (seen.transfers[name] for name in ("acme-far", "acme-near"))
        assert since(far, gone, gone + drained_s / 2), "a drained connection lives on for its time"
        assert not since(far, gone + drained_s + 1.0), "and no longer"
        assert since(near, gone + drained_s + 1.0), "a kept one lives on"
        assert since(near, revoked, gone)
    transfers = [one for one in cut_connections(site) if is_transfer(one)]
    assert [(one["rule"], one["destination"]["endpoint"]) for one in transfers] == [
        ("acme/application/to-far", "acme/far")
    ]


def test_a_controller_that_is_killed_20_times_loses_nothing_and_sends_no_flow_where_nothing_changed(
    site: Site,
) -> None:
    unchanged = []
    with traffic(site) as run:
        for number in range(KILLS // 4):
            rest(site)
            site.restart(signal.SIGKILL)
            site.settle()
            unchanged.append(sum(applied(site)))
            # In the middle of an update, then twice in the middle of the start that follows.
            site.put(acme=acme(("second", "first")[number % 2]))
            for moment_s in (0.05 + 0.03 * number, 0.5 + 0.2 * number, 1.0 + 0.5 * number):
                time.sleep(moment_s)
                site.restart(signal.SIGKILL)
            site.settle()
    undisturbed(run.report, f"{KILLS} times SIGKILL")
    assert unchanged == [0] * (KILLS // 4)


def test_a_flapping_connection_and_a_cut_to_the_controller_lose_nothing(site: Site) -> None:
    address = site.lab.controller_address
    hv1, hv2 = site.hosts.values()
    before = rest(site)
    with traffic(site) as run:
        for _ in range(4):
            hv2.set_controller(f"tcp:{address}:1")
            time.sleep(0.3)
            hv2.set_controller(f"tcp:{address}:{OPENFLOW}")
            time.sleep(0.7)
        hasten(hv2)
        for direction in ("input", "output"):
            with cut_off(hv2, direction):
                time.sleep(4)
            site.settle()
        hv1.set_management(up=False)
        time.sleep(2)
        hv1.set_management(up=True)
        site.settle()
    undisturbed(run.report, "flaps, and cuts in each direction")
    after = rest(site)
    assert [one["flows"] for one in after["bridges"]] == [one["flows"] for one in before["bridges"]]


@pytest.fixture
def another_site() -> Iterator[Site]:
    """One of its own for what has a consequence half a minute later: the window of taking up ends."""
    with shop() as site:
        yield site


def test_a_restart_of_ovs_vswitchd_leaks_nothing_and_its_connections_are_taken_up(another_site: Site) -> None:
    site = another_site
    hv1, hv2 = site.hosts.values()
    with traffic(site) as run:
        for host in (hv2, hv1):
            time.sleep(1)
            begun = time.monotonic()
            host.switch.restart_vswitchd()
            deadline = begun + 30
            while not all(since(times, begun + 0.3) for times in every_way(run.so_far())):
                assert time.monotonic() < deadline, f"{host.short_name}: not all is back: {run.so_far()}"
                time.sleep(0.1)
            site.settle()
    report = run.report
    gaps = {name: longest(times) for name, times in report.transfers.items()}
    print(f"\novs-vswitchd restarted on both hosts: {report}")
    print(", ".join(f"transfer to {name}: longest gap {gap:.1f} s" for name, gap in gaps.items()))
    assert report.leaked == 0
    assert report.forbidden > 100
    assert set(report.transfers_broken.values()) == {""}
    assert report.lost > 0  # in user space the datapath dies with it
    assert max(gaps.values()) < 20


def longest(times: list[float]) -> float:
    """Return the longest pause in seconds."""
    return max(b - a for a, b in pairwise(times))


@contextmanager
def cut_off(host: Host, direction: str) -> Iterator[None]:
    """Drop what a host hears from, or says to, the management network."""
    where = "iifname" if direction == "input" else "oifname"
    rule = f"type filter hook {direction} priority 0; {where} mgmt0 drop"
    host.run("nft", "-f", "-", stdin=f"table inet cut {{\n chain c {{\n {rule}\n }}\n}}\n")
    try:
        yield
    finally:
        host.run("nft", "delete", "table", "inet", "cut")
