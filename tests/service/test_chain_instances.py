"""Several appliances of one function: connections are shared, and stay while appliances come and go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from topologies.lab import Capture
from topologies.probes import ALLOWED_S, EchoServer, probe_tcp

from support.asked import Status, is_in_force
from support.chain_site import (
    POOL,
    Talks,
    away,
    both_legs,
    ports_seen,
    send_from,
    through,
    udp_echo,
    wait_until_away,
)
from support.raw_probes import address_of
from support.service_frames import eventually, gather, listening
from support.service_site import ServiceSite

pytestmark = pytest.mark.net
MEMBERS = tuple(f"pool/{name}" for name in POOL)
ECHO = 7
FLOWS = 18
UDP = 17


@pytest.fixture(scope="module")
def pool(appliances: ServiceSite) -> Iterator[ServiceSite]:
    """The site with three appliances alike on two hosts, and machines on both that answer."""
    with ExitStack() as stack:
        server = EchoServer(appliances.machines["b1"], [80])
        server.start()
        stack.callback(server.stop)
        for name in ("a2", "b1"):
            stack.enter_context(udp_echo(appliances.machines[name], ECHO))
        yield appliances


def places(
    pool: ServiceSite, ports: list[int], server_port: int, members: tuple[str, ...] = MEMBERS
) -> dict[int, set[str]]:
    """Return the appliances that each flow passes now, in both directions, by the client's port."""
    found: dict[int, set[str]] = {port: set() for port in ports}
    with all_legs(pool, members) as legs:
        seen: list[list[set[int]]] = []

        def all_passed() -> bool:
            seen[:] = [
                [found & set(ports) for found in ports_seen(captures, server_port, UDP)] for captures in legs
            ]
            whole = all(there == back for there, back in seen)
            return whole and set().union(*(there for there, _ in seen)) == set(ports)

        eventually(all_passed)
        for name, (there, back) in zip(members, seen, strict=True):
            assert there == back, "an answer passes where its question did"
            for port in there:
                found[port].add(name)
    return found


@contextmanager
def all_legs(
    pool: ServiceSite, members: tuple[str, ...] = MEMBERS
) -> Iterator[list[tuple[Capture, Capture]]]:
    """Catch what comes into appliances of the pool."""
    with ExitStack() as stack:
        yield [stack.enter_context(both_legs(pool.appliances[name])) for name in members]


@pytest.mark.parametrize("peer", ["a2", "b1"])
def test_connections_are_shared_and_each_passes_one_appliance_both_ways(pool: ServiceSite, peer: str) -> None:
    pool.policy(through("pool", services=f"udp/{ECHO}"))
    talks = Talks(pool.machines["a1"], address_of(pool.machines[peer], 4), ECHO, FLOWS, 41000)
    found = places(pool, talks.ports, ECHO)
    assert set(talks.stop().values()) == {0}
    assert {len(one) for one in found.values()} == {1}
    share = {name: sum(name in one for one in found.values()) for name in MEMBERS}
    assert min(share.values()) >= 2, share


def test_a_tcp_connection_passes_one_appliance_whole(pool: ServiceSite) -> None:
    pool.policy(through("pool"))
    with all_legs(pool) as legs:
        for _ in range(12):
            assert (
                probe_tcp(pool.machines["a1"], address_of(pool.machines["b1"], 4), 80, ALLOWED_S) == "allow"
            )
        seen = [ports_seen(captures, 80, 6) for captures in legs]
    assert all(there == back for there, back in seen)
    every = [port for there, _ in seen for port in there]
    assert len(every) == len(set(every)) == 12
    assert sum(bool(there) for there, _ in seen) >= 2


def test_while_appliances_go_and_come_only_the_connections_of_a_dead_one_move(pool: ServiceSite) -> None:
    pool.policy(through("pool", services=f"udp/{ECHO}"))
    dead = "pool/two"
    talks = Talks(pool.machines["a1"], address_of(pool.machines["b1"], 4), ECHO, FLOWS, 42000)
    before = places(pool, talks.ports, ECHO)
    pool.appliances[dead].set_alive(alive=False)
    try:
        wait_until_away(pool, dead)
        alive = tuple(name for name in MEMBERS if name != dead)
        during = places(pool, talks.ports, ECHO, alive)
    finally:
        pool.appliances[dead].set_alive(alive=True)
    wait_until_away(pool)
    after = places(pool, talks.ports, ECHO)
    lost = talks.stop()

    stayed = [port for port in talks.ports if dead not in before[port]]
    moved = [port for port in talks.ports if dead in before[port]]
    assert stayed
    assert moved
    assert {port: during[port] for port in stayed} == {port: before[port] for port in stayed}
    assert {port: lost[port] for port in stayed} == dict.fromkeys(stayed, 0)
    assert all(len(during[port]) == 1 for port in moved)
    assert after == during, "the one that is back takes nobody's connections away"
    fresh = Talks(pool.machines["a1"], address_of(pool.machines["b1"], 4), ECHO, FLOWS, 43000)
    assert any(dead in one for one in places(pool, fresh.ports, ECHO).values()), "it takes new ones"
    assert set(fresh.stop().values()) == {0}


