"""No disruption, shown under traffic: every number is printed and asserted."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest
from topologies.lab import Host

from support.cut_records import cut_connections
from support.next_version import next_version
from support.shop import (
    BULK,
    PAIRS,
    acme,
    applied,
    cut_off,
    flow_count,
    hasten,
    holes,
    large,
    longest,
    nothing_leaked,
    rest,
    shop,
    since,
    takes_up,
    traffic,
    undisturbed,
    wait_until_all_is_back,
)
from support.site import OPENFLOW, Site
from support.traffic import LONG_PORT
from zonewall.pipeline.layout import LAYOUT

pytestmark = [
    pytest.mark.net,
    pytest.mark.timeout(600),
    # The traffic's process is forked; nothing of eventlet, which python-ovs imports, is used in it.
    pytest.mark.filterwarnings("ignore:Using fork:DeprecationWarning"),
]
CHANGES = 500
KILLS = 20
DEAD_S = 1.0
"""What was revoked is dead within this time of the document being saved."""
SILENT_S = 0.9
"""Longer than TCP waits before it repeats a second time."""
WINDOW_S = 30.0
"""For so long after a bridge's start connections are taken up in their middle."""


@pytest.fixture(scope="module")
def running() -> Iterator[Site]:
    with shop() as site:
        yield site


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    yield running
    running.change(acme=acme())


def test_500_changes_between_two_policies_that_allow_it_lose_nothing_and_leak_nothing(site: Site) -> None:
    """Rule, its number, the zones and with them every identity are others each time.

    That takes longer than connections are taken up in their middle after a start, so that is tried, too.
    """
    before, begun = applied(site), time.monotonic()
    with traffic(site) as run:
        for number in range(CHANGES):
            more: dict[str, Any] = {"extra": {"labels": {"role": "web"}}} if number % 2 else {}
            site.change(acme=acme(("first", "second")[number % 2], **more))
    took = time.monotonic() - begun
    undisturbed(run.report, f"{CHANGES} changes of the policy in {took:.0f} s")
    assert all(now - then >= CHANGES - 1 for now, then in zip(applied(site), before, strict=True))
    deadline = time.monotonic() + 3 * WINDOW_S
    while takes_up(site):
        assert time.monotonic() < deadline, "the window never closes"
        time.sleep(0.5)


def test_what_arrives_of_another_identity_is_noticed_whatever_it_is(site: Site) -> None:
    """What the stranger sends is seen to arrive as soon as a rule says so: nothing elsewhere is nothing."""
    site.change(acme=acme(source="any"))
    with traffic(site) as run:
        time.sleep(0.5)
    print(f"\nwith a rule for the stranger, too: {run.report}")
    assert run.report.let_in > 20
    assert run.report.leaked == 0


def test_a_revoked_rule_ends_its_transfers_on_every_bridge_and_they_live_on_when_it_is_back(
    site: Site,
) -> None:
    """Each bridge is looked at alone, too: between two machines that it holds both."""
    cuts: list[float] = []
    with traffic(site) as run:
        for _ in range(3):
            time.sleep(0.3)
            revoked = time.monotonic()
            site.change(acme=acme(action="drop"))
            time.sleep(2 * SILENT_S)
            allowed = time.monotonic()
            ways = list(run.so_far().ways())
            cuts.append(max(max(times) for times in ways) - revoked)
            assert not any(since(times, allowed - SILENT_S) for times in ways), (
                "all of it is cut, and stays so"
            )
            assert all(since(times, revoked - 0.7, revoked) for times in ways)
            site.change(acme=acme())
            wait_until_all_is_back(run, allowed)
    print(f"\ncut after {', '.join(f'{cut * 1000:.0f}' for cut in cuts)} ms: {run.report}")
    assert median(cuts) < DEAD_S
    assert set(run.report.transfers_broken.values()) == {""}
    nothing_leaked(run.report)
    told = cut_connections(site)
    for client, server, _ in PAIRS:
        ends = tuple(name.replace("-", "/") for name in (client, server))
        transfers = [one for one in told if endpoints(one) == ends and is_transfer(one)]
        assert [(one["rule"], one["by"]) for one in transfers] == [("acme/application/first",) * 2] * 3
    assert all(one["protocol"] in ("tcp", "udp") for one in told)


