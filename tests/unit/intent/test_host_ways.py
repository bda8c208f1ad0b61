"""Which ways of hosts' own a change would take, told of those that there are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.configurations import at, configure
from zonewall.intent.host_ways import lost_ways
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import (
    Attachment,
    BridgeDeclaration,
    HostDeclaration,
    PortDeclaration,
    PortRole,
)
from zonewall.policy.model import Configuration
from zonewall.values.names import BridgeName, HostName, TenantName

BRIDGE = BridgeKey(HostName("hv1"), BridgeName("br-int"))
ACME = TenantName("acme")


def host(name: str) -> PortDeclaration:
    return PortDeclaration(name, PortRole.HOST, at())


def uplink(name: str, *vlans: int) -> PortDeclaration:
    return PortDeclaration(name, PortRole.UPLINK, at(), vlans=dict.fromkeys(vlans, ACME))


def site(*ports: PortDeclaration, key: BridgeKey = BRIDGE) -> Configuration:
    """Return a configuration with one bridge."""
    declared = {port.name: port for port in ports}
    bridge = BridgeDeclaration(key.bridge, Attachment.UNDERLAY, declared, at())
    of_host = HostDeclaration(key.host, "hv1", "hv1", {key.bridge: bridge}, at())
    return replace(configure(), inventory=replace(configure().inventory, hosts={key.host: of_host}))


IN_BAND = site(host("mgmt"), uplink("eth1", 100), uplink("eth2"))
ETH1, ETH2 = ("mgmt", "eth1"), ("mgmt", "eth2")


@pytest.mark.parametrize(
    ("after", "lost"),
    [
        (site(host("mgmt"), uplink("eth1", 200), uplink("eth2")), []),
        (site(host("mgmt"), uplink("eth1", 100), uplink("eth2"), uplink("eth3")), []),
        (site(host("mgmt"), uplink("eth1", 0), uplink("eth2")), [ETH1]),
        (site(host("mgmt"), uplink("eth3"), uplink("eth2")), [ETH1]),
        (site(uplink("eth1"), uplink("eth2")), [ETH1, ETH2]),
        (site(host("other"), uplink("eth1"), uplink("eth2")), [ETH1, ETH2]),
        (site(host("mgmt"), host("new"), uplink("eth1"), uplink("eth2")), []),
        (site(host("first"), host("mgmt"), uplink("eth1"), uplink("eth2")), [ETH1, ETH2]),
        (site(uplink("eth1"), key=BridgeKey(BRIDGE.host, BridgeName("br-ex"))), []),
        (site(uplink("eth1"), key=BridgeKey(HostName("hv2"), BRIDGE.bridge)), []),
    ],
    ids=[
        "another VLAN", "one more uplink", "untagged frames become a tenant's", "moved to another uplink",
        "no host port", "another host port", "a second one is not joined", "a second one takes its place",
        "the bridge is managed no more", "the host is managed no more",
    ],
)  # fmt: skip
def test_a_way_is_lost_where_two_ports_that_are_joined_would_part(
    after: Configuration, lost: list[tuple[str, str]]
) -> None:
    found = lost_ways(IN_BAND, after, lambda _, __: True)
    assert sorted((one.port, one.uplink) for one in found) == sorted(lost)
    assert all(one.bridge == BRIDGE for one in found)


@pytest.mark.parametrize("absent", ["mgmt", "eth1"])
def test_no_way_is_lost_by_a_port_that_is_not_there(absent: str) -> None:
    after = site(host("mgmt"), uplink("eth1", 0), uplink("eth2"))
    assert lost_ways(IN_BAND, after, lambda _, name: name != absent) == []


def test_of_two_host_ports_that_are_declared_the_first_that_is_there_has_the_ways() -> None:
    before = site(host("first"), host("mgmt"), uplink("eth1"))
    after = site(host("first"), uplink("eth1"))
    assert lost_ways(before, after, lambda _, __: True) == []
    (lost,) = lost_ways(before, after, lambda _, name: name != "first")
    assert str(lost) == "hv1/br-int would no longer join its host port mgmt with uplink eth1"
