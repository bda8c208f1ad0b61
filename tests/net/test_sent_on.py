"""At a migration two bridges are enough: the one that was left sends on what the others still send to it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from topologies.lab import Lab

from support.packets import build
from support.raw_probes import MARKER_PORT, captures, ip_packet, mark, send
from support.site import Site, places_in
from zonewall.flows.leaving import REVALIDATION_S

pytestmark = pytest.mark.net
MACHINES = {"vm": ("hv1", "52:54:00:00:00:01", "10.0.0.1"), "peer": ("hv3", "52:54:00:00:00:03", "10.0.0.3")}


@pytest.fixture
def site() -> Iterator[Site]:
    """Three hosts, each joined with each; one machine that will move, and one that talks to it."""
    with Lab() as lab:
        site = Site(lab)
        site.hosts = {name: lab.host(name) for name in ("hv1", "hv2", "hv3")}
        hv1, hv2, hv3 = site.hosts.values()
        for one, other in ((hv1, hv2), (hv1, hv3), (hv2, hv3)):
            lab.link(one, other)
        endpoints = [
            {"name": name, "tenant": "acme", "iface-id": f"acme-{name}", "mac": mac, "ips": [ip]}
            for name, (_, mac, ip) in MACHINES.items()
        ]
        services = ["tcp/80", "udp/5001", f"udp/{MARKER_PORT}"]
        rule = {"name": "all", "from": "any", "to": "any", "services": services, "action": "allow"}
        tier = {"name": "t", "rules": [rule]}
        site.put(
            inventory={"kind": "inventory", "hosts": lab.inventory_hosts(), "endpoints": endpoints},
            acme={"kind": "tenant", "tenant": "acme", "tiers": [tier]},
        )
        site.start()
        site.join(hv1, hv2, hv3)
        for name, (host, mac, ip) in MACHINES.items():
            site.machine(f"acme-{name}", host, mac, f"{ip}/24")
        site.settle()
        site.wait_for(lambda status: len(status["links"]) == 3 and site.is_settled(status))
        yield site


def test_a_bridge_that_has_not_heard_of_the_move_still_reaches_the_machine_at_its_new_place(
    site: Site,
) -> None:
    _, hv2, hv3 = site.hosts.values()
    vm, peer = site.machines.values()
    with captures(vm) as caught:
        mark(peer, vm, caught[vm.short_name])
    vm.plug(hv2)
    both = {"hv1/br-int": "active", "hv2/br-int": "pending"}
    site.wait_for(lambda status: places_in(status, "acme/vm") == both and site.is_settled(status))
    hv3.set_management(up=False)
    vm.hand_over(hv2)
    vm.announce(hv2, "rarp", (0.0,))
    moved = {"hv1/br-int": "leaving", "hv2/br-int": "active"}
    told = [f"{host}/br-int" for host in ("hv1", "hv2")]
    site.wait_for(
        lambda status: (
            places_in(status, "acme/vm") == moved
            and all(not one["pending"] for one in status["bridges"] if one["bridge"] in told)
        )
    )
    time.sleep(REVALIDATION_S)  # decisions that the datapath has cached are gone by then
    frames = [build(ip_packet(peer, vm, "udp", 5001, sport=47000 + at)) for at in range(20)]
    refused = build(ip_packet(peer, vm, "udp", 5002, sport=47100))
    with captures(vm) as caught:
        send(peer, [*frames, refused])
        mark(peer, vm, caught[vm.short_name])
        arrived = caught[vm.short_name].drain()
    assert [frame for frame in arrived if frame in frames] == frames, "each once, in order"
    assert refused not in arrived
    hv3.set_management(up=True)
