"""Which documents are in force for good, told to the next controller: others that it finds are an edit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import structlog

from zonewall.errors import ConfigurationError, ZonewallError
from zonewall.intent.analysis.acceptance import accepted_texts, load_accepted
from zonewall.intent.fleet import bridges_of
from zonewall.placement.model import BridgeKey
from zonewall.policy.files import read_files
from zonewall.policy.load import Load
from zonewall.policy.model import Configuration
from zonewall.reconciler.faults import in_one_line
from zonewall.reconciler.reading import Texts, beside, with_added
from zonewall.store.generation_file import has_kept_in_force
from zonewall.store.in_force_file import LastInForce, forget_in_force, read_in_force, write_in_force

RETRY_S = 1.0
"""So long after the file could not be written it is not tried again."""
PATIENCE_S = 3.0
"""So long a refusal waits for the disk to have what it is held against."""

_log = structlog.get_logger()


class InForceKeeper:
    """The file's; asked by the reconciler, written by one thread, the latest state only."""

    def __init__(self, state: Path) -> None:
        """Read the file in the state folder, if the last controller there was one that keeps it."""
        self._file = state / "in-force.json"
        if not has_kept_in_force(state / "generation.json"):
            forget_in_force(self._file)
        self.at_start = read_in_force(self._file)
        self.bridges = frozenset[BridgeKey]() if self.at_start is None else self.at_start.bridges
        """Which this controller, or one before it, was connected with."""
        self.error = ""
        """Why the file does not say what is in force; empty where it does, or soon will."""
        self._declared = self.bridges
        self._documents: Texts | None = None
        self._asked = self._written = self.at_start
        self._failed_at = float("-inf")
        self._writer = ThreadPoolExecutor(1, "zonewall-in-force")
        self._last: Future[str] = Future()
        self._last.set_result("")

    def begin(self, directory: Path, added: bytes, load: Load) -> tuple[Configuration, Texts, bool]:
        """Return what a controller begins with, and whether the directory says something else.

        That is what was last in force, with what was ``added`` by command; where that is not known, or
        cannot be used, what the directory says.

        Raises:
            ConfigurationError: neither can be used.
        """
        now = datetime.now(UTC)
        if self.at_start is not None:
            try:
                known = with_added(self.at_start.documents, added)
                configuration, texts = accepted_texts(known, now, load)
                self.take(configuration, texts)
                return configuration, texts, are_others(directory, texts)
            except ConfigurationError as error:
                _log.warning("last_in_force_not_used", file=str(self._file), error=str(error))
        configuration, texts = load_accepted(directory, now, beside(added), load)
        self.take(configuration, texts)
        return configuration, texts, False

    def take(self, configuration: Configuration, texts: Texts) -> None:
        """Take what is in force for good; it is on disk soon after the next ``keep``."""
        self._documents, self._declared = with_added(texts, b""), frozenset(bridges_of(configuration))

    def connected(self, bridges: Mapping[BridgeKey, bool]) -> None:
        """Take which bridges are connected."""
        here = (key for key, is_here in bridges.items() if is_here)
        self.bridges = self.bridges.union(here) & self._declared

    def keep(self) -> Future[str]:
        """Have the file say what is in force for good; nothing is done where it does.

        Returns:
            What is done once it says so, and has the reason where it cannot; a later call tries again.
        """
        if self._documents is None:
            return self._last
        wanted = LastInForce(self._documents, self.bridges & self._declared)
        if wanted != self._asked or (self.error and time.monotonic() - self._failed_at >= RETRY_S):
            self._asked, self._failed_at = wanted, time.monotonic()
            self._last = self._writer.submit(self._write)
        return self._last

    async def kept(self) -> None:
        """Wait for the file, if the disk is not too slow."""
        await asyncio.wait([asyncio.wrap_future(self.keep())], timeout=PATIENCE_S)

    def _write(self) -> str:
        """Write what was asked for last, if it is another; return why it could not be."""
        wanted = self._asked
        if wanted is None or wanted == self._written:
            return ""
        try:
            write_in_force(self._file, wanted)
        except Exception as error:
            self._failed_at, self._written = time.monotonic(), None
            reason = str(error) if isinstance(error, ZonewallError) else in_one_line(error)
            if reason != self.error:
                _log.error("in_force_not_written", error=reason)
            self.error = reason
            return reason
        self._written, self.error = wanted, ""
        return ""


def are_others(directory: Path, texts: Texts) -> bool:
    """Return whether a directory has other documents than those in force, or something is in their way."""
    found, findings = read_files(directory)
    return bool(findings) or found != with_added(texts, b"")
