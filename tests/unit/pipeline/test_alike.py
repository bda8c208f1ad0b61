"""What bridges share of their flows as a whole is the same whichever bridge it is."""

from __future__ import annotations

from dataclasses import replace

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier, zone
from zonewall.intent.fleet import index_fleet
from zonewall.intent.resolve import resolve_bridge
from zonewall.pipeline.compile import alike, alike_flows, own_flows
from zonewall.placement.model import BridgeKey
from zonewall.values.names import BridgeName, HostName


def test_flows_that_alike_bridges_share_do_not_name_a_bridge() -> None:
    ends = [
        endpoint(f"acme/e{number}", f"10.0.0.{number + 1}", labels={"role": "web"}) for number in range(4)
    ]
    own = tenant(
        "acme", tier("t", rule("r", "web", "web", "reject")), zones=[zone("web", labels={"role": "web"})]
    )
    compiled = CompiledFleet(configure(*ends, own))
    fleet = index_fleet(compiled.policy, compiled.placement)
    first = resolve_bridge(fleet, FIRST).frame
    elsewhere = replace(alike(first), key=BridgeKey(HostName("x"), BridgeName("y")), number=99)
    assert list(alike_flows(elsewhere)) == list(alike_flows(alike(first)))
    assert list(own_flows(first)) != list(own_flows(replace(first, number=99)))
