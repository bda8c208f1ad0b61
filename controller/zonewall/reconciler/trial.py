"""Apply with confirmation: a configuration that goes back by itself unless somebody says that it is good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from zonewall.errors import ZonewallError
from zonewall.intent.fleet import bridges_of
from zonewall.journal.record import Kind
from zonewall.openflow.session import ALIVE_S
from zonewall.placement.model import BridgeKey
from zonewall.policy.model import Configuration
from zonewall.reconciler.cut_off import refuse_apply
from zonewall.reconciler.reconciler import Reconciler
from zonewall.store.applied_file import write_applied
from zonewall.values.names import HostName

LOOK_S = 0.25
OWN_PAUSE_S = 0.5
"""An answer that is given up later than this after its time says nothing about the bridge."""
SHORTEST_S, LONGEST_S = 1, 24 * 3600
LAST_S = 10.0
"""So long a controller that is stopped waits for its bridges to go back."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Trial:
    """A configuration on trial.

    Attributes:
        before: what was in force, with its documents.
        until: monotonic seconds.
        bridges: connected when it was applied, and managed under both configurations.
        hosts: whose databases were, the same.
    """

    directory: Path
    before: tuple[Configuration, Mapping[str, bytes], Path]
    until: float
    bridges: frozenset[BridgeKey]
    hosts: frozenset[HostName]
    who: str


