"""Hosts on an ordinary VLAN network, with a firewall between two other VLANs of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from topologies.lab import Lab

from support.chain_site import FILTER, Talks, both_legs, passed, through, udp_echo
from support.raw_probes import address_of
from support.service_site import ServiceSite

pytestmark = pytest.mark.net
UPLINK = {"role": "uplink", "vlans": {100: "acme"}, "function": "fw"}
UDP = 17
ECHO = 7


@pytest.fixture(scope="module")
def vlans() -> Iterator[ServiceSite]:
    """Two hosts with uplinks into one switch that learns, and a firewall on two of its VLANs."""
    with Lab() as lab:
        site = ServiceSite(lab, attachment="underlay")
        hv1, hv2 = site.host("hv1"), site.host("hv2")
        switch = lab.outside("lan", hv1, role=UPLINK)
        lab.link(hv2, switch, names=("eth1", "uplink2"), roles=(UPLINK, {"role": "uplink"}))
        site.appliances["fw"] = lab.appliance("fw", switch, tags=(900, 901))
        site.appliances["fw"].ip("link set dev pass type bridge ageing_time 30000")
        site.appliances["fw"].nft(FILTER)
        for name, host, number in (("a1", "hv1", 1), ("b1", "hv2", 2)):
            site.machine(name, host, number)
        site.inventory["service-functions"] = {"fw": {"kind": "vlan-pair", "out": 900, "back": 901}}
        site.start()
        yield site


@pytest.mark.parametrize(("source", "target"), [("a1", "b1"), ("b1", "a1")])
def test_a_connection_between_hosts_passes_the_firewall_once_each_way(
    vlans: ServiceSite, source: str, target: str
) -> None:
    vlans.policy(through("fw", services=f"udp/{ECHO}"))
    client, server = vlans.machines[source], vlans.machines[target]
    with udp_echo(server, ECHO), both_legs(vlans.appliances["fw"]) as legs:
        talks = Talks(client, address_of(server, 4), ECHO, 2, 48000)
        vlans.wait_for(lambda _: min(talks.answered().values()) >= 20)
        assert set(talks.stop().values()) == {0}
        for leg in legs:
            assert len(passed(leg, UDP)) == sum(talks.sent.values())
