"""What goes on through a move and what does not: connections, one place at a time, ends that die."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from topologies.frames import QEMU_TIMES_S, rarp
from topologies.lab import Capture, Host, Machine
from topologies.probes import EchoServer, Stream

from support.demo_site import OTHER, SharedSite
from support.packets import build
from support.raw_probes import ACK, SYN, SYN_ACK, captures, ip_packet, mark, send

pytestmark = [pytest.mark.net, pytest.mark.usefixtures("web1_moves")]
SPOKEN = 4000
QUIET_S, PATIENCE_S = 0.05, 10.0
SETTLED_S = 2.5
"""Longer than frames of the old place are taken for stragglers."""


def move(site: SharedSite, machine: Machine, host: str) -> None:
    """Move a machine as QEMU does, and wait until the old port's flows are gone."""
    waiting = {OTHER[host]: "active", host: "pending"}
    machine.migrate(site.hosts[host], copy_s=0, ready=lambda: site.until(waiting), linger_s=0.2)
    site.until({host: "active"})


@pytest.fixture
def web(site: SharedSite) -> Iterator[Machine]:
    """A machine on hv1; wherever a test leaves it, it is there again afterwards."""
    machine = site.machines["acme-web1"]
    yield machine
    hv1, hv2 = site.hosts.values()
    if machine.at is hv2:
        if machine.is_plugged(hv1):
            machine.unplug(hv1)
            site.until({"hv2": "active"})
        move(site, machine, "hv1")
    elif machine.is_plugged(hv2):
        machine.unplug(hv2)
    site.until({"hv1": "active"})


@dataclass(frozen=True, slots=True)
class Talk:
    """A connection in raw packets, so that nothing but the packets asked for is sent."""

    client: Machine
    server: Machine
    proto: str
    port: int
    sport: int

    def frame(self, flags: int = ACK, *, answer: bool = False) -> bytes:
        ends = (self.server, self.client) if answer else (self.client, self.server)
        ports = (self.sport, self.port) if answer else (self.port, self.sport)
        return build(ip_packet(*ends, self.proto, ports[0], sport=ports[1], flags=flags))

    def passes(self, flags: int = ACK, *, answer: bool = False) -> bool:
        """Send one packet and say whether it came out at the other end."""
        source, destination = (self.server, self.client) if answer else (self.client, self.server)
        frame = self.frame(flags, answer=answer)
        with captures(destination) as caught:
            send(source, [frame])
            mark(source, destination, caught[destination.short_name])
            return frame in caught[destination.short_name].drain()

    def begin(self) -> None:
        """Have both hosts see the beginning."""
        assert self.passes(SYN)
        assert self.passes(SYN_ACK, answer=True)
        assert self.passes()


class Speaker(threading.Thread):
    """Sends a packet every millisecond out of a machine's port on a host, each with its time."""

    def __init__(self, machine: Machine, host: Host, peer: Machine, first_port: int) -> None:
        super().__init__(daemon=True)
        self.sent: dict[bytes, float] = {}
        self._frames = (
            build(ip_packet(machine, peer, "udp", 5432, sport=first_port + at)) for at in range(SPOKEN)
        )
        self._machine, self._host = machine, host
        self._stopping = threading.Event()

    def run(self) -> None:
        for frame in self._frames:
            if self._stopping.is_set():
                return
            self.sent[frame] = time.monotonic()
            self._machine.send_at(self._host, [frame])
            time.sleep(0.001)

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def test_what_policy_allows_goes_on_after_a_move_and_nothing_else_gets_in(
    site: SharedSite, web: Machine
) -> None:
    machines = site.machines
    near, far = machines["acme-web2"], machines["acme-batch1"]
    near_db, far_db = machines["acme-db1"], machines["acme-db2"]
    talks = [
        Talk(peer, web, proto, port, 41000 + at)
        for at, (peer, proto, port) in enumerate(
            (peer, proto, port) for peer in (near, far) for proto, port in (("tcp", 80), ("udp", 5001))
        )
    ]
    talks += [
        Talk(web, peer, proto, 5432, 42000 + at)
        for at, (peer, proto) in enumerate((p, q) for p in (near_db, far_db) for q in ("tcp", "udp"))
    ]
    only_receives = Talk(web, far_db, "udp", 5432, 43000)
    for talk in [*talks, only_receives]:
        talk.begin()
    move(site, web, "hv2")
    assert [only_receives.passes(answer=True) for _ in range(3)] == [True] * 3
    for talk in talks:
        who = f"{talk.client.short_name} to {talk.server.short_name} {talk.proto}"
        assert talk.passes(answer=True), who
        assert talk.passes(), who
    never = 44000
    for peer in (near, far):
        assert not Talk(peer, web, "tcp", 80, never).passes(), "a probe without SYN"
        assert not Talk(peer, web, "tcp", 22, never).passes(), "what no rule allows"
    for peer in (near_db, far_db):
        for proto in ("tcp", "udp"):
            assert not Talk(web, peer, proto, 5432, never).passes(answer=True), "an answer to nobody"


def last_heard(speaker: Speaker, capture: Capture) -> float:
    """Return when the last was sent of what has arrived."""
    return max(speaker.sent[frame] for frame in capture.drain() if frame in speaker.sent)