class Trials:
    """What operators apply; at most one configuration is on trial."""

    def __init__(
        self,
        reconciler: Reconciler,
        connected: Callable[[], Collection[HostName]],
        is_alive: Callable[[BridgeKey], Awaitable[bool]],
        file: Path,
        given: Path,
        watch_closely: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Apply to ``reconciler``; a confirmed directory other than ``given`` is written to ``file``.

        ``watch_closely`` is told True when a trial begins, so that a lost database is found soon, and False
        when it ends.
        """
        self.trial: Trial | None = None
        self.moved = asyncio.Event()
        """Set whenever another directory is to be watched; whoever watches clears it."""
        self._reconciler = reconciler
        self._connected = connected
        self._is_alive = is_alive
        self._file = file
        self._given = given
        self._watch_closely = watch_closely
        self._watch: asyncio.Task[None] | None = None

    async def apply(self, said: Mapping[str, Any], who: str) -> None:
        """Put a directory in force; with ``confirm`` (seconds) on trial, else for good.

        Raises:
            ZonewallError: it cannot be used, takes a host's way (unless ``even_if_cut_off`` is said), or
                another one is on trial; nothing is changed then.
        """
        directory, confirm_s, even_if_cut_off = _said(said)
        if self.trial is not None:
            raise ZonewallError(
                f"{self.trial.directory} is on trial; say `zonewall confirm`, or wait until it goes back"
            )
        loop = asyncio.get_running_loop()
        configuration, texts = await self._reconciler.read(directory)
        await self._reconciler.foresee(configuration, texts)
        if self.trial is not None:
            raise ZonewallError(f"{self.trial.directory} is on trial since a moment ago")
        reconciler = self._reconciler
        lost = reconciler.lost_ways(configuration)
        if not even_if_cut_off:
            refuse_apply(lost, is_trial=confirm_s is not None)
        before = (reconciler.documents, reconciler.texts, reconciler.directory)
        bridges = {key for key, keeper in reconciler.keepers.items() if keeper.link is not None}
        bridges &= set(bridges_of(configuration)) & set(bridges_of(reconciler.documents))
        hosts = frozenset(self._connected())
        if confirm_s is None:
            write_applied(self._file, directory, self._given)
        reason = f"{directory} {confirm_s or 'for good'}{', even if cut off' if lost else ''}"
        reconciler.recorder.note(Kind.ADMIN, who, action="apply", reason=reason)
        try:
            self._put(configuration, texts, directory, is_trial=confirm_s is not None)
        except ZonewallError:
            if confirm_s is None:
                write_applied(self._file, before[2], self._given)
            raise
        if confirm_s is not None:
            self.trial = Trial(
                directory,
                before,
                time.monotonic() + confirm_s,
                frozenset(bridges),
                hosts & configuration.inventory.hosts.keys(),
                who,
            )
            self._watch_closely(True)
            self._watch = loop.create_task(self._await_confirmation(self.trial))

    def confirm(self, who: str) -> None:
        """Keep what is on trial.

        Raises:
            ZonewallError: nothing is.
        """
        trial = self.trial
        if trial is None:
            raise ZonewallError("nothing is on trial; it may have gone back: see `zonewall status`")
        write_applied(self._file, trial.directory, self._given)
        self._end()
        self._reconciler.last.take(self._reconciler.documents, self._reconciler.texts)
        self._reconciler.recorder.note(Kind.ADMIN, who, action="confirm", reason=str(trial.directory))
        _log.info("configuration_confirmed", directory=str(trial.directory), who=who)
        self.moved.set()

    async def stop(self) -> None:
        """Go back from what nobody has confirmed, and give bridges time to: the controller ends.

        What is on trial is in no file, so that one that has no such time goes back at its next start.
        """
        if self.trial is not None:
            self._go_back(self.trial, "the controller was stopped")
            keepers = self._reconciler.keepers.values()
            await asyncio.gather(*(keeper.settled(LAST_S) for keeper in keepers))
        self._end()

    def status(self) -> dict[str, Any] | None:
        """Return what is on trial, for ``zonewall status``."""
        if self.trial is None:
            return None
        left_s = max(0, round(self.trial.until - time.monotonic()))
        return {"directory": str(self.trial.directory), "goes_back_in_s": left_s, "by": self.trial.who}

    def _put(
        self,
        configuration: Configuration,
        texts: Mapping[str, bytes],
        directory: Path,
        *,
        is_trial: bool = False,
    ) -> None:
        previous, self._reconciler.directory = self._reconciler.directory, directory
        if not self._reconciler.apply(configuration, texts, is_trial=is_trial):
            self._reconciler.directory = previous
            raise ZonewallError(self._reconciler.refused_configuration)
        self.moved.set()

    async def _await_confirmation(self, trial: Trial) -> None:
        """Go back when nobody confirms in time, or at once when something is lost."""
        while self.trial is trial:
            try:
                reason = await self._lost(trial)
            except Exception as error:
                self._reconciler.faults.note("trial", error)
                reason = "it could not be seen whether all is well"
            if not reason and time.monotonic() >= trial.until:
                reason = "nobody confirmed it"
            if self.trial is trial and reason:
                self._go_back(trial, reason)
                return
            await asyncio.sleep(LOOK_S)

    async def _lost(self, trial: Trial) -> str:
        """Return what was lost since the configuration was applied; empty if nothing was."""
        gone = sorted(trial.hosts - set(self._connected()))
        if gone:
            return f"the database of {gone[0]} was lost"
        for key in sorted(trial.bridges):
            keeper = self._reconciler.keepers.get(key)
            if keeper is None or keeper.link is None:
                return f"bridge {key} was lost"
        asked_at = time.monotonic()
        alive = await asyncio.gather(*(self._is_alive(key) for key in sorted(trial.bridges)))
        if time.monotonic() - asked_at > ALIVE_S + OWN_PAUSE_S:
            return ""  # the controller itself paused: what came meanwhile was not read in time; it asks again
        silent = [key for key, answers in zip(sorted(trial.bridges), alive, strict=True) if not answers]
        return f"bridge {silent[0]} does not answer" if silent else ""

    def _go_back(self, trial: Trial, reason: str) -> None:
        self._watch = None
        self._end()
        _log.error("configuration_went_back", directory=str(trial.directory), reason=reason)
        why = f"{trial.directory}: {reason}"
        self._reconciler.recorder.note(Kind.ADMIN, "zonewall", action="go back", reason=why)
        configuration, texts, directory = trial.before
        said = f"{trial.directory} was applied and went back: {reason}"
        try:
            self._put(configuration, texts, directory)
        except ZonewallError as error:
            said = f"{trial.directory} is in force and should have gone back ({reason}): {error}"
            _log.error("configuration_stayed", directory=str(trial.directory), error=str(error))
        self._reconciler.refused_configuration = said

    def _end(self) -> None:
        self.trial = None
        self._watch_closely(False)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


def _said(said: Mapping[str, Any]) -> tuple[Path, float | None, bool]:
    directory, confirm_s = said.get("directory"), said.get("confirm")
    even_if_cut_off = said.get("even_if_cut_off", False)
    if not isinstance(directory, str) or not directory.startswith("/"):
        raise ZonewallError("directory: say an absolute path that the controller can read")
    if not isinstance(even_if_cut_off, bool):
        raise ZonewallError("even_if_cut_off: true or false")
    if confirm_s is None:
        return Path(directory), None, even_if_cut_off
    if not isinstance(confirm_s, int | float) or not SHORTEST_S <= confirm_s <= LONGEST_S:
        raise ZonewallError(f"confirm: {SHORTEST_S} to {LONGEST_S} seconds")
    return Path(directory), float(confirm_s), even_if_cut_off
