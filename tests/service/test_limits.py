"""Limits on real bridges: what passes in the middle of a flood, by rule, by endpoint and by tenant."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from topologies.lab import Capture, Machine

from support.raw_probes import address_of
from support.service_frames import SYN, gather, listening, send, tcp, transport, udp
from support.service_site import ServiceSite

pytestmark = pytest.mark.net
DRAINED_S = 1.4
"""A meter lets a second's worth through at once; after this it is spent."""
MEASURED_S = 1.5
TOLERANCE = 0.10


@contextmanager
def flood(machine: Machine, frame: Callable[[int], bytes], per_s: int) -> Iterator[None]:
    """Send frames at a steady rate."""
    stop = threading.Event()

    def run() -> None:
        began, sent = time.monotonic(), 0
        while not stop.wait(0.01):
            due = int((time.monotonic() - began) * per_s)
            send(machine, [frame(number) for number in range(sent, due)])
            sent = due

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def measured(capture: Capture, protocol: int = 17) -> tuple[float, float]:
    """Return packets and bits a second that arrive once a meter's burst is spent."""
    time.sleep(DRAINED_S)
    before, began = len(capture.drain()), time.monotonic()
    time.sleep(MEASURED_S)
    frames, lasted = capture.drain()[before:], time.monotonic() - began
    mine = [frame for frame in frames if transport(frame)[0] == protocol]
    return len(mine) / lasted, sum(map(len, mine)) * 8 / lasted


def datagram(source: Machine, destination: Machine, size: int = 64, **more: int) -> Callable[[int], bytes]:
    frame = udp(source, destination, 7000, b"x" * size, **more)
    return lambda _: frame


def test_a_rules_packets_a_second_are_held_where_the_connection_enters(site: ServiceSite) -> None:
    site.policy({"from": "any", "to": "any", "action": "allow", "limit": "200pps"})
    a1, b1 = site.machines["a1"], site.machines["b1"]
    with listening(b1) as (capture,), flood(a1, datagram(a1, b1), 700):
        assert measured(capture)[0] == pytest.approx(200, rel=TOLERANCE)


def test_a_rules_bits_a_second_are_held(site: ServiceSite) -> None:
    site.policy({"from": "any", "to": "any", "action": "allow", "limit": "1mbps"})
    a1, b1 = site.machines["a1"], site.machines["b1"]
    with listening(b1) as (capture,), flood(a1, datagram(a1, b1, 1000), 400):
        assert measured(capture)[1] == pytest.approx(1e6, rel=TOLERANCE)


def test_a_limit_per_endpoint_is_each_sources_own(site: ServiceSite) -> None:
    site.policy({"from": "any", "to": "any", "action": "allow", "limit": "100pps per endpoint"})
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    with (
        listening(b1) as (capture,),
        flood(a1, datagram(a1, b1), 400),
        flood(a2, datagram(a2, b1, sport=41000), 400),
    ):
        assert measured(capture)[0] == pytest.approx(200, rel=TOLERANCE)
        sources = [frame[26:30] for frame in capture.drain() if transport(frame)[0] == 17]
    assert 0.35 < sources.count(sources[0]) / len(sources) < 0.65


def test_a_rule_without_a_limit_is_not_held_by_another_ones(site: ServiceSite) -> None:
    site.policy(
        {"from": "a1", "to": "any", "action": "allow", "limit": "10pps"},
        {"from": "a2", "to": "any", "action": "allow"},
    )
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    frames = [udp(a2, b1, 7100, number.to_bytes(4, "big")) for number in range(300)]
    with listening(b1) as (capture,), flood(a1, datagram(a1, b1), 400):
        send(a2, frames, every_s=0.002)
        arrived = set(gather(capture, lambda frame: frame in frames, len(frames)))
    assert [frame for frame in frames if frame not in arrived] == []


ALLOW = {"from": "any", "to": "any", "action": "allow"}


def syns(source: Machine, destination: Machine) -> Callable[[int], bytes]:
    """Every frame begins another connection."""
    ports = itertools.cycle(range(10000, 60000))
    return lambda _: tcp(source, destination, 80, SYN, sport=next(ports))


def test_an_endpoint_begins_no_more_connections_than_its_limit(site: ServiceSite) -> None:
    site.policy(ALLOW, provider={"limits": {"new-connections": "100/s per endpoint"}})
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    with listening(b1) as (capture,), flood(a1, syns(a1, b1), 500):
        assert measured(capture, 6)[0] == pytest.approx(100, rel=TOLERANCE)
        begin = tcp(a2, b1, 81, SYN)
        send(a2, [begin])
        assert gather(capture, lambda frame: frame[26:30] == begin[26:30], 1)


def test_a_tenants_endpoints_share_its_limit_on_new_connections(site: ServiceSite) -> None:
    limits = {"new-connections": ["1000/s per endpoint", "100/s per tenant"]}
    site.policy(ALLOW, provider={"limits": limits})
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    with (
        listening(b1) as (capture,),
        flood(a1, syns(a1, b1), 250),
        flood(a2, syns(a2, b1), 250),
    ):
        assert measured(capture, 6)[0] == pytest.approx(100, rel=TOLERANCE)


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
            send(a1, [syns(a1, b1)(0) for _ in range(1)])
            make = syns(a1, b1)
            send(a1, [make(number) for number in range(300)], every_s=0.001)
            time.sleep(0.4)
            arrived = {frame for frame in capture.drain() if transport(frame)[0] == 6}
        assert len(hv1.appctl("dpctl/dump-conntrack").splitlines()) <= 51
        assert len(arrived) > 0
    finally:
        zones = ",".join(word.split(",")[0].removeprefix("zone=") for word in words[2:])
        hv1.appctl("dpctl/ct-del-limits", f"zone={zones}")
        hv1.appctl("dpctl/flush-conntrack")
