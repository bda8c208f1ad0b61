"""Copies and appliances over an overlay; collectors that know nothing of zonewall: GRE and ERSPAN."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
from topologies.lab import Capture, Host, Lab, Namespace

from support.chain_site import Talks, both_legs, ports_seen, udp_echo
from support.raw_probes import address_of
from support.service_frames import eventually, gather, listening, send, transport, udp
from support.service_site import ServiceSite

pytestmark = pytest.mark.net
UNDERLAY = "198.51.100"
COLLECTOR = f"{UNDERLAY}.50"
ALLOW = {"from": "any", "to": "any", "action": "allow"}


def join_underlay(lab: Lab, switch: Namespace, host: Host, number: int) -> str:
    """Give a host an address on the underlay, on a bridge of its own, as user-space tunnels need it."""
    host.ip(f"link add name phy0 type veth peer name to-{number} netns {switch.name}", "link set dev phy0 up")
    switch.ip(f"link set dev to-{number} master under up")
    host.vsctl(
        "add-br", "br-phy", "--", "set", "bridge", "br-phy", "datapath_type=netdev", "fail_mode=standalone"
    )
    host.vsctl("add-port", "br-phy", "phy0")
    address = f"{UNDERLAY}.{number}"
    host.ip(f"address add {address}/24 dev br-phy", "link set dev br-phy up mtu 1600")
    return address


@pytest.fixture(scope="module")
def overlay() -> Iterator[ServiceSite]:
    """Two hosts joined by Geneve, an IDS on the second, and a collector on the underlay."""
    with Lab() as lab:
        site = ServiceSite(lab, attachment="overlay")
        under = Namespace(lab.ledger, "under")
        under.ip(
            "link add name under type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            "link set dev under up",
        )
        for number, name in ((11, "hv1"), (12, "hv2")):
            host = site.host(name)
            underlay = join_underlay(lab, under, host, number)
            site.host_keys[name] = {"tunnel-address": underlay}
            host.vsctl(
                "add-port", "br-int", "gnv0", "--", "set", "interface", "gnv0", "type=geneve",
                "options:remote_ip=flow", "options:key=flow",
            )  # fmt: skip
            host.roles["br-int"]["gnv0"] = {"role": "tunnel"}
        collector = Namespace(lab.ledger, "collector")
        collector.ip(
            f"link add name eth0 type veth peer name to-50 netns {under.name}",
            f"address add {COLLECTOR}/24 dev eth0", "link set dev eth0 up",
        )  # fmt: skip
        under.ip("link set dev to-50 master under up")
        site.namespaces["collector"] = collector
        tunnels: dict[str, list[str]] = {
            "gre": ["type=gre"],
            "erspan": ["type=erspan", "options:erspan_ver=1", "options:erspan_idx=7", "options:key=1"],
        }
        for kind, options in tunnels.items():
            remote = f"options:remote_ip={COLLECTOR}"
            site.hosts["hv1"].vsctl(
                "add-port", "br-int", kind, "--", "set", "interface", kind, *options, remote
            )
            site.hosts["hv1"].roles["br-int"][kind] = {"role": "mirror-target", "target": kind}
        site.sinks["far"] = lab.sink("far", site.hosts["hv2"], "far0")
        site.inventory["mirror-targets"] = {
            "far": {}, **{kind: {"tunnel": kind, "remote": COLLECTOR} for kind in tunnels}
        }  # fmt: skip
        for name, host_name, number in (("a1", "hv1", 1), ("a2", "hv1", 2), ("b1", "hv2", 3)):
            site.machine(name, host_name, number)
        site.start()
        # The first packet into a tunnel is spent on finding the far end.
        site.policy(ALLOW, mirrors=[watch(["far", *tunnels])])
        site.machines["a1"].ping(address_of(site.machines["b1"], 4), count=3)
        yield site


def watch(target: Any, **keys: Any) -> dict[str, Any]:
    return {"name": "watch", "from": "any", "to": "any", "services": "any", "target": target, **keys}


def speak(site: ServiceSite, one: str, other: str) -> list[bytes]:
    first, second = site.machines[one], site.machines[other]
    sent = []
    for number in range(20):
        sent.append(udp(first, second, 53, b"there %d" % number, sport=41000))
        send(first, sent[-1:])
        time.sleep(0.003)
        sent.append(udp(second, first, 41000, b"back %d" % number, sport=53))
        send(second, sent[-1:])
        time.sleep(0.003)
    return sent


@pytest.mark.parametrize("peer", ["a2", "b1"])
def test_over_geneve_both_directions_arrive_once(overlay: ServiceSite, peer: str) -> None:
    overlay.policy(ALLOW, mirrors=[watch("far")])
    with listening(overlay.sinks["far"]) as (ids,):
        sent = speak(overlay, "a1", peer)
        copies = gather(ids, lambda frame: transport(frame)[0] == 17, len(sent))
        assert sorted(copies) == sorted(sent)


def test_over_geneve_a_copy_is_truncated(overlay: ServiceSite) -> None:
    overlay.policy(ALLOW, mirrors=[watch("far", truncate=64)])
    a1, b1 = overlay.machines["a1"], overlay.machines["b1"]
    sent = [udp(a1, b1, 53, b"%03d" % number + b"x" * 200) for number in range(5)]
    with listening(overlay.sinks["far"]) as (ids,):
        send(a1, sent, 0.003)
        assert gather(ids, lambda frame: frame[23] == 17, 5) == [frame[:64] for frame in sent]


def unwrapped(packet: bytes) -> bytes | None:
    """Return the frame within GRE (RFC 2784, 2890) or ERSPAN type II (draft-foschiano-erspan-03)."""
    if packet[12:14] != b"\x08\x00" or packet[23] != 47:
        return None
    gre = packet[14 + (packet[14] & 15) * 4 :]
    flags, kind = struct.unpack_from("!HH", gre)
    body = gre[4 + 4 * bool(flags & 0x8000) + 4 * bool(flags & 0x2000) + 4 * bool(flags & 0x1000) :]
    return body[8:] if kind == 0x88BE else body if kind == 0x6558 else None


@pytest.mark.parametrize("kind", ["gre", "erspan"])
def test_a_collector_gets_every_packet_once_and_whole(overlay: ServiceSite, kind: str) -> None:
    overlay.policy(ALLOW, mirrors=[watch(kind)])
    with contextlib.closing(Capture(overlay.namespaces["collector"], "eth0")) as wire:
        sent = speak(overlay, "a1", "b1")
        packets = gather(wire, lambda frame: unwrapped(frame) is not None, len(sent))
    copies = [frame for packet in packets if transport(frame := unwrapped(packet) or b"")[0] == 17]
    assert sorted(copies) == sorted(sent)


@pytest.fixture(scope="module")
def pool(overlay: ServiceSite) -> ServiceSite:
    """The overlay with two appliances alike, one on each host."""
    for name, host in (("one", "hv1"), ("two", "hv2")):
        made = overlay.lab.appliance(f"p-{name}", overlay.hosts[host], function="pool", instance=name)
        overlay.appliances[f"pool/{name}"] = made
    overlay.write_inventory(**{"service-functions": {"pool": {"kind": "bump-in-the-wire"}}})
    return overlay


@pytest.mark.parametrize(("source", "target"), [("a1", "b1"), ("a1", "a2"), ("b1", "a1")])
def test_over_geneve_connections_are_shared_among_appliances_and_pass_one_both_ways(
    pool: ServiceSite, source: str, target: str
) -> None:
    pool.policy({**ALLOW, "through": ["pool"]})
    client, server = pool.machines[source], pool.machines[target]
    with udp_echo(server, 7), contextlib.ExitStack() as stack:
        talks = Talks(client, address_of(server, 4), 7, 8, 43000)
        legs = [stack.enter_context(both_legs(pool.appliances[f"pool/{name}"])) for name in ("one", "two")]
        seen: list[tuple[set[int], set[int]]] = []

        def all_passed() -> bool:
            seen[:] = [ports_seen(captures, 7, 17) for captures in legs]
            each = [port for there, _ in seen for port in there]
            return all(there == back for there, back in seen) and sorted(each) == talks.ports

        eventually(all_passed)
        assert set(talks.stop().values()) == {0}
    assert all(there == back for there, back in seen)
    assert all(there for there, _ in seen)
    assert sorted(port for there, _ in seen for port in there) == talks.ports
