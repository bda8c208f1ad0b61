"""A machine speaks as itself or not at all: raw frames from a machine's own namespace."""

from __future__ import annotations

import socket
import struct

import pytest
from topologies.frames import checksum, gratuitous_arp, rarp, unsolicited_advertisement
from topologies.lab import Machine

from support.packets import build
from support.raw_probes import (
    Knock,
    address_of,
    arrived,
    captures,
    ip_packet,
    mac_of,
    mark,
    send,
)
from support.site import Site

pytestmark = pytest.mark.net
BOTH = pytest.mark.parametrize("family", [4, 6])
HERE_AND_AWAY = pytest.mark.parametrize("victim", ["acme-web2", "acme-db2"])


def nowhere(site: Site, sender: Machine, frame: bytes, *, but: Machine | None = None) -> None:
    """Send a frame and assert that it comes out at no machine of either tenant."""
    others = [machine for machine in site.machines.values() if machine is not sender and machine is not but]
    peer = next(m for m in others if m.short_name.startswith(sender.short_name[:4]))
    with captures(*others) as caught:
        mark(sender, peer, caught[peer.short_name])
        send(sender, [frame])
        mark(sender, peer, caught[peer.short_name])
        assert [name for name, capture in caught.items() if frame in capture.drain()] == []


def reaches(sender: Machine, receiver: Machine, frame: bytes) -> bool:
    """Say whether a question to all arrives at the one it is about, as one to it alone."""
    with captures(receiver) as caught:
        send(sender, [frame])
        mark(sender, receiver, caught[receiver.short_name])
        alone = bytes.fromhex(receiver.mac.replace(":", "")) + frame[6:]
        return alone in caught[receiver.short_name].drain()


@BOTH
def test_an_honest_frame_arrives(site: Site, family: int) -> None:
    batch, web = site.machines["acme-batch1"], site.machines["acme-web2"]
    assert arrived(batch, web, [Knock(batch, web, "tcp", 80, family).frame()]) == [True]


@BOTH
@HERE_AND_AWAY
def test_a_frame_with_another_ones_mac_is_dropped(site: Site, family: int, victim: str) -> None:
    batch, web = site.machines["acme-batch1"], site.machines["acme-web1"]
    forged = ip_packet(batch, web, "tcp", 80, family=family).but(eth_src=mac_of(site.machines[victim]))
    nowhere(site, batch, build(forged))


@BOTH
@HERE_AND_AWAY
def test_a_packet_with_another_ones_address_is_dropped(site: Site, family: int, victim: str) -> None:
    batch, web = site.machines["acme-batch1"], site.machines["acme-web1"]
    whole = ip_packet(site.machines[victim], web, "tcp", 80, family=family)
    nowhere(site, batch, build(whole.but(eth_src=mac_of(batch))))
    nowhere(site, batch, build(whole))


@BOTH
def test_a_tagged_frame_is_dropped_whatever_the_tag(site: Site, family: int) -> None:
    batch, web = site.machines["acme-batch1"], site.machines["acme-web2"]
    inner = build(ip_packet(batch, web, "tcp", 80, family=family))
    for tags in (struct.pack("!HH", 0x8100, 1), struct.pack("!HHHH", 0x8100, 2, 0x8100, 1)):
        frame = inner[:12] + tags + inner[12:]
        others = [machine for machine in site.machines.values() if machine is not batch]
        with captures(*others) as caught:
            mark(batch, web, caught[web.short_name])
            send(batch, [frame])
            mark(batch, web, caught[web.short_name])
            got = [f for capture in caught.values() for f in capture.drain()]
            assert frame not in got
            assert inner not in got


def arp(operation: int, sha: str, spa: str, tpa: str, *, ethernet: str | None = None) -> bytes:
    """Return an ARP frame to all, RFC 826."""
    mac = bytes.fromhex(sha.replace(":", ""))
    outer = bytes.fromhex((ethernet or sha).replace(":", ""))
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + socket.inet_aton(spa)
    return (b"\xff" * 6 + outer + b"\x08\x06" + body + bytes(6) + socket.inet_aton(tpa)).ljust(60, b"\0")


@HERE_AND_AWAY
@pytest.mark.parametrize("operation", [1, 2], ids=["request", "reply"])
def test_arp_that_speaks_for_another_one_is_dropped(site: Site, victim: str, operation: int) -> None:
    batch, other = site.machines["acme-batch1"], site.machines[victim]
    # Another one's address, another one's MAC inside, another one's MAC outside, all of it.
    nowhere(site, batch, arp(operation, batch.mac, address_of(other, 4), "10.0.0.1"))
    nowhere(site, batch, arp(operation, other.mac, "10.0.0.4", "10.0.0.1", ethernet=batch.mac))
    nowhere(site, batch, arp(operation, batch.mac, "10.0.0.4", "10.0.0.1", ethernet=other.mac))
    nowhere(site, batch, arp(operation, other.mac, address_of(other, 4), "10.0.0.1"))


def test_honest_arp_reaches_whom_it_asks_for(site: Site) -> None:
    batch, web = site.machines["acme-batch1"], site.machines["acme-web2"]
    assert reaches(batch, web, arp(1, batch.mac, "10.0.0.4", "10.0.0.2"))


