"""Collects findings while documents are read and checked, so that a run reports all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import islice
from typing import NoReturn

from zonewall.policy.findings import Finding, Location, Severity

MOST_ERRORS = 500
"""So many are shown: who has that many knows what to do first."""

MOST_COUNTED = 10_000
"""After so many errors a run ends; those that are not shown are only counted."""

MORE = "more-errors"
"""The code of a finding that says how many there are beside those shown."""

_MOST_NAMES_LISTED = 12
_MOST_NAMES_COMPARED = 100
_MOST_CHARACTERS_SHOWN = 60


_ABOUT_NAMES = frozenset({"unknown-name", "unknown-service", "unknown-tenant", "unknown-zone"})
_NO_TENANT = "unknown-tenant"
_QUOTED = re.compile("['\"]([^'\"]*)")


class Enough(Exception):  # noqa: N818 - it ends the reading of a configuration that is hopeless anyway
    """There are ``MOST_COUNTED`` errors, or one that nothing can be read after."""


class Notes:
    """The findings of one run, in the order they were made."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.findings: list[Finding] = []
        self.doubts: set[str] = set()
        self._errors: set[Finding] = set()
        self._tenants_are_unread = False
        self._warnings = 0
        self._ended = False

    def error(self, code: str, location: Location, message: str) -> None:
        """Add what makes the configuration unusable, unless it may only follow from another error.

        Raises:
            Enough: it is the last one that is counted.
        """
        if code in _ABOUT_NAMES and self._is_doubtful(message):
            return
        if code == _NO_TENANT and self._tenants_are_unread:
            return
        finding = Finding(Severity.ERROR, code, location, message)
        if finding in self._errors:
            return
        self._errors.add(finding)
        if len(self._errors) <= MOST_ERRORS:
            self.findings.append(finding)
        if len(self._errors) >= MOST_COUNTED:
            self._ended = True
            raise Enough

    def give_up(self, code: str, location: Location, message: str) -> NoReturn:
        """Add, and show, the error that nothing is read after.

        Raises:
            Enough: always.
        """
        self.findings.append(Finding(Severity.ERROR, code, location, message))
        self._ended = True
        raise Enough

    @property
    def has_errors(self) -> bool:
        """Say whether the configuration is unusable by now."""
        return bool(self._errors)

    def more(self) -> Iterator[Finding]:
        """Yield how many errors, and how many warnings, there are beside those shown, if there are any."""
        least = "at least " if self._ended else ""
        for count, severity, what in (
            (len(self._errors), Severity.ERROR, f"{least}{len(self._errors) - MOST_ERRORS} more errors"),
            (self._warnings, Severity.WARNING, f"{self._warnings - MOST_ERRORS} more warnings"),
        ):
            if count > MOST_ERRORS:
                last = max(finding.location for finding in self.findings if finding.severity is severity)
                message = f"there are {what} beside the {MOST_ERRORS} shown; mend these first"
                yield Finding(severity, MORE, last, message)

    def hint(self, wrong: str, right: Iterable[str], what: str) -> str:
        """Return ``suggestion``'s answer for an error that will be shown, nothing for one that will not."""
        return "" if len(self._errors) >= MOST_ERRORS else suggestion(wrong, right, what)

    def doubt(self, names: Iterable[str]) -> None:
        """From now on tell nobody that these names are unknown: what named them was not read."""
        self.doubts.update(names)

    def doubt_tenants(self) -> None:
        """From now on tell nobody that a tenant is unknown: of some file nothing was read."""
        self._tenants_are_unread = True

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
