"""Copies as an IDS reads them off its port: byte for byte, none missing, none twice, and at nobody's cost."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from topologies.lab import Capture, Machine
from topologies.probes import ALLOWED_S, EchoServer, probe_tcp

from support.raw_probes import address_of
from support.service_frames import gather, ip_frame, listening, send, transport, udp
from support.service_site import ServiceSite

pytestmark = pytest.mark.net
ALLOW = {"from": "any", "to": "any", "action": "allow"}
DENY = {"from": "a1", "to": "b1", "action": "drop"}


def dialogue(one: Machine, other: Machine, count: int, family: int = 4) -> list[tuple[Machine, bytes]]:
    """Return datagrams there and back, each with a payload of its own."""
    frames = []
    for number in range(count):
        there, back = b"there %06d" % number, b"back %06d" % number
        frames.append((one, udp(one, other, 53, there, family, sport=41000)))
        frames.append((other, udp(other, one, 41000, back, family, sport=53)))
    return frames


def speak(frames: Iterable[tuple[Machine, bytes]]) -> list[bytes]:
    """Send frames one after the other and return them."""
    sent = []
    for machine, frame in frames:
        send(machine, [frame])
        time.sleep(0.002)
        sent.append(frame)
    return sent


def datagrams(capture: Capture, count: int, protocol: int = 17) -> list[bytes]:
    return gather(capture, lambda frame: transport(frame)[0] == protocol, count)


def by_sender(frames: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    """Return the frames of each sender in order: two hosts have no common clock."""
    found: dict[bytes, list[bytes]] = {}
    for frame in frames:
        found.setdefault(frame[6:12], []).append(frame)
    return found


def mirror(target: Any, when: str = "before", **keys: Any) -> dict[str, Any]:
    return {
        "name": "watch",
        "from": "any",
        "to": "any",
        "services": "any",
        "target": target,
        "when": when,
    } | keys


@pytest.mark.parametrize("target", ["near", "far"])
@pytest.mark.parametrize("peer", ["a2", "b1"])
def test_both_directions_arrive_whole_in_order_and_once(site: ServiceSite, target: str, peer: str) -> None:
    site.policy(ALLOW, mirrors=[mirror(target)])
    with listening(site.sinks[target]) as (ids,):
        sent = speak(dialogue(site.machines["a1"], site.machines[peer], 30))
        assert by_sender(datagrams(ids, len(sent))) == by_sender(sent)


def test_ipv6_is_copied_as_it_is(site: ServiceSite) -> None:
    site.policy(ALLOW, mirrors=[mirror("far")])
    with listening(site.sinks["far"]) as (ids,):
        sent = speak(dialogue(site.machines["a1"], site.machines["b1"], 10, family=6))
        assert by_sender(datagrams(ids, len(sent))) == by_sender(sent)


def test_one_ping_between_two_mirrored_endpoints_gives_exactly_the_copies_asked_for(
    site: ServiceSite,
) -> None:
    site.policy(ALLOW, mirrors=[mirror(["near", "far"]), mirror("near", name="again")])
    with listening(site.sinks["near"], site.sinks["far"]) as sinks:
        assert site.machines["a1"].ping(address_of(site.machines["b1"], 4)) == 1
        for ids in sinks:
            echoes = [transport(frame)[1][0] for frame in datagrams(ids, 2, protocol=1)]
            assert echoes == [8, 0]


@pytest.mark.parametrize(
    ("when", "from_allowed", "from_denied"),
    [("before", True, True), ("allowed", True, False), ("dropped", False, True)],
)
def test_a_mirror_before_or_after_the_verdict_sees_what_it_asks_for(
    site: ServiceSite, when: str, from_allowed: bool, from_denied: bool
) -> None:
    site.policy(DENY, ALLOW, mirrors=[mirror("far", when)])
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    allowed = [udp(a2, b1, 53, b"allowed %d" % number) for number in range(10)]
    denied = [udp(a1, b1, 53, b"denied %d" % number) for number in range(10)]
    with listening(site.sinks["far"], b1) as (ids, receiver):
        send(a2, allowed, 0.002)
        send(a1, denied, 0.002)
        expected = allowed * from_allowed + denied * from_denied
        assert Counter(datagrams(ids, len(expected))) == Counter(expected)
        assert datagrams(receiver, len(allowed)) == allowed


def test_only_the_chosen_traffic_is_copied(site: ServiceSite) -> None:
    chosen = mirror("far", services=["udp/53"], **{"from": "a1", "to": "b1"})
    site.policy(ALLOW, mirrors=[chosen])
    a1, a2, b1 = (site.machines[name] for name in ("a1", "a2", "b1"))
    wanted = [udp(a1, b1, 53, b"wanted %d" % number) for number in range(5)]
    others = [
        udp(a1, b1, 54, b"port"),
        udp(a2, b1, 53, b"sender"),
        udp(b1, a1, 53, b"direction", sport=50000),
    ]
    with listening(site.sinks["far"]) as (ids,):
        for machine, frame in zip((a1, a2, b1), others, strict=True):
            send(machine, [frame])
        send(a1, wanted, 0.002)
        assert datagrams(ids, len(wanted)) == wanted


def test_a_rule_copies_what_it_allows_and_no_other_rule(site: ServiceSite) -> None:
    site.policy({**ALLOW, "services": ["udp/53"], "mirror": ["near", "far"]}, ALLOW)
    a1, b1 = site.machines["a1"], site.machines["b1"]
    with listening(site.sinks["near"], site.sinks["far"]) as sinks:
        send(a1, [udp(a1, b1, 99, b"other rule")])
        sent = speak(dialogue(a1, b1, 10))
        for ids in sinks:
            assert by_sender(datagrams(ids, len(sent))) == by_sender(sent)


@pytest.mark.parametrize("target", ["near", "far"])
def test_a_truncated_copy_is_the_packets_beginning(site: ServiceSite, target: str) -> None:
    others = [mirror(target, name=f"to-{n}", services=[f"tcp/{n}"], truncate=n) for n in range(100, 107)]
    site.policy(ALLOW, mirrors=[mirror(target, truncate=64), *others])
    a1, b1 = site.machines["a1"], site.machines["b1"]
    sent = [udp(a1, b1, 53, b"%03d" % number + b"x" * 300) for number in range(10)]
    with listening(site.sinks[target], b1) as (ids, receiver):
        send(a1, sent, 0.002)
        copies = gather(ids, lambda frame: frame[23] == 17, len(sent))
        assert copies == [frame[:64] for frame in sent]
        assert datagrams(receiver, len(sent)) == sent


def test_who_asks_for_whole_packets_gets_them_though_another_rule_truncates(site: ServiceSite) -> None:
    site.policy(ALLOW, mirrors=[mirror("near", truncate=64), mirror("near", name="whole")])
    a1, b1 = site.machines["a1"], site.machines["b1"]
    sent = [udp(a1, b1, 53, b"y" * 300 + b"%d" % number) for number in range(5)]
    with listening(site.sinks["near"]) as (ids,):
        send(a1, sent, 0.002)
        assert by_sender(datagrams(ids, len(sent))) == by_sender(sent)


def test_one_in_four_samples_whole_connections_in_both_directions(site: ServiceSite) -> None:
    site.policy(ALLOW, mirrors=[mirror("far", sample="1/4")])
    a1, b1 = site.machines["a1"], site.machines["b1"]
    ports = range(20000, 20160)
    with listening(site.sinks["far"]) as (ids,):
        for port in ports:
            send(a1, [udp(a1, b1, 53, b"there", sport=port)])
            send(b1, [udp(b1, a1, port, b"back", sport=53)])
        known = -1
        while known != (known := len(ids.drain())):  # nobody can say how many are chosen
            time.sleep(0.8)
        bodies = [transport(frame)[1] for frame in ids.drain() if transport(frame)[0] == 17]
    there = Counter(struct.unpack_from("!H", body)[0] for body in bodies if body.endswith(b"there"))
    back = Counter(struct.unpack_from("!H", body, 2)[0] for body in bodies if body.endswith(b"back"))
    assert there == back
    assert set(there.values()) == {1}
    assert 160 / 4 * 0.5 < len(there) < 160 / 4 * 1.6


def test_a_target_may_be_a_vlan_of_an_uplink(site: ServiceSite) -> None:
    lan = site.hosts["hv1"].roles["br-int"]["eth1"]
    lan["target"] = "tap"
    site.write_inventory(**{"mirror-targets": {"near": {}, "far": {}, "tap": {"vlan": 777}}})
    try:
        site.policy(ALLOW, mirrors=[mirror("tap")])
        tap = site.outsides["lan"]
        with Capture(tap, "uplink") as wire:
            sent = speak(dialogue(site.machines["a2"], site.machines["b1"], 10))
            tagged = [frame[:12] + b"\x81\x00" + struct.pack("!H", 777) + frame[12:] for frame in sent]
            chosen = gather(wire, lambda frame: frame[12:16] == b"\x81\x00\x03\x09", len(sent))
            assert by_sender(frame for frame in chosen if frame[27] == 17) == by_sender(tagged)
    finally:
        del lan["target"]
        site.write_inventory(**{"mirror-targets": {"near": {}, "far": {}}})


def test_what_an_ids_sends_is_dropped_and_reported(site: ServiceSite) -> None:
    site.policy(ALLOW, mirrors=[mirror("far")])
    a1, b1 = site.machines["a1"], site.machines["b1"]
    with listening(a1, b1) as captures, site.sinks["far"].capture() as _:
        forged = udp(a1, b1, 53, b"from the sensor")
        _send_from(site.sinks["far"], [forged] * 5)
        status = site.wait_for(lambda status: status["mirror_targets_that_sent"])
        assert [frame for capture in captures for frame in capture.drain() if frame == forged] == []
    (one,) = status["mirror_targets_that_sent"]
    assert (one["port"], one["mac"]) == ("hv2/br-int/far0", a1.mac)
    assert "mirror_target_sent" in site.log()


def _send_from(sink: Any, frames: Sequence[bytes]) -> None:

    with sink.socket(socket.AF_PACKET, socket.SOCK_RAW) as card:
        card.bind(("eth0", 0))
        for frame in frames:
            card.send(frame)


@pytest.mark.parametrize("target", ["near", "far"])
def test_a_dead_target_costs_the_mirrored_traffic_nothing(site: ServiceSite, target: str) -> None:
    site.policy(ALLOW, mirrors=[mirror(target)])
    a1, b1 = site.machines["a1"], site.machines["b1"]
    site.sinks[target].ip("link set dev eth0 down")
    try:
        sent = [udp(a1, b1, 53, b"%d" % number) for number in range(500)]
        with listening(b1) as (receiver,):
            send(a1, sent, 0.0005)
            assert datagrams(receiver, len(sent)) == sent
    finally:
        site.sinks[target].ip("link set dev eth0 up")


def test_a_slow_target_is_the_only_one_that_loses(site: ServiceSite) -> None:
    site.policy(ALLOW, mirrors=[mirror("near")])
    a1, b1 = site.machines["a1"], site.machines["b1"]
    near = site.sinks["near"]
    slow = "tc qdisc add dev near0 root tbf rate 16kbit burst 2kb limit 3000"
    site.hosts["hv1"].run(*slow.split())
    try:
        sent = [udp(a1, b1, 53, b"%05d" % number + b"z" * 500) for number in range(300)]
        with listening(b1, near) as (receiver, ids):
            send(a1, sent, 0.001)
            assert datagrams(receiver, len(sent)) == sent
            assert len(datagrams(ids, 1)) < len(sent)
    finally:
        site.hosts["hv1"].run("tc", "qdisc", "del", "dev", "near0", "root")


def test_a_tcp_connection_is_copied_segment_by_segment(site: ServiceSite) -> None:
    site.policy({**ALLOW, "mirror": ["near"]})
    a1, b1 = site.machines["a1"], site.machines["b1"]
    server = EchoServer(b1, [8080])
    server.start()
    try:
        with listening(site.sinks["near"], a1) as (ids, here):
            assert probe_tcp(a1, address_of(b1, 4), 8080, ALLOWED_S) == "allow"
            to_a1 = datagrams(here, 4, protocol=6)
            copies = datagrams(ids, 8, protocol=6)
        assert [frame for frame in copies if frame[:6] == to_a1[0][:6]] == to_a1
        assert len(copies) == len(set(copies))
    finally:
        server.stop()


def test_icmp_errors_of_a_copied_connection_are_copied_with_it(site: ServiceSite) -> None:
    site.policy(ALLOW, mirrors=[mirror("near")])
    a1, b1 = site.machines["a1"], site.machines["b1"]
    asked = udp(a1, b1, 9999, b"nobody listens")
    with listening(site.sinks["near"]) as (ids,):
        send(a1, [asked])
        error = ip_frame(b1, a1, 1, b"\x03\x03\0\0\0\0\0\0" + asked[14:])
        send(b1, [error])
        assert error in datagrams(ids, 1, protocol=1)