def endpoints(cut: dict[str, Any]) -> tuple[str, str]:
    """Return between whom it was."""
    return cut["source"]["endpoint"], cut["destination"]["endpoint"]


def is_transfer(cut: dict[str, Any]) -> bool:
    """Say whether it is the long transfer, whose server listens on a port of its own."""
    return (cut["protocol"], cut["destination"]["service"]) == ("tcp", LONG_PORT)


def test_where_a_rule_says_so_its_connections_are_drained_or_kept(another_site: Site) -> None:
    """The rule to ``far`` is drained in two seconds, that to the others kept; only what goes is told."""
    site, drained_s = another_site, 2.0
    policy = acme()
    policy["zones"] |= {"far": {"endpoints": ["far"]}, "others": {"endpoints": ["near", "there"]}}
    rule = policy["tiers"][0]["rules"][0]
    policy["tiers"][0]["rules"] = [
        {**rule, "name": "to-far", "to": "far", "on-change": f"drain {drained_s:.0f}"},
        {**rule, "name": "to-others", "to": "others", "on-change": "keep"},
    ]
    site.change(acme=policy)
    with traffic(site) as run:
        time.sleep(1)
        policy["tiers"][0]["rules"] = []
        revoked = time.monotonic()
        site.change(acme=policy)
        gone = time.monotonic()
        time.sleep(0.5)
        short = len(run.so_far().short)
        time.sleep(drained_s + 2.5)
        ended = time.monotonic()
    report = run.report
    print(f"\none rule drained in {drained_s:.0f} s, one kept: {report}{holes(report, before_end=True)}")
    nothing_leaked(report)
    assert set(report.transfers_broken.values()) == {""}
    for name, pair in report.udp.items():
        ways = [flow.times for flow in pair] + [report.transfers[name]]
        assert [flow.holes for flow in pair] == [0, 0], "nothing is lost of what lives on"
        assert all(since(times, revoked, gone) for times in ways)
        if name == "acme-far":
            assert all(since(times, gone, gone + drained_s / 2) for times in ways), "it lives on for its time"
            assert not any(since(times, gone + drained_s + 2.0) for times in ways), "and no longer"
        else:
            assert all(since(times, ended - 1.0) for times in ways), "a kept one lives on"
    assert len(report.short) == short, "nothing new begins"
    transfers = [one for one in cut_connections(site) if is_transfer(one)]
    assert [(one["rule"], one["destination"]["endpoint"]) for one in transfers] == [
        ("acme/application/to-far", "acme/far")
    ]


def kill_in_mid_update(site: Site, version: int) -> bool:
    """Save a large change, kill the controller in the middle, and say if the bridge holds parts of both."""
    host = list(site.hosts.values())[version % 2]
    before = flow_count(host)
    enough = before + BULK // (4 if version % 3 else 1)
    site.put(acme=large(version))
    deadline = time.monotonic() + 30
    while flow_count(host) < enough:
        assert time.monotonic() < deadline, "the change does not begin"
    assert site.controller is not None
    site.controller.stop(signal.SIGKILL)
    left = flow_count(host)
    site.start(*site.words)
    return left > before


