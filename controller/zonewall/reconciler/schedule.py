"""What time does to a configuration: which rules hold now, which end when, which are outlived."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from zonewall.intent.analysis.moments import timed_rules
from zonewall.intent.passing import Outliving, Passing, outliving_after, rule_ends, still_outliving
from zonewall.intent.schedule import inactive_rules
from zonewall.policy.model import Configuration
from zonewall.reconciler.world import World
from zonewall.store.outliving_file import read_outliving, write_outliving

Timely = tuple[frozenset[str], Passing]
"""The rules that do not hold, and what ends by itself."""


class Schedule:
    """Reads the clock; what outlives its rule is kept in a file."""

    def __init__(self, file: Path) -> None:
        """Keep what is outlived in ``file``."""
        self._file = file
        self._written = read_outliving(file)
        self._timed: tuple[Configuration | None, bool] = (None, False)

    def started(self, configuration: Configuration) -> Timely:
        """Return what time does to a configuration at a start."""
        return self._timely(configuration, still_outliving(self._written, time.time()))

    def changed(self, world: World, configuration: Configuration) -> Timely:
        """Return the same for a configuration that comes after the one in force, or is that one."""
        known = world.policy.passing.outliving
        inactive, passing = self._timely(configuration, still_outliving(known, time.time()))
        if configuration is world.configuration and inactive == world.inactive:
            return inactive, passing
        before = (world.configuration, world.inactive)
        outliving = outliving_after(before, (configuration, inactive), known, time.time())
        return inactive, Passing(passing.ends, outliving)

    def keep(self, passing: Passing) -> None:
        """Write down what is outlived, once it is in force."""
        if passing.outliving != self._written:
            self._written = passing.outliving
            write_outliving(self._file, passing.outliving)

    def _timely(self, configuration: Configuration, outliving: tuple[Outliving, ...]) -> Timely:
        if self._timed[0] is not configuration:
            self._timed = configuration, bool(timed_rules(configuration))
        if not self._timed[1]:
            return frozenset(), Passing(outliving=outliving)
        now = datetime.now(UTC)
        return inactive_rules(configuration, now), Passing(rule_ends(configuration, now), outliving)
