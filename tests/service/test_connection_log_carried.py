"""Records of connections over what happens to bridges and controllers: each once, each byte counted."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from topologies.lab import Capture, Machine

from support.logged import (
    PATIENCE_S,
    Record,
    events,
    exchange,
    look,
    of_port,
    opened,
    rules,
    until,
)
from support.service_frames import eventually, listening, transport
from support.service_site import ServiceSite

pytestmark = pytest.mark.net
HOSTS = ("hv1", "hv2")


def passed(cards: list[Capture], sport: int) -> tuple[int, int]:
    """Return packets and bytes that arrived at the two ends of the connections from a source port."""
    port = sport.to_bytes(2, "big")
    frames = [
        frame
        for card in cards
        for frame in card.drain()
        if transport(frame)[0] in (6, 17) and port in (transport(frame)[1][:2], transport(frame)[1][2:4])
    ]
    return len(frames), sum(map(len, frames))


def counted(found: list[Record]) -> tuple[int, int]:
    """Return packets and bytes of all ends among records."""
    ends = [one["details"] for one in found if one["details"]["event"] == "end"]
    return sum(one["packets"] for one in ends), sum(one["bytes"] for one in ends)


@contextmanager
def datagrams(client: Machine, server: Machine, sport: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets that are connected to each other."""
    ends = (client.ips[0].partition("/")[0], sport), (server.ips[0].partition("/")[0], 80)
    with (
        client.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller,
        server.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
    ):
        for one, here, there in ((caller, ends[0], ends[1]), (peer, ends[1], ends[0])):
            one.settimeout(PATIENCE_S)
            one.bind(here)
            one.connect(there)
        yield caller, peer


def rounds(caller: socket.socket, peer: socket.socket, count: int) -> None:
    """Ask and answer so often."""
    for number in range(count):
        caller.send(b"question %06d" % number)
        peer.recv(64)
        peer.send(b"answer %04d" % number)
        caller.recv(64)


@pytest.fixture(scope="module")
def site(own_site: ServiceSite) -> ServiceSite:
    """Machines move here."""
    return own_site


def move(site: ServiceSite, name: str, host: str) -> None:
    """Move a machine, and wait until it is there and nowhere else."""
    site.machines[name].migrate(
        site.hosts[host], copy_s=0.1, ready=lambda: site.wait_for(site.is_waiting(f"acme/{name}"))
    )
    site.wait_for(lambda status: site.is_at(status, f"acme/{name}", host))


