"""Addresses that the inventory does not give: a real DHCP server, what endpoints announce, what two share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from topologies.frames import gratuitous_arp, unsolicited_advertisement
from topologies.lab import Lab, Machine
from topologies.probes import EchoServer, probe_ping, probe_tcp

from support.dhcp6_client import DECLINE, RELEASE, RENEW, granting, obtain_6, say_6, serve_6
from support.dhcp_client import obtain, serve
from support.raw_probes import send
from support.site import Site

pytestmark = pytest.mark.net
SHARED = "10.0.0.100"
SHARED_6 = "fd00::100"
BOTH = {"ranges": [f"{SHARED}/32", f"{SHARED_6}/128"]}
MACHINES = {
    "dhcp1": ("hv1", "52:54:00:00:01:01", ["10.0.0.1", "fd00::1"], {"roles": ["dhcp-server"]}),
    "peer1": ("hv2", "52:54:00:00:01:02", ["10.0.0.2", "fd00::2"], {}),
    "new1": ("hv2", "52:54:00:00:01:03", [], {}),
    "new2": ("hv2", "52:54:00:00:01:07", [], {}),
    "new3": ("hv2", "52:54:00:00:01:09", [], {}),
    "six1": ("hv2", "52:54:00:00:01:08", [], {}),
    "vip1": ("hv1", "52:54:00:00:01:04", ["10.0.0.4", "fd00::4"], BOTH),
    "vip2": ("hv2", "52:54:00:00:01:05", ["10.0.0.5", "fd00::5"], BOTH),
    "many1": ("hv1", "52:54:00:00:01:06", ["10.0.0.6", "10.0.0.7", "fd00::6"], {"ranges": ["10.0.0.64/29"]}),
}


def inventory(site: Site) -> dict[str, Any]:
    endpoints = [
        {"name": name, "tenant": "acme", "iface-id": name, "mac": mac, "ips": ips, **more}
        for name, (_, mac, ips, more) in MACHINES.items()
    ]
    hosts = {name: host.inventory() for name, host in site.hosts.items()}
    return {"kind": "inventory", "hosts": hosts, "endpoints": endpoints}


def acme(**more: Any) -> dict[str, Any]:
    rules = [
        {"name": "leased", "from": "leased", "to": "any", "services": ["tcp/7000"], "action": "allow"},
        {"name": "rest", "from": "any", "to": "any", "action": "allow",
         "services": ["tcp/8000", "icmp/echo-request", "icmpv6/echo-request", "udp/9"]},
    ]  # fmt: skip
    zones = {"leased": {"cidrs": ["10.0.0.128/25", "fd00::1:0/112"]}}
    return {"kind": "tenant", "tenant": "acme", "zones": zones,
            "tiers": [{"name": "t", "rules": rules}], **more}  # fmt: skip


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Lab() as lab:
        made = Site(lab)
        made.hosts = {name: lab.host(name) for name in ("hv1", "hv2")}
        lab.link(*made.hosts.values(), names=("fab0", "fab0"))
        made.put(inventory=inventory(made), acme=acme())
        made.start()
        made.join(*made.hosts.values())
        for name, (host, mac, ips, _) in MACHINES.items():
            machine = lab.machine(name, mac, [f"{one}/{64 if ':' in one else 24}" for one in ips])
            machine.plug(made.hosts[host])
            made.machines[name] = machine
        made.wait_for(lambda status: len(status["links"]) == 1 and is_ready(status))
        yield made


def is_ready(status: dict[str, Any]) -> bool:
    places = [one["places"] for one in status["endpoints"]]
    in_force = all(one["state"] == "in-force" and not one["pending"] for one in status["bridges"])
    return in_force and all(len(one) == 1 and one[0]["state"] == "active" for one in places)


def change(site: Site, **documents: Any) -> None:
    before = site.status()["configuration"]["revision"]
    site.put(**documents)
    site.wait_for(lambda status: status["configuration"]["revision"] > before and is_ready(status))


def learnt(site: Site, endpoint: str) -> dict[str, str]:
    known = next(one for one in site.status()["endpoints"] if one["endpoint"] == f"acme/{endpoint}")
    return {one["address"]: one["source"] for one in known["learnt"]}


@contextmanager
def answering(machine: Machine, *ports: int) -> Iterator[None]:
    server = EchoServer(machine, ports)
    server.start()
    try:
        yield
    finally:
        server.stop()


def reaches(machine: Machine, address: str, port: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if probe_tcp(machine, address, port, 0.3) == "allow":
            return True
    return False


def test_an_address_granted_by_a_dhcp_server_is_the_machines_own_also_in_zones_and_after_a_restart(
    site: Site, tmp_path: Path
) -> None:
    new, peer = site.machines["new1"], site.machines["peer1"]
    server = serve(site.machines["dhcp1"], tmp_path, "10.0.0.200", "10.0.0.210")
    try:
        address = obtain(new)
        site.wait_for(lambda _: learnt(site, "new1") == {address: "dhcp"} and is_ready(site.status()))
    finally:
        server.stop()
    new.ip(f"address add {address}/24 dev eth0")
    with answering(peer, 7000, 8000):
        assert reaches(new, "10.0.0.2", 8000)
        assert reaches(new, "10.0.0.2", 7000), "the zone by address holds it"
        assert probe_tcp(site.machines["vip1"], "10.0.0.2", 7000, 0.3) == "drop"
        new.ip("address add 10.0.0.222/24 dev eth0")
        with new.socket(2, 1) as other:
            other.settimeout(0.5)
            other.bind(("10.0.0.222", 0))
            with pytest.raises(OSError):
                other.connect(("10.0.0.2", 8000))
        site.restart(9)
        site.wait_for(is_ready)
        assert learnt(site, "new1") == {address: "dhcp"}
        assert reaches(new, "10.0.0.2", 7000)
    with answering(new, 8000):
        assert reaches(peer, address, 8000)
    new.ip("address flush dev eth0 scope global")
    records = site.journal("--vm", "acme/new1", "--kind", "address")
    assert [(one["details"]["address"], one["details"]["state"]) for one in records] == [(address, "learnt")]
    assert "DHCP server at hv1/br-int" in records[0]["cause"]


def test_nobody_but_a_dhcp_server_grants_anything(site: Site, tmp_path: Path) -> None:
    before = learnt(site, "new1")
    rogue = serve(site.machines["vip2"], tmp_path, "10.0.0.230", "10.0.0.240")
    try:
        with pytest.raises(AssertionError, match="no address"):
            obtain(site.machines["new1"], 3.0)
    finally:
        rogue.stop()
    assert learnt(site, "new1") == before


@pytest.fixture
def six(site: Site) -> Machine:
    """Return the machine that asks over DHCPv6, without any address."""
    server, machine = site.machines["dhcp1"], site.machines["six1"]
    send(server, [granting(server, machine, one, 0) for one in learnt(site, "six1")])
    site.wait_for(lambda _: learnt(site, "six1") == {})
    return machine


def test_an_address_granted_over_dhcpv6_is_the_machines_own_until_it_is_given_up(
    site: Site, six: Machine, tmp_path: Path
) -> None:
    new, peer = six, site.machines["peer1"]
    before = len(site.journal("--vm", "acme/six1", "--kind", "address"))
    server = serve_6(site.machines["dhcp1"], tmp_path, "fd00::1:10", "fd00::1:ff")
    try:
        with answering(peer, 7000, 8000), answering(new, 8000):
            for rapid, last in ((False, RELEASE), (True, DECLINE)):
                lease = obtain_6(new, rapid=rapid)
                site.wait_for(lambda _, it=lease: learnt(site, "six1") == {it.address: "dhcp"})
                new.ip(f"address add {lease.address}/64 dev eth0 nodad")
                assert reaches(new, "fd00::2", 7000), "the zone by address holds it"
                assert reaches(peer, lease.address, 8000)
                say_6(new, RENEW, lease)
                assert learnt(site, "six1") == {lease.address: "dhcp"}
                say_6(new, last, lease)
                site.wait_for(lambda _: learnt(site, "six1") == {})
                site.wait_for(lambda _: probe_tcp(new, "fd00::2", 8000, 0.3) == "drop")
                new.ip("address flush dev eth0 scope global")
    finally:
        server.stop()
    records = site.journal("--vm", "acme/six1", "--kind", "address")[before:]
    assert [one["details"]["state"] for one in records] == ["learnt", "gone"] * 2
    assert "DHCP server at hv1/br-int" in records[0]["cause"]
    assert "given up at hv2/br-int" in records[1]["cause"]


def test_a_lease_over_dhcpv6_ends_with_its_lifetime(site: Site, six: Machine) -> None:
    server, new = site.machines["dhcp1"], six
    send(server, [granting(server, new, "fd00::1:7", 8), granting(server, new, "fd00::1:8", 3600)])
    site.wait_for(lambda _: learnt(site, "six1") == {"fd00::1:7": "dhcp", "fd00::1:8": "dhcp"})
    site.wait_for(lambda _: learnt(site, "six1") == {"fd00::1:8": "dhcp"})
    send(server, [granting(server, new, "fd00::1:8", 0)])
    site.wait_for(lambda _: learnt(site, "six1") == {})


def test_nobody_but_a_dhcp_server_grants_anything_over_dhcpv6(
    site: Site, six: Machine, tmp_path: Path
) -> None:
    new, thief, server = six, site.machines["vip2"], site.machines["dhcp1"]
    rogue = serve_6(thief, tmp_path, "fd00::1:100", "fd00::1:1ff")
    try:
        with pytest.raises(AssertionError, match="no address"):
            obtain_6(new, rapid=True, patience_s=4.0)
    finally:
        rogue.stop()
    send(thief, [granting(thief, new, "fd00::1:9", 600), granting(server, new, "fd00::1:a", 600)])
    send(new, [granting(new, new, "fd00::1:b", 600), granting(server, new, "fd00::1:c", 600)])
    send(server, [granting(server, new, "fd00::2", 600), granting(server, thief, "fd00::1:d", 600)])
    send(server, [granting(server, new, "fd00::1:e", 600)])
    site.wait_for(lambda _: learnt(site, "six1") == {"fd00::1:e": "dhcp"})
    assert learnt(site, "vip2") == {}


@pytest.mark.parametrize(
    ("name", "prefix", "length", "most", "announcement"),
    [("new2", "10.0.0.", 24, 1, gratuitous_arp), ("new3", "fd00::", 64, 4, unsolicited_advertisement)],
    ids=["ARP", "ND"],
)
def test_where_the_tenant_allows_it_the_first_address_that_a_machine_announces_is_its_own(
    site: Site, name: str, prefix: str, length: int, most: int, announcement: Callable[[str, str], bytes]
) -> None:
    """Of IPv4 one, of IPv6 four."""
    new, peer = site.machines[name], site.machines["peer1"]
    send(new, [announcement(new.mac, f"{prefix}9")])
    change(site, acme=acme(**{"learn-addresses": True}))
    for stolen in (f"{prefix}2", f"{prefix}100"):
        send(new, [announcement(new.mac, stolen)])
    new.ip(f"address add {prefix}209/{length} dev eth0" + (" nodad" if ":" in prefix else ""))
    send(new, [announcement(new.mac, f"{prefix}209")])
    with answering(peer, 7000, 8000):
        assert reaches(new, f"{prefix}2", 8000)
        assert probe_tcp(new, f"{prefix}2", 7000, 0.3) == "drop", "announced is not granted"
    assert learnt(site, name) == {f"{prefix}209": "heard"}
    send(new, [announcement(new.mac, f"{prefix}{last}") for last in range(210, 215)])
    own = {f"{prefix}{last}": "heard" for last in range(209, 209 + most)}
    site.wait_for(lambda _: learnt(site, name) == own)
    time.sleep(0.3)
    assert learnt(site, name) == own
    change(site, acme=acme())


@pytest.mark.parametrize(
    ("shared", "announcement"),
    [(f"{SHARED}/32", gratuitous_arp), (f"{SHARED_6}/128", unsolicited_advertisement)],
    ids=["ARP", "ND"],
)
def test_an_address_that_two_share_is_where_it_was_announced_last(
    site: Site, shared: str, announcement: Callable[[str, str], bytes]
) -> None:
    first, second, peer = (site.machines[name] for name in ("vip1", "vip2", "peer1"))
    address = shared.partition("/")[0]

    def held(by: Machine) -> bool:
        return learnt(site, by.short_name).get(address) == "claimed"

    for holder, other in ((first, second), (second, first), (first, second)):
        holder.ip(f"address replace {shared} dev eth0" + (" nodad" if ":" in shared else ""))
        time.sleep(1.1)  # an address that was taken over stays a second
        send(holder, [announcement(holder.mac, address)])
        site.wait_for(lambda _, holder=holder: held(holder))
        assert not held(other)
        with answering(holder, 8000):
            assert reaches(peer, address, 8000)
        holder.ip(f"address del {shared} dev eth0")
    moves = [
        one["details"]["state"]
        for one in site.journal("--vm", "acme/vip1", "--kind", "address")
        if one["details"]["address"] == address
    ]
    assert moves == ["learnt", "gone", "learnt"]


def test_a_machine_with_several_addresses_and_a_range_may_use_all_of_them_and_no_other(site: Site) -> None:
    many = site.machines["many1"]
    many.ip("address add 10.0.0.66/24 dev eth0", "address add 10.0.0.99/24 dev eth0")
    for source, fine in (("10.0.0.6", True), ("10.0.0.7", True), ("10.0.0.66", True), ("10.0.0.99", False)):
        ping = f"ping -n -q -c 2 -i 0.2 -W 1 -I {source} 10.0.0.2 || true"
        done = many.run("sh", "-c", ping)
        assert (" 0 received" not in done) is fine, (source, done)
    assert probe_ping(many, "10.0.0.2") == "allow"