def test_a_controller_that_is_killed_20_times_loses_nothing_and_sends_no_flow_where_nothing_changed(
    site: Site,
) -> None:
    unchanged, hit = [], []
    site.change(acme=large(1))
    with traffic(site) as run:
        for version in range(KILLS // 4):
            rest(site)
            site.restart(signal.SIGKILL)
            site.settle()
            unchanged.append(sum(applied(site)))
            hit.append(kill_in_mid_update(site, version))
            # Then twice in the middle of the start that follows.
            for moment_s in (0.4 + 0.15 * version, 0.8 + 0.2 * version):
                time.sleep(moment_s)
                site.restart(signal.SIGKILL)
            site.settle()
    undisturbed(run.report, f"{KILLS} times SIGKILL, {sum(hit)} of them when a large change was half there")
    assert unchanged == [0] * (KILLS // 4)
    assert any(hit)


def test_a_controller_that_has_lost_what_it_remembered_takes_nothing_for_gone(site: Site) -> None:
    """One host has told all it has while the other, where half of the traffic goes, cannot be heard yet."""
    hv1, hv2 = site.hosts.values()
    site.settle()
    assert site.controller is not None
    with traffic(site) as run:
        site.controller.stop(signal.SIGKILL)
        (site.state / "places.json").unlink()
        hv2.set_management(up=False)
        site.start(*site.words)
        site.wait_for(lambda status: site.places("acme/client") and link_of(status, hv1))
        assert not site.places("acme/far")
        hv2.set_management(up=True)
        site.settle()
        site.wait_for(lambda status: len(status["links"]) == 1)
        site.settle()
    undisturbed(run.report, "restarted without what it remembered, one host late")


def test_another_version_takes_over_and_back_without_loss_and_sends_no_flow_twice(site: Site) -> None:
    """Its tables, registers, cookies and files are others (``support.next_version``)."""
    present, later = site.program, next_version(site.folder / "next")
    sent, left, told = [], [], []
    with traffic(site) as run:
        for program, how in ((later, "KILL"), (later, "KILL"), (present, "TERM")):
            site.program = program
            site.restart(signal.Signals[f"SIG{how}"])
            site.settle()
            sent.append(applied(site))
            left.append({layout for host in site.hosts.values() for layout in layouts(host)})
            told.append(set(re.findall(r"(state_\w+) .*?([a-z]+)\.(?:json|key)", site.log())))
    undisturbed(run.report, "another version took over, and was taken over")
    assert sent[1] == [0, 0]
    assert all(sent[0] + sent[2])
    assert left == [{LAYOUT + 1}, {LAYOUT + 1}, {LAYOUT}]
    newer = {("state_of_newer_version", "places"), ("state_not_read", "stopped")}
    assert [newer & one for one in told] == [set(), set(), newer]
    for name in ("places.json.form-1", "places.json.form-2", "stopped.json.unread-*"):
        assert list(site.state.glob(name)), name


def layouts(host: Host) -> set[int]:
    """Return the layouts that a bridge's flows say in their cookies."""
    cookies = [int(found, 16) for found in re.findall(r"cookie=(0x[0-9a-f]+)", "".join(host.dump_flows()))]
    assert cookies
    return {cookie >> 32 & 0xFF for cookie in cookies}


def link_of(status: dict[str, Any], host: Host) -> bool:
    """Say whether a host's bridge is connected."""
    return any(
        one["bridge"].startswith(f"{host.short_name}/") and one["state"] != "away"
        for one in status["bridges"]
    )


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
                time.sleep(3)
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
    """Last without a controller: nothing at all passes until there is one again."""
    site = another_site
    hv1, hv2 = site.hosts.values()
    with traffic(site) as run:
        for host in (hv2, hv1):
            time.sleep(1)
            begun = time.monotonic()
            host.switch.restart_vswitchd()
            wait_until_all_is_back(run, begun + 0.3)
            site.settle()
            if host is hv2:
                alone = run.so_far().udp["acme-near"]
                assert [flow.holes for flow in alone] == [0, 0], "of hv1's own nothing is lost by it"
        assert takes_up(site)
        gaps = {name: longest(times) for name, times in run.so_far().transfers.items()}
        assert site.controller is not None
        site.controller.stop()
        hv1.switch.restart_vswitchd()
        empty = time.monotonic()
        time.sleep(1)
        assert not any(since(times, empty) for times in run.so_far().ways_to("acme-near"))
        site.start(*site.words)
        wait_until_all_is_back(run, time.monotonic(), datagrams=True)
    report = run.report
    print(f"\novs-vswitchd restarted on both hosts, and once without a controller: {report}")
    print(", ".join(f"transfer to {name}: longest gap {gap:.1f} s" for name, gap in gaps.items()))
    nothing_leaked(report)
    assert set(report.transfers_broken.values()) == {""}
    assert report.lost > 0  # in user space the datapath dies with it
    assert max(gaps.values()) < 20