def test_when_an_end_moves_to_another_host_its_connections_stay_on_their_appliances(
    pool: ServiceSite,
) -> None:
    pool.policy(through("pool", services=f"udp/{ECHO}"))
    a1, b1, b2 = (pool.machines[name] for name in ("a1", "b1", "b2"))
    with udp_echo(b2, ECHO):
        of_client = Talks(b2, address_of(b1, 4), ECHO, 6, 47100)
        of_server = Talks(a1, address_of(b2, 4), ECHO, 6, 47200)
        ports = [*of_client.ports, *of_server.ports]
        before = places(pool, ports, ECHO)
        for host in ("hv1", "hv2"):
            b2.migrate(pool.hosts[host], copy_s=0.1, ready=lambda: pool.wait_for(is_waiting), linger_s=0.3)
            pool.wait_for(pool.is_settled)
            assert places(pool, ports, ECHO) == before
        for talks in (of_client, of_server):
            lost = talks.stop()
            assert all(lost[port] < talks.sent[port] / 2 for port in talks.ports)


def is_waiting(status: Status) -> bool:
    """Say whether b2 has a second place where its policy waits for it."""
    if not is_in_force(status):
        return False
    states = next(one["places"] for one in status["endpoints"] if one["endpoint"] == "acme/b2")
    return {place["state"] for place in states} == {"active", "pending"}


def test_an_appliance_that_lets_nothing_through_is_found_out_though_it_repeats_probes_and_others_answer(
    pool: ServiceSite,
) -> None:
    pool.policy(through("pool", services=f"udp/{ECHO}"))
    silent, other = pool.appliances["pool/one"], pool.appliances["pool/three"]
    with listening(silent, other) as (own, of_other):
        old = gather(own, is_probe, 2)
        silent.nft("add rule bridge filter pass drop")
        for _ in range(6):
            time.sleep(0.3)
            fresh = [frame for frame in of_other.drain() if is_probe(frame)]
            for leg in ("in", "out"):
                send_from(silent, leg, [*old, *fresh, *(frame[:-20] + bytes(20) for frame in old)])
    try:
        status = wait_until_away(pool, "pool/one")
        reasons = {one["appliance"]: one["reason"] for one in status["appliances"]}
        assert reasons["pool/one"] == "no answer to probes"
        talks = Talks(pool.machines["a1"], address_of(pool.machines["b1"], 4), ECHO, FLOWS, 44000)
        found = places(pool, talks.ports, ECHO)
        assert set(talks.stop().values()) == {0}
        assert not any("pool/one" in one for one in found.values())
        pool.restart()
        assert "pool/one" in away(pool.status()), "a controller that starts knows it from before"
    finally:
        silent.nft("flush chain bridge filter pass")
    wait_until_away(pool)


def test_who_passed_by_a_dead_appliance_goes_on_so_when_it_is_back_and_loses_nothing(
    pool: ServiceSite,
) -> None:
    pool.policy(through("dpi", services=f"udp/{ECHO}"))
    dpi, b1 = pool.appliances["dpi"], pool.machines["b1"]
    dpi.set_alive(alive=False)
    try:
        wait_until_away(pool, "dpi")
        talks = Talks(pool.machines["a1"], address_of(b1, 4), ECHO, 3, 45000)
        eventually(lambda: min(talks.answered().values()) > 0)
    finally:
        dpi.set_alive(alive=True)
    wait_until_away(pool)
    fresh = Talks(pool.machines["a1"], address_of(b1, 4), ECHO, 3, 46000)
    with both_legs(dpi) as legs:
        eventually(lambda: ports_seen(legs, ECHO, UDP) == (set(fresh.ports), set(fresh.ports)))
        there, back = ports_seen(legs, ECHO, UDP)
    assert there == back == set(fresh.ports), "old ones pass by, new ones pass through"
    assert set(talks.stop().values()) == {0}
    assert set(fresh.stop().values()) == {0}


def is_probe(frame: bytes) -> bool:
    return frame[12:14] == b"\x88\xb5"
