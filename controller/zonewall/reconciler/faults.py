"""What nobody foresaw: told in the log and in status, and the end of nothing."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

import structlog

from zonewall.errors import ZonewallError

LOGGED_EVERY_S = 60.0
"""One that comes again and again is logged at once, and then so often with its count."""

MOST_KINDS = 20
FRAMES = 4

_log = structlog.get_logger()


def in_one_line(error: BaseException) -> str:
    """Return what was raised and where, the innermost function last; no values of variables."""
    frames = [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{said[:300]} ({' > '.join(frames[-FRAMES:])})" if frames else said[:300]


class Faults:
    """Exceptions that no code expects, counted by what they say."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: dict[str, tuple[int, float]] = {}
        self._logged: dict[str, float] = {}

    def note(self, doing: str, error: BaseException) -> None:
        """Take one that was raised while ``doing`` something."""
        text = f"{doing}: {in_one_line(error)}"
        if text not in self._known and len(self._known) >= MOST_KINDS:
            text = "others"
        times = self._known.get(text, (0, 0.0))[0] + 1
        now = time.monotonic()
        self._known[text] = (times, now)
        if now - self._logged.get(text, float("-inf")) >= LOGGED_EVERY_S:
            self._logged[text] = now
            _log.error("unforeseen", doing=doing, error=in_one_line(error), times=times)

    def reason(self, doing: str, error: Exception) -> str:
        """Return why something is refused; take what was not raised on purpose."""
        if isinstance(error, ZonewallError):
            return str(error)
        self.note(doing, error)
        return f"a fault of zonewall, not of what it was given: {in_one_line(error)}"

    def status(self) -> list[dict[str, Any]]:
        """Return them for ``zonewall status``."""
        now = time.monotonic()
        return [
            {"fault": text, "times": times, "last_s_ago": round(now - last)}
            for text, (times, last) in self._known.items()
        ]
