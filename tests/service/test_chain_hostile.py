"""Appliances that lie: of every kind, from every side, under every name; and who is beside a firewall."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from topologies.probes import EchoServer

from support.chain_site import PLAIN, Talks, arrived, send_from, through, udp_echo, wait_until_away
from support.raw_probes import address_of
from support.service_frames import ACK, SYN, eventually, gather, listening, send, tcp, udp
from support.service_site import ServiceSite

pytestmark = pytest.mark.net
LEGS = {"waf": ("in", "out"), "arm": ("in",), "fw": ("in", "out")}
ECHO = 7
PORT = 47000


@pytest.fixture(scope="module")
def talking(appliances: ServiceSite) -> Iterator[ServiceSite]:
    """The site with a machine that answers datagrams."""
    server = EchoServer(appliances.machines["b1"], [80])
    server.start()
    with udp_echo(appliances.machines["b1"], ECHO):
        yield appliances
    server.stop()


@pytest.mark.parametrize("function", LEGS)
def test_it_cannot_begin_a_connection_nor_speak_as_anybody(talking: ServiceSite, function: str) -> None:
    site = talking
    site.policy(through(function, services="tcp/80"), through(function, services=f"udp/{ECHO}"), PLAIN)
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    forged = [
        tcp(a1, b1, 80, SYN, sport=50123), tcp(a1, b1, 80, ACK, sport=50124),
        tcp(b1, a1, 50125, SYN, sport=80),
        tcp(a2, b1, 81, SYN, sport=50126), tcp(a2, b1, 80, SYN, sport=50127, family=6),
        udp(a2, b1, ECHO, b"forged", sport=50128), udp(b1, a1, 50129, b"forged", sport=ECHO),
    ]  # fmt: skip
    with listening(a1, a2, b1) as captures:
        for leg in LEGS[function]:
            send_from(site.appliances[function], leg, forged)
        time.sleep(0.4)
        assert [frame for capture in captures for frame in capture.drain() if frame in forged] == []


@pytest.mark.parametrize("function", LEGS)
def test_in_a_connection_that_passes_it_it_cannot_speak_as_a_third(
    talking: ServiceSite, function: str
) -> None:
    """It may say what it likes between the two ends, by the leg of each direction: that is its trade."""
    site = talking
    site.policy(through(function, services=f"udp/{ECHO}"))
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    talks = Talks(a1, address_of(b1, 4), ECHO, 1, PORT)
    try:
        eventually(lambda: min(talks.answered().values()) > 0)
        third = [
            udp(a2, b1, ECHO, b"third one", sport=PORT), udp(b1, a2, PORT, b"third one", sport=ECHO),
            udp(a1, b1, ECHO + 1, b"third one", sport=PORT), udp(a1, a2, ECHO, b"third one", sport=PORT),
        ]  # fmt: skip
        against = {
            "in": [udp(a1, b1, ECHO, b"wrong way", sport=PORT)],
            "out": [udp(b1, a1, PORT, b"wrong way", sport=ECHO)],
        }
        with listening(a1, a2, b1) as captures:
            for leg in LEGS[function]:
                send_from(site.appliances[function], leg, third)
                if len(LEGS[function]) == 2:
                    send_from(site.appliances[function], leg, against[leg])
            time.sleep(0.4)
            forged = [*third, *against["in"], *against["out"]]
            assert [frame for capture in captures for frame in capture.drain() if frame in forged] == []
    finally:
        assert set(talks.stop().values()) == {0}, "who talks is not disturbed"


@pytest.mark.parametrize("vlan", [900, 901])
def test_a_machine_on_the_firewalls_vlans_cannot_begin_anything_nor_speak_as_anybody(
    talking: ServiceSite, vlan: int
) -> None:
    site = talking
    site.policy(through("fw", services=f"udp/{ECHO}"), through("fw"), PLAIN)
    intruder = site.strangers["intruder"]
    site.outsides["lan"].vsctl("set", "port", "intruder", f"tag={vlan}")
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    stranger = site.strangers["stranger"]
    talks = Talks(a1, address_of(b1, 4), ECHO, 1, PORT + 1)
    try:
        eventually(lambda: min(talks.answered().values()) > 0)
        forged = [
            udp(a2, b1, ECHO, b"from beside", sport=PORT + 1), tcp(a1, b1, 80, SYN, sport=50223),
            tcp(b1, a1, 81, SYN, sport=50224), tcp(stranger, a1, 81, SYN, sport=50225),
            udp(a1, b1, ECHO, b"from beside", sport=PORT + 2),
        ]  # fmt: skip
        with listening(a1, a2, b1) as captures:
            send(intruder, forged)
            time.sleep(0.4)
            assert [frame for capture in captures for frame in capture.drain() if frame in forged] == []
    finally:
        assert set(talks.stop().values()) == {0}


@pytest.mark.parametrize(("source", "target"), [("stranger", "a1"), ("a1", "stranger")])
def test_what_comes_from_or_goes_to_the_outside_passes_the_firewall_on_the_same_uplink(
    talking: ServiceSite, source: str, target: str
) -> None:
    site = talking
    site.policy(through("fw", services=f"udp/{ECHO}"))
    machines = {**site.machines, **site.strangers}
    one, other = machines[source], machines[target]
    with udp_echo(other, ECHO), listening(site.appliances["fw"]) as (leg,):
        talks = Talks(one, address_of(other, 4), ECHO, 1, PORT + 3)
        seen = gather(leg, lambda frame: frame[26:30] == bytes(map(int, address_of(one, 4).split("."))), 5)
        assert set(talks.stop().values()) == {0}
    assert len(seen) >= 5


def test_a_firewall_that_does_not_answer_behind_a_live_uplink_is_found_out(
    talking: ServiceSite,
) -> None:
    site = talking
    site.policy(through("fw", services=f"udp/{ECHO}"), PLAIN)
    a1, b1 = site.machines["a1"], site.machines["b1"]
    site.appliances["fw"].set_alive(alive=False)
    try:
        wait_until_away(site, "fw")
        frame = udp(a1, b1, ECHO, b"not without it", sport=PORT + 4)
        with listening(b1) as (arriving,):
            send(a1, [frame])
            assert arrived(arriving, lambda one: one == frame) == []
    finally:
        site.appliances["fw"].set_alive(alive=True)
    wait_until_away(site)
