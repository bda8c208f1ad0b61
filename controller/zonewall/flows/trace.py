"""What ``ovs-appctl ofproto/trace`` says, read and held against the simulator (ovs-vswitchd(8))."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from zonewall.pipeline.model import Flow

Step = tuple[int, int, int]
"""Table, priority, cookie."""

_BRIDGE = re.compile(r"^(\s*)bridge\(\"([^\"]+)\"\)")
_STEP = re.compile(r"^(\s*)(\d+)\. (?:.*?)priority (\d+)(?:, cookie (0x[0-9a-f]+))?")


@dataclass(frozen=True, slots=True)
class Difference:
    """Flows that only the model, or only the switch, takes the packet through."""

    only_model: tuple[Step, ...]
    only_switch: tuple[Step, ...]

    def __bool__(self) -> bool:
        """Say whether there is any."""
        return bool(self.only_model or self.only_switch)


def read_trace(text: str, bridge: str) -> tuple[Step, ...]:
    """Return the flows of one bridge that a trace went through, in order.

    A trace goes on into bridges behind patch ports; what it does there is left out.
    """
    steps = []
    open_bridges: list[tuple[int, str]] = []
    for line in text.splitlines():
        heading = _BRIDGE.match(line)
        if heading:
            while open_bridges and open_bridges[-1][0] >= len(heading[1]):
                open_bridges.pop()
            open_bridges.append((len(heading[1]), heading[2]))
            continue
        found = _STEP.match(line)
        if found:
            indent = len(found[1]) + len(found[2]) - 1  # tables of two digits begin one place further left
            while len(open_bridges) > 1 and indent <= open_bridges[-1][0]:
                open_bridges.pop()
            if open_bridges and open_bridges[-1][1] == bridge:
                steps.append((int(found[2]), int(found[3]), int(found[4] or "0x0", 16)))
    return tuple(steps)


def compare(trail: tuple[Flow, ...], traced: tuple[Step, ...]) -> Difference:
    """Return where the simulator's flows and the switch's differ, in any order."""
    model = Counter((flow.table.number, flow.priority, flow.cookie) for flow in trail)
    switch = Counter(traced)
    return Difference(tuple((model - switch).elements()), tuple((switch - model).elements()))
