"""A policy of 100,000 flows exchanged for another under traffic (root): how long that holds a packet up."""

from __future__ import annotations

from collections.abc import Iterator

from topologies.lab import Lab

from bench.harness import Figure, Options
from support.exchange import PORTS_OF_A_RULE, measured

RULES = 2_000
RUNS = 5


def figures(options: Options) -> Iterator[Figure]:
    """Yield the longest time a packet was on its way, and how many were lost."""
    runs = 1 if options.quick else RUNS
    with Lab() as lab:
        found = measured(lab, RULES, runs)
    name = f"exchange/{RULES * PORTS_OF_A_RULE:,} flows"
    idle = Figure(f"{name}: nothing happens", "ms", tuple(run.longest_ms for run in found.idle))
    yield idle
    bound = max(5.0, 2 * idle.value)
    for what, flights, target in (
        ("programmed beside another bridge's traffic", found.programmed, bound),
        ("exchanged", found.exchanged, bound),
        ("exchanged in one bundle", found.at_once, None),
        ("read back in pieces", found.read, bound),
        ("read back in one answer", found.read_at_once, None),
    ):
        longest = tuple(run.longest_ms for run in flights)
        yield Figure(f"{name}: {what}, longest stall", "ms", longest, target=target)
        lost, sent = sum(run.lost for run in flights), sum(run.sent for run in flights)
        yield Figure(f"{name}: {what}, lost of {sent:,}", "packets", (float(lost),), target=0.0)
