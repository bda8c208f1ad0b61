"""Where endpoints are is learned from the hosts; who moves finds its policy there before it speaks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from topologies.frames import gratuitous_arp, rarp, unsolicited_advertisement
from topologies.lab import Capture, Host, Machine
from topologies.probes import EchoServer, Stream, probe_tcp

from support.demo_site import OTHER, SharedSite, inventory
from support.raw_probes import Knock, address_of, arrived, captures, mark, send
from support.site import flows_of, places_in

pytestmark = [pytest.mark.net, pytest.mark.usefixtures("web1_moves")]


@pytest.fixture
def batch(site: SharedSite) -> Machine:
    return site.machines["acme-batch1"]


@pytest.fixture
def web(site: SharedSite) -> Iterator[Machine]:
    """A machine on hv1 that may be moved about."""
    machine = site.machines["acme-web1"]
    yield machine
    home = site.hosts["hv1"]
    for host in site.hosts.values():
        if host is not home and machine.is_plugged(host) and machine.at is home:
            machine.unplug(host)
    if machine.at is not home:
        machine.migrate(
            home, copy_s=0, ready=lambda: site.until({"hv1": "pending", "hv2": "active"}), linger_s=0.2
        )
    site.until({"hv1": "active"})


def wait_at(site: SharedSite, machine: Machine, host: Host) -> int:
    """Plug a machine's second port in and wait until its policy is there."""
    ofport = machine.plug(host)
    site.until({OTHER[host.short_name]: "active", host.short_name: "pending"})
    return ofport


# Who says where


def test_an_endpoint_is_where_the_port_with_its_iface_id_is(site: SharedSite, web: Machine) -> None:
    assert site.places("acme/web1") == {"hv1/br-int": "active"}
    assert site.places("acme/web2") == {"hv2/br-int": "active"}
    assert site.places("blue/app1") == {"hv1/br-int": "active"}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("attached-mac", "52:54:00:00:00:99", "52:54:00:00:00:99"), ("vm-id", "another", "another")],
)
def test_a_port_whose_ids_do_not_fit_is_quarantined_until_they_do(
    site: SharedSite, batch: Machine, key: str, value: str, words: str
) -> None:
    lone = site.machines["acme-db2"]
    host = site.hosts["hv1"]
    site.change(inventory=with_vm_id(site))
    knock = Knock(site.machines["acme-web1"], lone, "tcp", 5432)
    host.vsctl("set", "interface", "acme-db2", f'external_ids:{key}="{value}"')
    try:
        status = site.wait_for(lambda now: places_in(now, "acme/db2") == {"hv1/br-int": "quarantined"})
        place = next(one for one in status["endpoints"] if one["endpoint"] == "acme/db2")["places"][0]
        assert words in place["reason"]
        site.wait_for(lambda now: not any(one["pending"] for one in now["bridges"]))
        with captures(lone) as caught:
            sent = [knock.frame() for _ in range(3)]
            for frame in sent:
                send(knock.source, [frame])
                time.sleep(0.05)
            assert not set(sent) & set(caught[lone.short_name].drain())
    finally:
        right = lone.mac if key == "attached-mac" else "acme-db2"
        host.vsctl("set", "interface", "acme-db2", f'external_ids:{key}="{right}"')
    site.until({"hv1": "active"}, "acme/db2")
    assert arrived(knock.source, lone, [knock.frame()]) == [True]
    site.change(inventory=inventory(site))


def with_vm_id(site: SharedSite) -> dict[str, object]:
    document = inventory(site)
    for one in document["endpoints"]:
        if one["iface-id"] == "acme-db2":
            one["vm-id"] = "acme-db2"
    return document


# A migration


def test_the_policy_is_on_the_new_host_before_the_machine_is(site: SharedSite, web: Machine) -> None:
    hv2 = site.hosts["hv2"]
    ofport = wait_at(site, web, hv2)
    assert len(flows_of(hv2, f"in_port={ofport}")) > 3
    # It waits: what the machine's port sends there goes nowhere, however allowed it is.
    db = site.machines["acme-db1"]
    frame = Knock(web, db, "udp", 49999).frame()
    peer = site.machines["acme-web2"]
    with captures(db) as caught:
        web.send_at(hv2, [frame])
        mark(peer, db, caught[db.short_name])
        assert frame not in caught[db.short_name].drain()


