"""The numbering's file: no flow carries a number that a restart would give to something else."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import structlog

from zonewall.errors import ZonewallError
from zonewall.intent.numbering import Kind, Numbering
from zonewall.store.numbering_file import read_numbering, write_numbering

RETRY_S = 1.0
"""So long after the file could not be written it is not tried again by itself."""

_log = structlog.get_logger()


class NumberKeeper:
    """Writes the numbering; a new number that it could not write may not be put in force."""

    def __init__(self, file: Path) -> None:
        """Read the file.

        Raises:
            ZonewallError: it is there and no numbering.
        """
        self.file = file
        self.at_start = self._written = read_numbering(file)
        self.error = ""
        """Why the last numbering is not on disk; empty where it is."""
        self._failed_at = float("-inf")

    def keep(self, numbering: Numbering) -> None:
        """Have a numbering on disk; one that has no new number may be in force before it is.

        Raises:
            ZonewallError: it has a new number, and is not on disk.
        """
        try:
            if numbering != self._written:
                write_numbering(self.file, numbering)
                self._written = numbering
        except ZonewallError as error:
            self._failed_at = time.monotonic()
            if str(error) != self.error:
                _log.error("numbering_not_written", error=str(error))
            self.error = str(error)
            if self._has_new(numbering):
                raise
            return
        self.error = ""

    def try_again(self, in_force: Numbering) -> None:
        """Write what is in force, where that failed a while ago."""
        if self.error and time.monotonic() - self._failed_at >= RETRY_S:
            with suppress(ZonewallError):
                self.keep(in_force)

    def _has_new(self, numbering: Numbering) -> bool:
        """Say whether a name has a number that is not on disk; places in an order may be given anew."""
        written = self._written.numbers
        return any(
            not names.items() <= written.get(kind, {}).items()
            for kind, names in numbering.numbers.items()
            if kind.partition("/")[0] != Kind.PRIORITY.word
        )
