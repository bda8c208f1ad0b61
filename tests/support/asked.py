"""What a running controller says of itself, and waiting until it says what is wanted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from zonewall.api.control import ask
from zonewall.errors import ControllerUnreachableError

Status = dict[str, Any]


def status_of(state: Path) -> Status:
    """Return the status document by a state folder, {} while no controller answers."""
    with suppress(ControllerUnreachableError):
        return ask(state / "control.sock", "/status")
    return {}


def until(
    told: Callable[[], Status],
    condition: Callable[[Status], object],
    patience_s: float,
    log: Callable[[], str],
) -> Status:
    """Return the first status that fulfils a condition; ``log`` is what is shown where none does in time."""
    deadline = time.monotonic() + patience_s
    status: Status = {}
    while time.monotonic() < deadline:
        status = told()
        if status and condition(status):
            return status
        time.sleep(0.01)
    raise AssertionError(f"not so after {patience_s} s: {json.dumps(status)}\n{log()[-4000:]}")


def is_in_force(status: Status) -> bool:
    """Say whether every bridge has what is wanted of it."""
    return all(one["state"] == "in-force" and not one["pending"] for one in status["bridges"])