def test_after_the_announcement_the_old_place_is_refused_and_never_heard_again(
    site: SharedSite, web: Machine
) -> None:
    db = site.machines["acme-db2"]
    late_ms = []
    for round_, target in enumerate(("hv2", "hv1")):
        origin, there = site.hosts[OTHER[target]], site.hosts[target]
        web.plug(there)
        site.until({OTHER[target]: "active", target: "pending"})
        speaker = Speaker(web, origin, db, 45000 + SPOKEN * round_)
        with captures(db) as caught:
            speaker.start()
            heard = caught[db.short_name].wait_for(lambda frame, speaker=speaker: frame in speaker.sent)
            assert heard, "the old place is heard until then"
            announced = time.monotonic()
            web.send_at(there, [rarp(web.mac)])
            site.wait_for(lambda _, target=target: site.places("acme/web1")[f"{target}/br-int"] == "active")
            capture = caught[db.short_name]
            while time.monotonic() - (last := last_heard(speaker, capture)) < QUIET_S:
                assert last - announced < PATIENCE_S, "the old place goes on being heard"
                time.sleep(0.005)
            quiet_since = time.monotonic()
            time.sleep(0.15)
            speaker.stop()
            time.sleep(0.05)
            last = last_heard(speaker, capture)
        late_ms.append(max(0.0, (last - announced) * 1000))
        assert max(speaker.sent.values()) > quiet_since + QUIET_S
        assert last < quiet_since, "once it is refused it is not heard again"
        web.hand_over(there)
        web.unplug(origin)
        site.until({target: "active"})
    print(f"the old place was heard for {[round(one, 1) for one in late_ms]} ms after the announcement")


def test_an_orchestrator_waits_until_the_policy_is_on_the_destination(site: SharedSite, web: Machine) -> None:
    words = ("ready", "acme/web1", "--host", "hv2", "--state", str(site.state))
    assert site.command(*words, "--timeout", "0.5").returncode == 1
    web.plug(site.hosts["hv2"])
    done = site.command(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ready at hv2/br-int" in done.stdout


def test_traffic_is_delivered_to_one_place_at_each_moment(site: SharedSite, web: Machine) -> None:
    hv1, hv2 = site.hosts.values()
    peer = site.machines["acme-batch1"]
    web.plug(hv2)
    site.until({"hv1": "active", "hv2": "pending"})
    with Capture(site.lab.panel, web.leg(hv1)) as old, Capture(site.lab.panel, web.leg(hv2)) as new:
        frames = [build(ip_packet(peer, web, "udp", 5001, sport=46000 + at)) for at in range(3000)]
        known = set(frames)
        for at, frame in enumerate(frames):
            if at == 100:
                web.send_at(hv2, [rarp(web.mac)])
            if at > 100 and sum(one in known for one in new.drain()) >= 100:
                break
            send(peer, [frame])
            time.sleep(0.002)
        time.sleep(0.2)
        at_old = [frame for frame in old.drain() if frame in known]
        at_new = [frame for frame in new.drain() if frame in known]
    assert not set(at_old) & set(at_new)
    assert len(at_old) >= 100
    assert len(at_new) >= 100
    assert [frames.index(f) for f in at_old] == list(range(len(at_old))), (
        "the old place first, without a hole"
    )
    assert max(frames.index(f) for f in at_old) < min(frames.index(f) for f in at_new)
    web.hand_over(hv2)
    web.unplug(hv1)


def test_a_destination_that_dies_after_the_hand_over_gives_the_machine_back_with_its_connections(
    site: SharedSite, web: Machine
) -> None:
    hv1, hv2 = site.hosts.values()
    server = EchoServer(web, (8000,))
    server.start()
    stream = Stream(site.machines["acme-batch1"], "10.0.0.1", 8000)
    stream.start()
    try:
        web.plug(hv2)
        site.until({"hv1": "active", "hv2": "pending"})
        web.hand_over(hv2)
        web.announce(hv2, "rarp", (0.0, 0.05))
        site.wait_for(lambda _: site.places("acme/web1")["hv2/br-int"] == "active")
        time.sleep(0.3)
        web.hand_over(hv1)
        web.unplug(hv2)
        site.until({"hv1": "active"})
        assert stream.goes_on()
    finally:
        gap = stream.stop()
        server.stop()
    assert gap.broken == ""


def test_after_a_post_copy_the_old_port_stays_for_long_and_its_clean_up_hits_no_connection(
    site: SharedSite, web: Machine
) -> None:
    """The machine runs at once where it goes, its memory follows for seconds; then the old host cleans up."""
    hv1, hv2 = site.hosts.values()
    server = EchoServer(web, (8000,))
    server.start()
    stream = Stream(site.machines["acme-web2"], "10.0.0.1", 8000)
    stream.start()
    try:
        web.plug(hv2)
        site.until({"hv1": "active", "hv2": "pending"})
        web.hand_over(hv2)
        web.announce(hv2, "rarp", QEMU_TIMES_S)
        site.until({"hv1": "leaving", "hv2": "active"})
        time.sleep(SETTLED_S)
        assert site.places("acme/web1") == {"hv1/br-int": "leaving", "hv2/br-int": "active"}
        web.unplug(hv1)
        hv1.appctl("dpctl/flush-conntrack")
        site.until({"hv2": "active"})
        assert stream.goes_on()
    finally:
        gap = stream.stop()
        server.stop()
    assert gap.broken == ""


def test_a_mac_that_moves_twice_within_a_second_ends_where_it_announced_itself_last(
    site: SharedSite, web: Machine
) -> None:
    peer = site.machines["acme-batch1"]
    move(site, web, "hv2")
    move(site, web, "hv1")
    talk = Talk(peer, web, "udp", 5002, 47000)
    assert talk.passes()
    assert talk.passes(answer=True)
    assert site.places("acme/web1") == {"hv1/br-int": "active"}
