"""What documents will make of the world, worked out beside the event loop before they are in force.

Whoever has read documents waits a moment to see whether others follow (decision 0033); this is done
meanwhile. What was foreseen is used if nothing has happened since, and forgotten otherwise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zonewall.flows.encoded import BridgeState
from zonewall.placement.binding_events import Effect
from zonewall.placement.model import BridgeKey
from zonewall.policy.model import Configuration
from zonewall.reconciler.compiler import Compiler
from zonewall.reconciler.schedule import Timely
from zonewall.reconciler.world import World

MOST_BRIDGES = 8
"""Flows are made beforehand for so many bridges: with more of them the moment is little of what it takes."""


@dataclass(frozen=True, slots=True)
class Step:
    """One world after another under a configuration, and what that means for endpoints."""

    world: World
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class _Foreseen:
    before: World
    wanted: Configuration
    step: Step


class Foresight:
    """Remembers the last that was foreseen; confined to the event loop."""

    def __init__(self, compiler: Compiler) -> None:
        """Have flows made by ``compiler``."""
        self._compiler = compiler
        self._foreseen: _Foreseen | None = None

    async def look(
        self,
        before: World,
        wanted: Configuration,
        timely: Timely,
        bridges: Mapping[BridgeKey, Callable[[BridgeState], object]],
    ) -> None:
        """Work out what comes after a world; a thread of its own does that.

        The flows of bridges are then made, if they are few; nobody waits for that.

        Args:
            before: what is in force.
            wanted: what is to be.
            timely: what time does to it.
            bridges: each with what is done with its flows, in the compiler's thread.

        Raises:
            ZonewallError: it cannot be carried out.
        """

        def work() -> Step:
            step = stepped(before, wanted, timely)
            for key, then in bridges.items() if len(bridges) <= MOST_BRIDGES else ():
                # Whoever needs the flows makes them again, and says what is wrong.
                self._compiler.begin(step.world.indexed, key, then)
            return step

        step = await asyncio.get_running_loop().run_in_executor(None, work)
        self._foreseen = _Foreseen(before, wanted, step)

    def taken(self, before: World, wanted: Configuration) -> Step | None:
        """Return what was foreseen of the same world and configuration; whatever it is, it is forgotten."""
        foreseen, self._foreseen = self._foreseen, None
        if foreseen is None or foreseen.before is not before or foreseen.wanted is not wanted:
            return None
        return foreseen.step


def stepped(before: World, wanted: Configuration, timely: Timely) -> Step:
    """Return what comes after a world.

    Raises:
        ZonewallError: it cannot be carried out.
    """
    inactive, passing = timely
    return Step(*before.reconfigured(wanted, inactive, time.monotonic(), passing))
