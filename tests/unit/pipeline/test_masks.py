"""The switch's classifier searches each mask of a table for itself: their number is bounded."""

from __future__ import annotations

import random

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier, zone
from zonewall.intent.fleet import index_fleet
from zonewall.pipeline.compile import compile_bridge
from zonewall.pipeline.stats import masks_by_table

ZONES = ("web", "app", "db", "ops")


def masks_of(rules: int) -> dict[str, int]:
    draw = random.Random(7)
    ends = [
        endpoint(f"acme/e{number}", f"10.0.0.{number + 1}", labels={"role": ZONES[number % 4]})
        for number in range(16)
    ]
    written = []
    for number in range(rules):
        first = draw.randrange(1024, 60000)
        source, destination = draw.sample(ZONES, 2)
        ports = f"tcp/{first}-{first + draw.randrange(16)}"
        written.append(rule(f"r{number}", source, destination, services=[ports]))
    zones = [zone(name, labels={"role": name}) for name in ZONES]
    compiled = CompiledFleet(configure(*ends, tenant("acme", tier("t", *written), zones=zones)))
    return masks_by_table(compile_bridge(index_fleet(compiled.policy, compiled.placement), FIRST))


def test_four_times_the_rules_have_no_more_masks_in_any_table() -> None:
    few, many = masks_of(600), masks_of(2400)
    assert many == few
    assert max(many.values()) < 20
