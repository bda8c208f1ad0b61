"""One controller for each state folder, and for each control socket."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zonewall.errors import ZonewallError

LOCK_FILE = "lock"
"""In the state folder, empty; it is not the file but its lock that counts, and that ends with its process."""


@contextmanager
def alone_in(state: Path) -> Iterator[None]:
    """Be the only controller of a state folder meanwhile (flock(2)).

    Raises:
        ZonewallError: there is another one, or the folder cannot be used.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ZonewallError(f"{state}: {error.strerror}; say another folder with --state") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ZonewallError(
                f"{state}: another controller is running in this state folder; stop it first"
            ) from error
        yield
    finally:
        os.close(lock)


async def refuse_second(control: Path) -> None:
    """Refuse to take the control socket of another controller, or the place of anything that is no socket.

    Raises:
        ZonewallError: one answers there, or it is something else.
    """
    try:
        is_socket = stat.S_ISSOCK(control.lstat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ZonewallError(f"{control}: {error.strerror}; say another place with --socket") from error
    if not is_socket:
        raise ZonewallError(f"{control}: is there and no socket; say another place with --socket")
    if await _answers(control):
        raise ZonewallError(f"{control}: another controller is running; stop it first")


async def _answers(control: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(control))
    except OSError:
        return False
    writer.close()
    return True
