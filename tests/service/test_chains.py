"""Traffic through appliances: real ones, that filter; both ways, alone and in a row, dead and back."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from topologies.lab import Appliance, Namespace
from topologies.probes import EchoServer, Stream, probe_tcp

from support.service_frames import SYN, address, gather, listening, send, tcp, transport, udp
from support.service_site import ServiceSite, Status

pytestmark = pytest.mark.net
FUNCTIONS: dict[str, Any] = {
    "waf": {"kind": "bump-in-the-wire"},
    "dpi": {"kind": "bump-in-the-wire", "when-down": "bypass"},
    "arm": {"kind": "one-armed"},
}
FILTER = "table bridge filter {\n chain pass {\n type filter hook forward priority 0;\n }\n}\n"


@pytest.fixture(scope="module")
def chains(site: ServiceSite) -> Iterator[ServiceSite]:
    """The site with a filter on hv1, another one on hv2, and one with a single leg on hv1."""
    for name, host in (("waf", "hv1"), ("dpi", "hv2")):
        site.appliances[name] = site.lab.appliance(name, site.hosts[host])
        site.appliances[name].nft(FILTER)
    site.appliances["arm"] = _one_armed(site, "arm", "hv1")
    site.write_inventory(**{"service-functions": FUNCTIONS})
    server = EchoServer(site.machines["b1"], [80, 81])
    near = EchoServer(site.machines["a2"], [80, 81])
    for each in (server, near):
        each.start()
    yield site
    for each in (server, near):
        each.stop()


def _one_armed(site: ServiceSite, name: str, host: str) -> Appliance:
    """Return an appliance with one leg: a bridge that sends back out of the port that a frame came in by."""
    made = Appliance(site.lab.ledger, name)
    made.ip(
        "link add name pass type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set dev pass up",
        f"link add name in type veth peer name {name}-leg netns {site.hosts[host].name}",
        "link set dev in master pass up",
    )  # fmt: skip
    made.run("bridge", "link", "set", "dev", "in", "hairpin", "on", "learning", "off", "flood", "on")
    made.nft(FILTER)
    site.hosts[host].add_port(f"{name}-leg", role={"role": "service", "function": name, "leg": "only"})
    return made


def through(*functions: str) -> dict[str, Any]:
    return {"from": "any", "to": "any", "services": ["tcp/80"], "action": "allow", "through": list(functions)}


PLAIN = {"from": "any", "to": "any", "services": ["tcp/81"], "action": "allow"}


def away(status: Status) -> set[str]:
    """Return the appliances that the controller takes for away."""
    return {one["appliance"] for one in status["appliances"] if one["state"] == "away"}


def passed(capture: Any) -> list[bytes]:
    """Return the TCP frames that came into an appliance by its first leg."""
    return [frame for frame in capture.drain() if transport(frame)[0] == 6]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("peer", ["a2", "b1"])
@pytest.mark.parametrize("function", ["waf", "dpi", "arm"])
def test_a_connection_passes_the_appliance_both_ways_wherever_it_is(
    chains: ServiceSite, function: str, peer: str, family: int
) -> None:
    chains.policy(through(function), PLAIN)
    a1, other = chains.machines["a1"], chains.machines[peer]
    with listening(chains.appliances[function]) as (leg,):
        assert probe_tcp(a1, address(other, family), 80) == "allow"
        assert len(passed(leg)) >= 3
    with listening(chains.appliances[function]) as (leg,):
        assert probe_tcp(a1, address(other, family), 81) == "allow"
        # The end of the connection before may still come by.
        assert [frame for frame in passed(leg) if (81).to_bytes(2, "big") in transport(frame)[1][:4]] == []


@pytest.mark.parametrize("function", ["waf", "arm"])
def test_what_the_appliance_refuses_does_not_arrive_and_the_rest_does(
    chains: ServiceSite, function: str
) -> None:
    chains.policy(through(function), PLAIN)
    a1, a2, b1 = (chains.machines[name] for name in ("a1", "a2", "b1"))
    appliance = chains.appliances[function]
    appliance.nft("add rule bridge filter pass ip saddr 10.0.0.1 tcp dport 80 counter drop")
    try:
        assert probe_tcp(a1, address(b1, 4), 80, 0.6) == "drop"
        assert probe_tcp(a2, address(b1, 4), 80) == "allow"
    finally:
        appliance.nft("flush chain bridge filter pass")
    assert probe_tcp(a1, address(b1, 4), 80) == "allow"


def test_several_appliances_stand_in_the_rules_order_and_reversed_on_the_way_back(
    chains: ServiceSite,
) -> None:
    chains.policy(through("waf", "dpi"), PLAIN)
    a1, b1 = chains.machines["a1"], chains.machines["b1"]
    with listening(chains.appliances["waf"], chains.appliances["dpi"]) as (waf, dpi):
        assert probe_tcp(a1, address(b1, 4), 80) == "allow"
        assert len(passed(waf)) >= 3
        assert len(passed(dpi)) >= 3
    chains.appliances["waf"].nft("add rule bridge filter pass tcp dport 80 drop")
    try:
        with listening(chains.appliances["dpi"]) as (dpi,):
            assert probe_tcp(a1, address(b1, 4), 80, 0.6) == "drop"
            assert passed(dpi) == []
    finally:
        chains.appliances["waf"].nft("flush chain bridge filter pass")


@pytest.mark.parametrize(("function", "verdict"), [("waf", "drop"), ("dpi", "allow")])
def test_a_dead_appliance_drops_or_is_bypassed_as_it_says_and_is_used_again_when_it_is_back(
    chains: ServiceSite, function: str, verdict: str
) -> None:
    chains.policy(through(function), PLAIN)
    a1, b1 = chains.machines["a1"], chains.machines["b1"]
    live = Stream(a1, address(b1, 4), 81)
    live.start()
    appliance = chains.appliances[function]
    appliance.set_alive(alive=False)
    try:
        chains.wait_for(lambda status: function in away(status) and chains.is_settled(status))
        assert probe_tcp(a1, address(b1, 4), 80, 0.6) == verdict
    finally:
        appliance.set_alive(alive=True)
    chains.wait_for(lambda status: not away(status) and chains.is_settled(status))
    with listening(appliance) as (leg,):
        assert probe_tcp(a1, address(b1, 4), 80) == "allow"
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
            _send_from(chains.appliances["waf"], leg, forged)
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


def _send_from(place: Namespace, card: str, frames: list[bytes]) -> None:

    with place.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((card, 0))
        for frame in frames:
            raw.send(frame)