@pytest.mark.parametrize("kind", ["rarp", "arp"])
def test_the_first_packet_after_a_move_meets_the_policy_and_the_allowed_ones_pass(
    site: SharedSite, web: Machine, batch: Machine, kind: str
) -> None:
    hv2 = site.hosts["hv2"]
    db = site.machines["acme-db1"]
    refused: list[bytes] = []
    fine: list[bytes] = []
    wait_at(site, web, hv2)
    with captures(db) as caught:
        web.hand_over(hv2)
        web.announce(hv2, kind, (0.0,))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not fine:
            refused.append(Knock(web, db, "tcp", 22).frame())
            allowed = Knock(web, db, "tcp", 5432).frame()
            send(web, [refused[-1], allowed])
            time.sleep(0.005)
            fine = [frame for frame in caught[db.short_name].drain() if frame == allowed]
        mark(web, db, caught[db.short_name])
        there = caught[db.short_name].drain()
    assert fine
    assert not set(refused) & set(there)
    web.unplug(site.hosts["hv1"])
    site.until({"hv2": "active"})


def test_the_old_hosts_flows_go_and_the_paths_move(site: SharedSite, web: Machine, batch: Machine) -> None:
    hv1, hv2 = site.hosts.values()
    old = hv1.ofport("acme-web1")
    local = len(flows_of(hv1, f"dl_dst={web.mac}"))
    web.migrate(hv2, copy_s=0, ready=lambda: site.until({"hv1": "active", "hv2": "pending"}), linger_s=0.2)
    site.until({"hv2": "active"})
    assert flows_of(hv1, f"in_port={old}") == []
    assert not any(f"output:{old}" in line.split(" actions=")[1].split(",") for line in hv1.dump_flows())
    assert local
    with captures(web) as caught, Capture(hv2, "fab0") as wire:
        knock = Knock(batch, web, "tcp", 8000).frame()
        send(batch, [knock])
        mark(batch, web, caught[web.short_name])
        assert knock in caught[web.short_name].drain()
        assert len([frame for frame in wire.drain() if frame.endswith(knock[12:])]) == 1
    assert arrived(web, batch, [Knock(web, batch, "udp", 49999).frame()]) == [True]


@pytest.mark.parametrize("family", [4, 6])
def test_a_connection_survives_a_move_there_and_back(
    site: SharedSite, web: Machine, batch: Machine, family: int
) -> None:
    with ExitStack() as stack:
        server = EchoServer(web, (8000,))
        server.start()
        stack.callback(server.stop)
        stream = Stream(batch, address_of(web, family), 8000)
        stream.start()
        for host in (site.hosts["hv2"], site.hosts["hv1"]):
            here = {"active": OTHER[host.short_name], "pending": host.short_name}
            ready = lambda here=here: site.until({name: state for state, name in here.items()})  # noqa: E731
            web.migrate(host, copy_s=0, ready=ready, linger_s=0.3)
            site.until({host.short_name: "active"})
            assert stream.goes_on(), "the machine is heard and reached at its new place"
        gap = stream.stop()
    print(f"IPv{family}: {gap.round_trips} round trips, longest pause {gap.longest_ms:.0f} ms")
    assert gap.broken == ""


def test_a_move_that_is_called_off_leaves_the_machine_where_it_was(site: SharedSite, web: Machine) -> None:
    hv2 = site.hosts["hv2"]
    ofport = wait_at(site, web, hv2)
    web.unplug(hv2)
    site.until({"hv1": "active"})
    assert flows_of(hv2, f"in_port={ofport}") == []
    peer = site.machines["acme-web2"]
    assert arrived(peer, web, [Knock(peer, web, "tcp", 80).frame()]) == [True]


def test_forged_announcements_decide_nothing_between_two_ports(
    site: SharedSite, web: Machine, batch: Machine
) -> None:
    """Another machine claims to be the one that moves; the waiting port announces what is not its own."""
    hv2 = site.hosts["hv2"]
    wait_at(site, web, hv2)
    waiting = {"hv1/br-int": "active", "hv2/br-int": "pending"}
    for sender in (batch, site.machines["acme-db1"], site.machines["blue-app2"]):
        mine = [
            rarp(web.mac),
            gratuitous_arp(web.mac, "10.0.0.1"),
            unsolicited_advertisement(web.mac, "fd00::1"),
        ]
        send(sender, mine)
    other = site.machines["acme-web2"]
    web.send_at(
        hv2,
        [rarp(other.mac), gratuitous_arp(web.mac, "10.0.0.2"), unsolicited_advertisement(web.mac, "fd00::2")],
    )
    time.sleep(0.5)
    assert site.places("acme/web1") == waiting
    peer = site.machines["acme-web2"]
    assert arrived(peer, web, [Knock(peer, web, "tcp", 80).frame()]) == [True]
    assert probe_tcp(peer, "10.0.0.1", 22, 0.3) != "allow"
    # An honest one does.
    web.hand_over(hv2)
    web.announce(hv2, "rarp", (0.0,))
    site.wait_for(lambda _: site.places("acme/web1")["hv2/br-int"] == "active")
    web.unplug(site.hosts["hv1"])
    site.until({"hv2": "active"})
