"""Counts of a program: what a switch's classifier has to do with it."""

from __future__ import annotations

from collections import defaultdict

from zonewall.pipeline.model import BridgeProgram


def masks_by_table(program: BridgeProgram) -> dict[str, int]:
    """Return how many distinct masks each table has: the switch searches each of them for itself."""
    masks: dict[str, set[tuple[tuple[str, int | None], ...]]] = defaultdict(set)
    for flow in program.flows:
        masks[flow.table.name].add(tuple(sorted((field.name, mask) for field, _, mask in flow.match)))
    return {name: len(found) for name, found in masks.items()}
