"""Collects findings while documents are read and checked, so that a run reports all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

from zonewall.policy.findings import Finding, Location, Severity

MOST_ERRORS = 500
"""After so many errors a run ends: who has that many knows what to do first."""

_MOST_NAMES_LISTED = 12
_MOST_NAMES_COMPARED = 100
_MOST_CHARACTERS_SHOWN = 60


_ABOUT_NAMES = frozenset({"unknown-name", "unknown-service", "unknown-tenant", "unknown-zone"})
_QUOTED = re.compile("['\"]([^'\"]*)")


class Enough(Exception):  # noqa: N818 - it ends the reading of a configuration that is hopeless anyway
    """There are ``MOST_ERRORS`` errors."""


class Notes:
    """The findings of one run, in the order they were made."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.findings: list[Finding] = []
        self.doubts: set[str] = set()
        self._errors = 0
        self._warnings = 0

    def error(self, code: str, location: Location, message: str) -> None:
        """Add what makes the configuration unusable, unless it may only follow from another error.

        Raises:
            Enough: it is the last one that is looked for.
        """
        if code in _ABOUT_NAMES and self._is_doubtful(message):
            return
        self._errors += 1
        if self._errors == MOST_ERRORS:
            message = f"there are {MOST_ERRORS} errors and maybe more; mend these first"
            self.findings.append(Finding(Severity.ERROR, "too-many", location, message))
            raise Enough
        self.findings.append(Finding(Severity.ERROR, code, location, message))

    def doubt(self, names: Iterable[str]) -> None:
        """From now on tell nobody that these names are unknown: what named them was not read."""
        self.doubts.update(names)

    def _is_doubtful(self, message: str) -> bool:
        found = _QUOTED.search(message)
        return found is not None and not self.doubts.isdisjoint((found[1], *found[1].split("/")))

    def warning(self, code: str, location: Location, message: str) -> None:
        """Add what the author should know; after ``MOST_ERRORS`` no more are told."""
        self._warnings += 1
        if self._warnings > MOST_ERRORS:
            return
        self.findings.append(Finding(Severity.WARNING, code, location, message))


def quoted(text: str) -> str:
    """Return the text in quotes, shortened, with anything unprintable escaped."""
    return repr(text if len(text) <= _MOST_CHARACTERS_SHOWN else text[:_MOST_CHARACTERS_SHOWN] + "…")


def suggestion(wrong: str, right: Iterable[str], what: str) -> str:
    """Return ``did you mean …?``, or which names there are, or that there is none; ``what`` is a plural."""
    names = sorted(right)
    near = get_close_matches(wrong, _alike(wrong, names), n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    if not names:
        return f"there are no {what}"
    shown = ", ".join(names[:_MOST_NAMES_LISTED])
    more = "" if len(names) <= _MOST_NAMES_LISTED else ", …"
    return f"{what} are {shown}{more}"


def _alike(wrong: str, names: list[str]) -> list[str]:
    """Return the names that are worth comparing: all of a few; of many, those that begin or end alike."""
    if len(names) <= _MOST_NAMES_COMPARED:
        return names
    length, first, last = len(wrong), wrong[:2], wrong[-2:]
    alike = (n for n in names if abs(len(n) - length) <= 2 and (n.startswith(first) or n.endswith(last)))
    return list(islice(alike, _MOST_NAMES_COMPARED))