@pytest.mark.parametrize(
    ("mover", "away", "sport", "tellers"),
    [("a1", "hv2", 43101, ("hv1", "hv2")), ("b1", "hv1", 43102, ("hv1",))],
    ids=["who began it", "the other end"],
)
def test_over_a_move_there_and_back_each_bridge_tells_what_entered_by_it(
    site: ServiceSite, mover: str, away: str, sport: int, tellers: tuple[str, ...]
) -> None:
    """Where the machine is back in time, the bridge that it had left goes on counting the same connection."""
    site.policy(*rules())
    a1, b1 = site.machines["a1"], site.machines["b1"]
    home = next(host for host in HOSTS if host != away)
    with listening(a1, b1) as cards, datagrams(a1, b1, sport) as (caller, peer):
        try:
            rounds(caller, peer, 10)
            move(site, mover, away)
            rounds(caller, peer, 10)
        finally:
            move(site, mover, home)
        rounds(caller, peer, 10)
        found = until(site, sport, lambda found: len(found) >= 2 * len(tellers) and is_over(found))
        seen = passed(cards, sport)
    taken_up = sum(not one["details"]["whole"] for one in found if one["details"]["event"] == "start")
    # The packet with which a bridge takes a connection up in its middle makes the row, and is not in it.
    assert seen[0] == 60
    assert counted(found) == (60 - taken_up, seen[1] - taken_up * len(b"question 000000") - taken_up * 42)
    assert taken_up == len(tellers) - 1
    for teller in tellers:
        told = [one for one in events(found) if one[0] == teller]
        pair = [(teller, "start", None), (teller, "end", "idle")]
        assert told == pair * (len(told) // 2)
    assert {one["host"] for one in found} == set(tellers)


def is_over(found: list[Record]) -> bool:
    """Say whether everything that has begun has ended."""
    return sum(1 if one["details"]["event"] == "start" else -1 for one in found) == 0


def test_over_a_change_of_the_whole_policy_that_is_staged_it_is_one_connection(site: ServiceSite) -> None:
    large = [
        [
            {"name": f"r{number}", "from": "a1", "to": "b1", "action": "allow",
             "services": {"proto": "tcp", "source-ports": 1024 + number,
                          "ports": [first + 2 * at for at in range(30)]}}
            for number in range(50)
        ]
        for first in (1000, 20001)
    ]  # fmt: skip
    site.policy(*rules(*large[0]))
    with listening(site.machines["a1"], site.machines["b1"]) as cards:
        with opened(site, "b1", 43110) as (caller, peer):
            exchange(caller, peer, 500)
            for more in (large[1], large[0]):
                site.policy(*rules(*more))
                exchange(caller, peer, 500)
            site.policy(*rules())
            exchange(caller, peer, 500)
            assert events(of_port(site, 43110)) == [("hv1", "start", None)]
        found = until(site, 43110, lambda found: len(found) == 2)
        seen = passed(cards, 43110)
    assert events(found) == [("hv1", "start", None), ("hv1", "end", "idle")]
    assert counted(found) == seen


@pytest.mark.parametrize(
    ("number", "sport"), [(signal.SIGTERM, 43120), (signal.SIGKILL, 43121)], ids=["stopped", "killed"]
)
def test_over_a_restart_of_the_controller_it_is_one_connection_to_the_byte(
    site: ServiceSite, number: signal.Signals, sport: int
) -> None:
    site.policy(*rules())
    with listening(site.machines["a1"], site.machines["b1"]) as cards:
        with opened(site, "b1", sport) as (caller, peer):
            exchange(caller, peer, 500)
            until(site, sport, lambda found: len(found) == 1)
            site.wait_for(lambda status: status["journal"]["waiting"] == 0)
            site.end(number)
            exchange(caller, peer, 500)
            site.begin()
            exchange(caller, peer, 500)
        found = until(site, sport, lambda found: len(found) == 2)
        look(site)
        seen = passed(cards, sport)
    assert events(of_port(site, sport)) == [("hv1", "start", None), ("hv1", "end", "idle")]
    assert counted(found) == seen


def test_over_a_restart_of_the_switch_it_is_two_connections_counted_up_to_the_last_look(
    site: ServiceSite,
) -> None:
    """What passes between the last look and the switch's end is the gap that docs/services.md states."""
    site.policy(*rules())
    with listening(site.machines["a1"], site.machines["b1"]) as cards:
        with opened(site, "b1", 43130) as (caller, peer):
            exchange(caller, peer, 500)
            until(site, 43130, lambda found: len(found) == 1)
            look(site)
            before = passed(cards, 43130)
            site.hosts["hv1"].switch.restart_vswitchd()
            site.wait_for(lambda status: site.is_settled(status), 60)
            exchange(caller, peer, 500)
            eventually(lambda: look(site) and len(of_port(site, 43130)) >= 3, PATIENCE_S)
            exchange(caller, peer, 500)
        found = until(site, 43130, lambda found: len(found) >= 4 and is_over(found))
        seen = passed(cards, 43130)
    start, end = ("hv1", "start", None), ("hv1", "end", "idle")
    assert sorted(map(str, events(found))) == sorted(map(str, [start, ("hv1", "end", "unseen"), start, end]))
    unseen = [one for one in found if one["details"].get("how") == "unseen"]
    assert counted(unseen) == before
    assert counted(found) == seen
