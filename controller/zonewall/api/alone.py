"""One controller for each control socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

from zonewall.errors import ZonewallError


async def refuse_second(control: Path) -> None:
    """Refuse to be a second controller on one control socket.

    Raises:
        ZonewallError: one answers there.
    """
    if control.exists() and await _answers(control):
        raise ZonewallError(f"{control}: another controller is running; stop it first")


async def _answers(control: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(control))
    except OSError:
        return False
    writer.close()
    return True
