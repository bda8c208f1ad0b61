"""An isolated router receives nothing: neither what is for it, nor what others send through it."""

from __future__ import annotations

import ipaddress

import pytest

from support.compiled import CompiledFleet
from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.placement.model import BindingState
from zonewall.policy.model import Configuration, Provider
from zonewall.values.names import EndpointKey, TenantName, ZoneName

ASKS, ROUTER, PEER = EndpointKey("acme/asks"), EndpointKey("acme/router"), EndpointKey("acme/peer")


def shop() -> Configuration:
    """Return a router and others that may all talk; `peer` is where an isolated one may still speak to."""
    ends = [
        endpoint("acme/asks", "10.0.0.1", "fd00::1"),
        endpoint("acme/peer", "10.0.0.2", "fd00::2"),
        endpoint("acme/router", "10.0.0.3", "fd00::3", roles=["router"]),
        endpoint("acme/third", "10.0.0.9"),
    ]
    zones = [zone("fix", endpoints=["peer"])]
    provider = Provider(remediation=(TenantName("acme"), ZoneName("fix")))
    return configure(
        *ends, tenant("acme", tier("t", rule("all", "any", "any")), zones=zones), provider=provider
    )


@pytest.mark.parametrize("address", ["10.0.0.3", "10.0.0.9", "8.8.8.8", "fd00::3", "2001:db8::1"])
@pytest.mark.parametrize("source", [ASKS, PEER])
def test_what_is_sent_by_a_routers_mac_arrives_until_the_router_is_isolated(
    source: EndpointKey, address: str
) -> None:
    configuration, destination = shop(), ipaddress.ip_address(address)
    own = next(
        ip for ip in configuration.inventory.endpoints[source].ips if ip.version == destination.version
    )
    for states, expected in (({}, True), ({ROUTER: BindingState.QUARANTINED}, source == PEER)):
        fleet = CompiledFleet(configuration, states=states)
        port, frame = fleet.entering(probe(source, ROUTER), own, destination)
        arrived = [at for at, _ in fleet.send(port, frame).arrived]
        assert arrived == ([fleet.places[ROUTER]] if expected else [])
