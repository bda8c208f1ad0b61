"""Limits on real bridges: what passes in the middle of a flood, by rule, by endpoint and by tenant."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
from topologies.lab import Capture, Machine

from support.raw_probes import address_of
from support.service_frames import SYN, eventually, gather, listening, send, tcp, transport, udp
from support.service_site import ServiceSite

pytestmark = pytest.mark.net
TOLERANCE = 0.10
TICK_S = 0.01
MOST_AT_ONCE = 48
"""A port's queue holds 256 frames: what would have been sent in a pause is not sent after it."""
SPENT_S = 0.8
"""A meter saves up a second's worth, and what it passes after a longer pause is no measure."""

Make = Callable[[Machine, int], bytes]


@contextmanager
def flood(make: Make, per_s: int, *machines: Machine) -> Iterator[None]:
    """Send frames, each with its number, at a steady rate, from the machines in turn."""
    stop = threading.Event()

    def run() -> None:
        number, began = 0, time.monotonic()
        sent = 0
        while not stop.wait(TICK_S):
            due = int((time.monotonic() - began) * per_s)
            numbers = range(number, number + min(due - sent, MOST_AT_ONCE))
            for place, machine in enumerate(machines):
                mine = [make(machine, each) for each in numbers if each % len(machines) == place]
                send(machine, mine)
            number, sent = numbers.stop, due

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True)
class Arrived:
    """A frame that a meter let through."""

    at: float
    source: bytes
    number: int
    bits: int


def held(
    capture: Capture, count: int, protocol: int = 17, source: Machine | None = None, every: int = 1
) -> tuple[float, float]:
    """Return how many frames and bits a second a meter lets through.

    By when the kernel got them, and from a frame with which the meter had nothing left to another such one,
    as those sent next did not arrive: neither this process nor the sender has to be on time.

    Args:
        capture: of who gets the frames.
        count: it is measured over so many at least.
        protocol: of the frames.
        source: whose are counted; None is all.
        every: how far apart its frames' numbers are.
    """
    capture.stamp()
    found: list[Arrived] = []

    def is_enough() -> bool:
        found[:] = longest(arrived(capture, protocol, source), every)
        return len(found) > count

    eventually(is_enough)
    assert len(found) > count, f"{len(found)} frames between two with which the meter had nothing left"
    lasted = found[-1].at - found[0].at
    return (len(found) - 1) / lasted, sum(one.bits for one in found[1:]) / lasted


def arrived(capture: Capture, protocol: int, source: Machine | None) -> list[Arrived]:
    """Return the frames of a flood that have arrived with their times."""
    address = None if source is None else ip_address(address_of(source, 4)).packed
    found = []
    for frame, at in zip(capture.drain(), capture.times_s, strict=True):
        kind, body = transport(frame)
        if kind == protocol and at and address in (None, frame[26:30]):
            number = body[8:12] if kind == 17 else body[4:8]
            found.append(Arrived(at, frame[26:30], int.from_bytes(number, "big"), 8 * len(frame)))
    return found


def longest(frames: list[Arrived], every: int) -> list[Arrived]:
    """Return the most frames in a row, without a pause, from one that spent the meter to another one."""
    following: dict[bytes, int] = {}
    spending = []
    for one in reversed(frames):
        spending.append(following.get(one.source, one.number) > one.number + every)
        following[one.source] = one.number
    spending.reverse()
    best = (0, 0)
    first: int | None = None
    for place, one in enumerate(frames):
        if first is not None and one.at - frames[place - 1].at > SPENT_S:
            first = None
        if spending[place]:
            first = place if first is None else first
            best = max(best, (first, place), key=lambda ends: ends[1] - ends[0])
    return frames[best[0] : best[1] + 1]


def datagram(destination: Machine, size: int = 64) -> Make:
    def make(source: Machine, number: int) -> bytes:
        return udp(source, destination, 7000, number.to_bytes(4, "big") + b"x" * (size - 4))

    return make


def test_a_rules_packets_a_second_are_held_where_the_connection_enters(site: ServiceSite) -> None:
    site.policy({"from": "any", "to": "any", "action": "allow", "limit": "200pps"})
    a1, b1 = site.machines["a1"], site.machines["b1"]
    with listening(b1) as (capture,), flood(datagram(b1), 700, a1):
        assert held(capture, 240)[0] == pytest.approx(200, rel=TOLERANCE)


