"""What time does to a configuration: which rules hold now, which end when, which are outlived."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from operator import is_not
from pathlib import Path

import structlog

from zonewall.errors import ZonewallError
from zonewall.intent.analysis.moments import timed_rules
from zonewall.intent.judgement import tiers_of
from zonewall.intent.passing import Outliving, Passing, outliving_after, rule_ends, still_outliving
from zonewall.intent.schedule import inactive_rules
from zonewall.policy.model import Configuration, Tier
from zonewall.reconciler.world import World
from zonewall.store.outliving_file import forget_outliving, read_outliving, write_outliving

Timely = tuple[frozenset[str], Passing]
"""The rules that do not hold, and what ends by itself."""

NONE: frozenset[str] = frozenset()

RETRY_S = 1.0
"""So long after a file could not be written it is not tried again."""

_log = structlog.get_logger()


class Schedule:
    """Reads the clock; what outlives its rule is kept in a file."""

    def __init__(self, file: Path) -> None:
        """Keep what is outlived in ``file``."""
        self._file = file
        self._written = read_outliving(file)
        self.error = ""
        """Why the file does not say what is outlived; empty where it does."""
        self._retry_at = float("-inf")
        self._timed: tuple[list[Tier], bool] = ([], False)

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
        """Write down what is outlived, once it is in force; a later call tries again where that fails."""
        if passing.outliving == self._written:
            self.error = ""
        elif time.monotonic() >= self._retry_at:
            try:
                write_outliving(self._file, passing.outliving)
                self._written, self.error = passing.outliving, ""
            except ZonewallError as error:
                self._not_written(passing, str(error))

    def _not_written(self, passing: Passing, error: str) -> None:
        """Tell of it; no restart may believe that what is cut by now lives on."""
        self._retry_at = time.monotonic() + RETRY_S
        if error != self.error:
            _log.error("outliving_not_written", error=error)
        self.error = error
        if set(still_outliving(self._written, time.time())) - set(passing.outliving):
            forget_outliving(self._file)
            self._written = ()

    def inactive(self, configuration: Configuration) -> frozenset[str]:
        """Return the rules of a configuration that do not hold now; from any thread."""
        return inactive_rules(configuration, datetime.now(UTC)) if self._is_timed(configuration) else NONE

    def _is_timed(self, configuration: Configuration) -> bool:
        """Return whether there are rules that do not hold for ever; looked for once in the same tiers."""
        tiers = [tier for _, tier in tiers_of(configuration)]
        known, is_timed = self._timed
        if len(known) != len(tiers) or any(map(is_not, known, tiers)):
            is_timed = bool(timed_rules(configuration))
            self._timed = tiers, is_timed
        return is_timed

    def _timely(self, configuration: Configuration, outliving: tuple[Outliving, ...]) -> Timely:
        if not self._is_timed(configuration):
            return NONE, Passing(outliving=outliving)
        now = datetime.now(UTC)
        return inactive_rules(configuration, now), Passing(rule_ends(configuration, now), outliving)
