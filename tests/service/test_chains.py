"""Traffic through appliances: real ones, that filter; both ways, alone and in a row, dead and back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from topologies.probes import ALLOWED_S, EchoServer, Stream, probe_tcp

from support.chain_site import PLAIN, passed, send_from, through, wait_until_away
from support.raw_probes import address_of
from support.service_frames import SYN, gather, listening, send, tcp, transport, udp
from support.service_site import ServiceSite

pytestmark = pytest.mark.net


@pytest.fixture(scope="module")
def chains(appliances: ServiceSite) -> Iterator[ServiceSite]:
    """The site with appliances, and servers behind them."""
    site = appliances
    server = EchoServer(site.machines["b1"], [80, 81])
    near = EchoServer(site.machines["a2"], [80, 81])
    for each in (server, near):
        each.start()
    yield site
    for each in (server, near):
        each.stop()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("peer", ["a2", "b1"])
@pytest.mark.parametrize("function", ["waf", "dpi", "arm", "fw"])
def test_a_connection_passes_the_appliance_both_ways_wherever_it_is(
    chains: ServiceSite, function: str, peer: str, family: int
) -> None:
    chains.policy(through(function), PLAIN)
    a1, other = chains.machines["a1"], chains.machines[peer]
    with listening(chains.appliances[function]) as (leg,):
        assert probe_tcp(a1, address_of(other, family), 80, ALLOWED_S) == "allow"
        assert len(passed(leg)) >= 3
    with listening(chains.appliances[function]) as (leg,):
        assert probe_tcp(a1, address_of(other, family), 81, ALLOWED_S) == "allow"
        # The end of the connection before may still come by.
        assert [frame for frame in passed(leg) if (81).to_bytes(2, "big") in transport(frame)[1][:4]] == []


@pytest.mark.parametrize("function", ["waf", "arm", "fw"])
def test_what_the_appliance_refuses_does_not_arrive_and_the_rest_does(
    chains: ServiceSite, function: str
) -> None:
    chains.policy(through(function), PLAIN)
    a1, a2, b1 = (chains.machines[name] for name in ("a1", "a2", "b1"))
    appliance = chains.appliances[function]
    appliance.nft("add rule bridge filter pass ip saddr 10.0.0.1 tcp dport 80 counter drop")
    try:
        assert probe_tcp(a1, address_of(b1, 4), 80, 0.6) == "drop"
        assert probe_tcp(a2, address_of(b1, 4), 80, ALLOWED_S) == "allow"
    finally:
        appliance.nft("flush chain bridge filter pass")
    assert probe_tcp(a1, address_of(b1, 4), 80, ALLOWED_S) == "allow"


def test_several_appliances_stand_in_the_rules_order_and_reversed_on_the_way_back(
    chains: ServiceSite,
) -> None:
    chains.policy(through("waf", "dpi"), PLAIN)
    a1, b1 = chains.machines["a1"], chains.machines["b1"]
    with listening(chains.appliances["waf"], chains.appliances["dpi"]) as (waf, dpi):
        assert probe_tcp(a1, address_of(b1, 4), 80, ALLOWED_S) == "allow"
        assert len(passed(waf)) >= 3
        assert len(passed(dpi)) >= 3
    chains.appliances["waf"].nft("add rule bridge filter pass tcp dport 80 drop")
    try:
        with listening(chains.appliances["dpi"]) as (dpi,):
            assert probe_tcp(a1, address_of(b1, 4), 80, 0.6) == "drop"
            assert passed(dpi) == []
    finally:
        chains.appliances["waf"].nft("flush chain bridge filter pass")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("source", "peer"), [("a1", "b1"), ("b2", "b1"), ("b2", "a2")])
def test_appliances_of_every_kind_stand_in_one_way_wherever_its_ends_are(
    chains: ServiceSite, source: str, peer: str, family: int
) -> None:
    kinds = ("fw", "arm", "dpi")
    chains.policy(through(*kinds), PLAIN)
    with listening(*(chains.appliances[name] for name in kinds)) as legs:
        one, other = chains.machines[source], chains.machines[peer]
        assert probe_tcp(one, address_of(other, family), 80, ALLOWED_S) == "allow"
        assert all(len(passed(leg)) >= 3 for leg in legs)


@pytest.mark.parametrize("peer", ["a2", "b1"])
def test_what_is_too_long_for_one_frame_passes_appliances_of_every_kind_in_pieces(
    chains: ServiceSite, peer: str
) -> None:
    chains.policy(
        {
            "from": "any",
            "to": "any",
            "services": ["icmp", "icmpv6"],
            "action": "allow",
            "through": ["waf", "arm", "fw"],
        }
    )
    for family in (4, 6):
        answers = chains.machines["a1"].run(
            "ping",
            "-n",
            "-c",
            "2",
            "-i",
            "0.2",
            "-W",
            "2",
            "-s",
            "4000",
            address_of(chains.machines[peer], family),
        )
        assert ", 0% packet loss" in answers


@pytest.mark.parametrize(("function", "verdict"), [("waf", "drop"), ("dpi", "allow")])
def test_a_dead_appliance_drops_or_is_bypassed_as_it_says_and_is_used_again_when_it_is_back(
    chains: ServiceSite, function: str, verdict: str
) -> None:
    chains.policy(through(function), PLAIN)
    a1, b1 = chains.machines["a1"], chains.machines["b1"]
    live = Stream(a1, address_of(b1, 4), 81)
    live.start()
    appliance = chains.appliances[function]
    appliance.set_alive(alive=False)
    try:
        wait_until_away(chains, function)
        assert probe_tcp(a1, address_of(b1, 4), 80, 0.6) == verdict
    finally:
        appliance.set_alive(alive=True)
    wait_until_away(chains)
    with listening(appliance) as (leg,):
        assert probe_tcp(a1, address_of(b1, 4), 80, ALLOWED_S) == "allow"
        assert len(passed(leg)) >= 3
    assert not live.stop().broken


def test_an_appliance_cannot_send_what_was_not_sent_into_it(chains: ServiceSite) -> None:
    chains.policy(through("waf"), PLAIN)
    a1, a2, b1 = (chains.machines[name] for name in ("a1", "a2", "b1"))
    forged = [
        tcp(a1, b1, 80, SYN, sport=50123), udp(a2, b1, 53, b"forged"), tcp(b1, a1, 50124, SYN, sport=80),
        tcp(a1, a2, 81, SYN, sport=50125),
    ]  # fmt: skip
    with listening(a1, a2, b1) as captures:
        for leg in ("in", "out"):
            send_from(chains.appliances["waf"], leg, forged)
        time.sleep(0.5)
        assert [frame for capture in captures for frame in capture.drain() if frame in forged] == []


def test_nothing_circles_between_an_appliance_and_its_bridges(chains: ServiceSite) -> None:
    chains.policy(through("waf", "dpi"), PLAIN)
    a1, b1 = chains.machines["a1"], chains.machines["b1"]
    with listening(chains.appliances["waf"], chains.appliances["dpi"], b1) as (waf, dpi, receiver):
        frame = tcp(a1, b1, 80, SYN, sport=50200)
        send(a1, [frame])
        assert gather(receiver, lambda one: one == frame, 1) == [frame]
        assert passed(waf).count(frame) == 1
        assert passed(dpi).count(frame) == 1
