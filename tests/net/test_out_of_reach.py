"""No guest reaches the controller, or the host that it is on, through a bridge that zonewall manages."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
from topologies.lab import Capture, Host, Machine

from support.demo_site import MARKER, acme
from support.packets import build
from support.raw_probes import ICMPV6, SYN, address_of, captures, ip_packet, mac_of, mark, send
from support.site import OPENFLOW, OVSDB, Site
from zonewall.flows.simulate import Packet, packet

pytestmark = pytest.mark.net
HOST_ADDRESS, HOST_ADDRESS_6 = "10.0.0.254", "fd00::fe"
CONTROLLER_6, LEG_6 = "fd99::1", "fd99::11"
OPEN = {"name": "open", "from": "any", "to": ["any", "management"], "action": "allow"}


@pytest.fixture
def open_site(site: Site) -> Iterator[Site]:
    """The widest that a tenant can write, and a host that has addresses on its bridge's own port."""
    hv1, controller = site.hosts["hv1"], site.lab.controller
    places = ((hv1, "br-int", HOST_ADDRESS_6), (hv1, "mgmt0", LEG_6), (controller, "mgmt", CONTROLLER_6))
    hv1.ip(f"address add {HOST_ADDRESS}/24 dev br-int", "link set dev br-int up")
    for where, device, address in places:
        where.sysctl(f"net.ipv6.conf.{device}.disable_ipv6", 0)
        where.ip(f"address add {address}/64 dev {device} nodad")
    zones: dict[str, Any] = acme()["zones"]
    zones["management"] = {
        "cidrs": ["192.0.2.0/24", f"{HOST_ADDRESS}/32", "fd99::/64", f"{HOST_ADDRESS_6}/128"]
    }
    site.change(acme={**acme(), "zones": zones, "tiers": [{"name": "t", "rules": [MARKER, OPEN]}]})
    yield site
    site.change(acme=acme())
    for where, device, _ in places:
        where.sysctl(f"net.ipv6.conf.{device}.disable_ipv6", 1)
    hv1.ip(f"address del {HOST_ADDRESS}/24 dev br-int", "link set dev br-int down")


def local_mac(host: Host) -> int:
    return int(host.run("cat", "/sys/class/net/br-int/address").strip().replace(":", ""), 16)


def to_address(guest: Machine, peer: Machine, address: str, mac: int, port: int) -> bytes:
    target = ip_address(address)
    made = ip_packet(guest, peer, "tcp", port, flags=SYN, family=target.version)
    return build(Packet(made.but(eth_dst=mac, **{f"ipv{target.version}_dst": int(target)}).values))


def asking(guest: Machine, address: str) -> bytes:
    """Return the question who has an address: by ARP, or as a neighbour solicitation."""
    target = ip_address(address)
    if target.version == 6:
        one = packet(
            eth_src=mac_of(guest), eth_dst=0x333300000001, eth_type=0x86DD, ip_proto=ICMPV6, nw_ttl=255,
            icmpv6_type=135, ipv6_src=int(ip_address(address_of(guest, 6))), nd_target=int(target),
            ipv6_dst=int(ip_address("ff02::1")), nd_sll=mac_of(guest),
        )  # fmt: skip
        return build(one)
    own = mac_of(guest).to_bytes(6, "big")
    body = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, own, socket.inet_aton(guest.ips[0]), bytes(6),
                       socket.inet_aton(address))  # fmt: skip
    return (b"\xff" * 6 + own + b"\x08\x06" + body).ljust(60, b"\0")


def test_what_guests_send_to_their_host_and_to_the_controller_reaches_neither(open_site: Site) -> None:
    web, db = (open_site.machines[name] for name in ("acme-web1", "acme-db2"))
    hv1, controller = open_site.hosts["hv1"], open_site.lab.controller
    macs = (local_mac(hv1), 0xFFFFFFFFFFFF, mac_of(db))
    addresses = (HOST_ADDRESS, open_site.lab.controller_address, hv1.address)
    addresses_6 = (HOST_ADDRESS_6, CONTROLLER_6, LEG_6)
    frames = [
        to_address(web, db, address, mac, port)
        for address in (*addresses, *addresses_6)
        for mac in macs
        for port in (OPENFLOW, OVSDB, 22)
    ]
    frames += [asking(web, address) for address in (*addresses, *addresses_6)]
    with (
        Capture(hv1, "br-int") as own_port,
        Capture(hv1, "mgmt0") as leg,
        Capture(controller, "mgmt") as management,
        captures(db) as caught,
    ):
        mark(web, db, caught["acme-db2"])
        send(web, frames)
        mark(web, db, caught["acme-db2"])  # all that was sent before has gone wherever it goes
        sender = mac_of(web).to_bytes(6, "big")
        for where in (own_port, leg, management):
            assert [frame for frame in where.drain() if frame[6:12] == sender] == []
        for family in (4, 6):
            ours = ip_address(address_of(web, family)).packed
            assert [frame for frame in own_port.drain() if ours in frame] == []
    for address in (HOST_ADDRESS, open_site.lab.controller_address, HOST_ADDRESS_6, CONTROLLER_6):
        assert not web.succeeds("timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{OPENFLOW}")


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, HOST_ADDRESS), (socket.AF_INET6, HOST_ADDRESS_6)], ids=["4", "6"]
)
def test_a_host_that_listens_on_its_bridges_own_port_hears_no_guest(
    open_site: Site, family: socket.AddressFamily, address: str
) -> None:
    web, hv1 = open_site.machines["acme-web1"], open_site.hosts["hv1"]
    web.ip(f"neighbour replace {address} lladdr {local_mac(hv1).to_bytes(6, 'big').hex(':')} dev eth0")
    server = hv1.socket(family, socket.SOCK_STREAM)
    with server:
        server.bind((address, OPENFLOW))
        server.listen()
        server.settimeout(1.5)
        caller = web.socket(family, socket.SOCK_STREAM)
        with caller:
            caller.setblocking(False)
            caller.connect_ex((address, OPENFLOW))
            with pytest.raises(TimeoutError):
                server.accept()
