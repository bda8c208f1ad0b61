"""The numbering's file: no flow carries a number that a restart would give to something else."""

from __future__ import annotations

from pathlib import Path

from zonewall.errors import ZonewallError
from zonewall.intent.numbering import Numbering
from zonewall.store.numbering_file import read_numbering, write_numbering


class NumberKeeper:
    """Writes the numbering; what it could not write may not be put in force."""

    def __init__(self, file: Path) -> None:
        """Read the file.

        Raises:
            ZonewallError: it is there and no numbering.
        """
        self.file = file
        self.at_start = self._written = read_numbering(file)
        self.error = ""
        """Why the last numbers are not on disk; empty where they are."""

    def keep(self, numbering: Numbering) -> None:
        """Have a numbering on disk.

        Raises:
            ZonewallError: it is not.
        """
        try:
            if numbering != self._written:
                write_numbering(self.file, numbering)
                self._written = numbering
        except ZonewallError as error:
            self.error = str(error)
            raise
        self.error = ""