def test_a_rules_bits_a_second_are_held(site: ServiceSite) -> None:
    site.policy({"from": "any", "to": "any", "action": "allow", "limit": "1mbps"})
    a1, b1 = site.machines["a1"], site.machines["b1"]
    with listening(b1) as (capture,), flood(datagram(b1, 1000), 400, a1):
        assert held(capture, 140)[1] == pytest.approx(1e6, rel=TOLERANCE)


def test_a_limit_per_endpoint_is_each_sources_own(site: ServiceSite) -> None:
    site.policy({"from": "any", "to": "any", "action": "allow", "limit": "100pps per endpoint"})
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    with listening(b1) as (capture,), flood(datagram(b1), 800, a1, a2):
        for source in (a1, a2):
            found = held(capture, 120, source=source, every=2)
            assert found[0] == pytest.approx(100, rel=TOLERANCE)


def test_a_rule_without_a_limit_is_not_held_by_another_ones(site: ServiceSite) -> None:
    site.policy(
        {"from": "a1", "to": "any", "action": "allow", "limit": "10pps"},
        {"from": "a2", "to": "any", "action": "allow"},
    )
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    frames = [udp(a2, b1, 7100, number.to_bytes(4, "big")) for number in range(300)]
    with listening(b1) as (capture,), flood(datagram(b1), 400, a1):
        for first in range(0, len(frames), MOST_AT_ONCE):
            some = set(frames[first : first + MOST_AT_ONCE])
            send(a2, some)
            eventually(lambda: some <= set(capture.drain()))  # noqa: B023 - it is asked at once
            assert some - set(capture.drain()) == set()


ALLOW = {"from": "any", "to": "any", "action": "allow"}


def syns(destination: Machine) -> Make:
    """Every frame begins another connection."""

    def make(source: Machine, number: int) -> bytes:
        return tcp(source, destination, 80, SYN, sport=10000 + number % 50000, seq=number)

    return make


def test_an_endpoint_begins_no_more_connections_than_its_limit(site: ServiceSite) -> None:
    site.policy(ALLOW, provider={"limits": {"new-connections": "100/s per endpoint"}})
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    with listening(b1) as (capture,), flood(syns(b1), 500, a1):
        assert held(capture, 120, 6)[0] == pytest.approx(100, rel=TOLERANCE)
        begin = tcp(a2, b1, 81, SYN)
        send(a2, [begin])
        assert gather(capture, lambda frame: frame[26:30] == begin[26:30], 1)


def test_a_tenants_endpoints_share_its_limit_on_new_connections(site: ServiceSite) -> None:
    limits = {"new-connections": ["1000/s per endpoint", "100/s per tenant"]}
    site.policy(ALLOW, provider={"limits": limits})
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    with listening(b1) as (capture,), flood(syns(b1), 500, a1, a2):
        assert held(capture, 120, 6, every=2)[0] == pytest.approx(100, rel=TOLERANCE)


def test_a_connection_that_is_answered_is_not_held_by_the_limit_on_new_ones(site: ServiceSite) -> None:
    site.policy(ALLOW, provider={"limits": {"new-connections": "5/s per endpoint"}})
    a1, b1 = site.machines["a1"], site.machines["b1"]
    # ping(8) waits for the last answer no longer than for the others.
    assert a1.ping(address_of(b1, 4), count=40, interval_s=0.02) >= 39


def test_status_says_which_limit_only_the_host_can_set_and_its_command_does(site: ServiceSite) -> None:
    status = site.policy(
        ALLOW, provider={"limits": {"connections": "50 per tenant", "new-connections": "5000/s"}}
    )
    (one,) = [entry for entry in status["limits_not_set"] if entry["host"] == "hv1"]
    assert one["limit"] == "connections"
    words = one["command"].split()
    assert words[0] == "ovs-appctl"
    hv1, a1, b1 = site.hosts["hv1"], site.machines["a1"], site.machines["b1"]
    hv1.appctl("dpctl/flush-conntrack")
    hv1.appctl(*words[1:])
    try:
        with listening(b1) as (capture,):
            make = syns(b1)
            send(a1, [make(a1, number) for number in range(300)], every_s=0.001)
            eventually(lambda: "limit=50,count=50" in hv1.appctl("dpctl/ct-get-limits"))
            begun = gather(capture, lambda frame: transport(frame)[0] == 6, 1)
        assert "limit=50,count=50" in hv1.appctl("dpctl/ct-get-limits")
        assert len(hv1.appctl("dpctl/dump-conntrack").splitlines()) <= 51
        assert begun
    finally:
        zones = ",".join(word.split(",")[0].removeprefix("zone=") for word in words[2:])
        hv1.appctl("dpctl/ct-del-limits", f"zone={zones}")
        hv1.appctl("dpctl/flush-conntrack")
