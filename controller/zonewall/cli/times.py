"""Times as people write them, and as they read them; all in UTC unless a zone is written."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from zonewall.errors import ZonewallError

_AGO = re.compile(r"-?(\d{1,9})([smhd])( ago)?")
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_time(text: str, now: datetime) -> datetime:
    """Return a time: RFC 3339 (``2026-11-24T12:00:00Z``), a date with or without a time, or ``-10m``.

    Raises:
        ZonewallError: it is written otherwise.
    """
    word = text.strip()
    ago = _AGO.fullmatch(word)
    try:
        if word == "now":
            return now
        if ago is not None:
            return now - timedelta(**{_UNIT[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(word)
    except (ValueError, OverflowError) as error:
        raise ZonewallError(
            f"{text!r} is no time; write 2026-11-24T12:00:00Z, '2026-11-24 12:00', or -10m, -2h, -3d"
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def parse_moment(text: str | None, now: datetime, option: str = "--time") -> datetime:
    """Return the moment that an option asks about, with its zone; now where it is not said.

    Raises:
        ZonewallError: it is no RFC 3339 time.
    """
    if text is None:
        return now
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        moment = now.replace(tzinfo=None)
    if moment.tzinfo is None:
        raise ZonewallError(f"{option} {text!r}: write a time with its zone, 2026-07-03T08:00:00+02:00")
    return moment


def to_us(when: datetime) -> int:
    """Return microseconds since 1970."""
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def from_us(at_us: int) -> str:
    """Return a time of the journal for a person, UTC."""
    try:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    except OverflowError:
        return f"{at_us} us"
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
