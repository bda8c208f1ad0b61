"""Collects findings while documents are read and checked, so that a run reports all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from zonewall.policy.findings import Finding, Location, Severity

_MOST_NAMES_LISTED = 12
_MOST_NAMES_COMPARED = 2000
_MOST_CHARACTERS_SHOWN = 60


class Notes:
    """The findings of one run, in the order they were made."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.findings: list[Finding] = []

    def error(self, code: str, location: Location, message: str) -> None:
        """Add what makes the configuration unusable."""
        self.findings.append(Finding(Severity.ERROR, code, location, message))

    def warning(self, code: str, location: Location, message: str) -> None:
        """Add what the author should know."""
        self.findings.append(Finding(Severity.WARNING, code, location, message))


def quoted(text: str) -> str:
    """Return the text in quotes, shortened, with anything unprintable escaped."""
    return repr(text if len(text) <= _MOST_CHARACTERS_SHOWN else text[:_MOST_CHARACTERS_SHOWN] + "…")


def suggestion(wrong: str, right: Iterable[str], what: str) -> str:
    """Return ``did you mean …?``, or which names there are, or that there is none; ``what`` is a plural."""
    names = sorted(right)
    near = get_close_matches(wrong, names[:_MOST_NAMES_COMPARED], n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    if not names:
        return f"there are no {what}"
    shown = ", ".join(names[:_MOST_NAMES_LISTED])
    more = "" if len(names) <= _MOST_NAMES_LISTED else ", …"
    return f"{what} are {shown}{more}"
