"""From one stop to the next start: whether somebody changed a bridge while no controller was there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from zonewall.flows.digest import digest
from zonewall.placement.model import BridgeKey
from zonewall.reconciler.keeper import BridgeKeeper
from zonewall.store.stopped_file import take_stopped, write_stopped

_log = structlog.get_logger()


class Stops:
    """The file of what bridges had confirmed at the last stop."""

    def __init__(self, path: Path) -> None:
        """Read it; a controller that is killed leaves none behind."""
        self._path = path
        self._left = take_stopped(path)

    def tell(self, keeper: BridgeKeeper) -> None:
        """Tell a keeper what its bridge had confirmed, before it reads it for the first time."""
        keeper.holdings.at_last_stop = self._left.pop(str(keeper.key), "")

    def stopped(self, keepers: Mapping[BridgeKey, BridgeKeeper]) -> None:
        """Write down what the bridges have confirmed that wait for nothing."""
        confirmed = {
            str(key): digest(state)
            for key, keeper in keepers.items()
            if not keeper.is_pending and (state := keeper.holdings.last_confirmed) is not None
        }
        try:
            write_stopped(self._path, confirmed)
        except OSError as error:
            _log.error("stop_not_written", file=str(self._path), error=error.strerror)