def neighbour(
    kind: int, source: str, target: str, link_layer: str, *, ethernet: str, to: str = "ff02::1"
) -> bytes:
    """Return a router (133) or neighbour (135) solicitation, or an advertisement (136), RFC 4861."""
    src, dst = (socket.inet_pton(socket.AF_INET6, text) for text in (source, to))
    option = struct.pack("!BB6s", 2 if kind == 136 else 1, 1, bytes.fromhex(link_layer.replace(":", "")))
    flags = 0x20000000 if kind == 136 else 0
    about = b"" if kind == 133 else socket.inet_pton(socket.AF_INET6, target)
    body = struct.pack("!BBHI", kind, 0, 0, flags) + about + option
    summed = checksum(src + dst + struct.pack("!II", len(body), 58) + body)
    body = body[:2] + struct.pack("!H", summed) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + src + dst
    mac = bytes.fromhex(ethernet.replace(":", ""))
    return b"\x33\x33" + dst[12:] + mac + b"\x86\xdd" + head + body


@HERE_AND_AWAY
def test_neighbour_discovery_that_speaks_for_another_one_is_dropped(site: Site, victim: str) -> None:
    batch, other = site.machines["acme-batch1"], site.machines[victim]
    mine, theirs = address_of(batch, 6), address_of(other, 6)
    own = batch.mac
    # An advertisement of another one's address; one's own with another one's link-layer address.
    nowhere(site, batch, neighbour(136, mine, theirs, own, ethernet=own))
    nowhere(site, batch, neighbour(136, theirs, theirs, own, ethernet=own))
    nowhere(site, batch, neighbour(136, mine, mine, other.mac, ethernet=own))
    # A solicitation from another one's address, or with another one's link-layer address.
    web = address_of(site.machines["acme-web1"], 6)
    nowhere(site, batch, neighbour(135, theirs, web, own, ethernet=own))
    nowhere(site, batch, neighbour(135, mine, web, other.mac, ethernet=own))
    # A question for routers from another one's address, which all would hear.
    nowhere(site, batch, neighbour(133, theirs, "::", own, ethernet=own, to="ff02::2"))


def test_honest_neighbour_discovery_reaches_whom_it_asks_for(site: Site) -> None:
    batch, web = site.machines["acme-batch1"], site.machines["acme-web2"]
    asked = neighbour(135, "fd00::4", "fd00::2", batch.mac, ethernet=batch.mac, to="ff02::1:ff00:2")
    assert reaches(batch, web, asked)
    for_routers = neighbour(133, "fd00::4", "::", batch.mac, ethernet=batch.mac, to="ff02::2")
    assert arrived(batch, web, [for_routers]) == [True]


def test_only_routers_advertise_routes_and_only_dhcp_servers_answer(site: Site) -> None:
    batch = site.machines["acme-batch1"]
    advertisement = bytearray(
        neighbour(136, "fe80::5054:ff:fe00:4", "fd00::4", batch.mac, ethernet=batch.mac)
    )
    advertisement[54] = 134  # the checksum is of no interest to a switch
    nowhere(site, batch, bytes(advertisement))
    for victim in ("acme-web1", "acme-web2"):
        offer = ip_packet(batch, site.machines[victim], "udp", 68, sport=67)
        nowhere(site, batch, build(offer))


@pytest.mark.parametrize("victim", ["acme-web1", "acme-web2"])
def test_a_forged_announcement_moves_nobody(site: Site, victim: str) -> None:
    batch, other = site.machines["acme-batch1"], site.machines[victim]
    before = site.rest()["endpoints"]
    applied = [bridge["changes_applied"] for bridge in site.status()["bridges"]]
    forged = [rarp(other.mac), gratuitous_arp(other.mac, address_of(other, 4))]
    forged += [unsolicited_advertisement(other.mac, address_of(other, 6))]
    for frame in forged:
        nowhere(site, batch, frame)
    assert site.status()["endpoints"] == before
    assert [bridge["changes_applied"] for bridge in site.status()["bridges"]] == applied
    peer = site.machines["acme-db1"]
    assert arrived(peer, other, [Knock(peer, other, "tcp", 80).frame()]) == [True]


def test_a_port_that_nobody_announced_can_do_nothing(site: Site) -> None:
    web = site.machines["acme-web1"]
    stranger = site.lab.machine("stranger", "52:54:00:00:00:66", ["10.0.0.66/24"])
    stranger.plug(site.hosts["hv1"])
    try:
        status = site.wait_for(lambda s: any("stranger" in one["port"] for one in s["unknown_ports"]))
        assert [one["port"] for one in status["unknown_ports"]] == ["hv1/br-int/stranger"]
        frames = [Knock(stranger, web, "tcp", 80).frame()]
        with captures(web, stranger) as caught:
            send(stranger, [*frames, arp(1, stranger.mac, "10.0.0.66", "10.0.0.1")])
            peer = site.machines["acme-batch1"]
            mark(peer, web, caught[web.short_name])
            assert not [f for f in caught[web.short_name].drain() if f[6:12] == frames[0][6:12]]
            assert caught["stranger"].drain() == []
    finally:
        stranger.unplug()
    site.wait_for(lambda s: not s["unknown_ports"])
