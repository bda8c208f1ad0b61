"""``zonewall`` with a note of when it does what on the way of a migration, for the bench alone.

``python -m bench.timeline FILE run …`` runs the command with its own code; the few functions that a move goes
through write a line to FILE as they begin and end: seconds since 1970, what, which bridge.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from zonewall.cli import main
from zonewall.flows.assembly import Assembler
from zonewall.openflow import bundle
from zonewall.openflow.session import Session
from zonewall.reconciler.bridges import BridgeEvents
from zonewall.reconciler.controller import Controller
from zonewall.reconciler.memory import MemoryKeeper
from zonewall.reconciler.reconciler import Reconciler
from zonewall.store.sql_journal import SqlJournal

READ, HANDLED, COMPILED, SENT, CONFIRMED = "read", "handled", "compiled", "sent", "confirmed"
STALLED = "stalled"
LATE_MS = 50.0


class Notes:
    """Writes what happens when."""

    def __init__(self, path: Path) -> None:
        """Write to ``path``."""
        self._file = path.open("w", buffering=1)

    def __call__(self, what: str, where: object = "", more: str = "") -> None:
        """Write one line."""
        self._file.write(f"{time.time():.6f} {what} {where} {more}\n")


def read_notes(path: Path) -> list[tuple[float, str, str]]:
    """Return what was written until now: when, what, where."""
    found = []
    for line in path.read_text().splitlines():
        words = line.split()
        if len(words) >= 2:
            found.append((float(words[0]), words[1], words[2] if len(words) > 2 else ""))
    return found


def _collected(notes: Notes) -> Callable[[str, dict[str, int]], None]:
    """Return what the collector of garbage calls, to have its longer turns written down."""
    collecting = 0.0

    def collected(phase: str, info: dict[str, int]) -> None:
        nonlocal collecting
        if phase == "start":
            collecting = time.time()
        elif time.time() - collecting > 0.002:
            notes("collected", info["generation"], f"{(time.time() - collecting) * 1000:.1f}")

    return collected


def _timed(notes: Notes, function: Callable[..., Any], what: str) -> Callable[..., Any]:
    """Return a method that writes down how long it took."""

    @wraps(function)
    def timed(self: Any, *rest: Any) -> Any:
        begun = time.time()
        made = function(self, *rest)
        where = rest[1] if what == COMPILED else ""
        notes(what, where, f"{(time.time() - begun) * 1000:.2f}")
        return made

    return timed


def _install(notes: Notes) -> None:
    """Have the functions of a move write their lines."""
    gc.callbacks.append(_collected(notes))
    take, announced = Session._take_experimenter, BridgeEvents._announcement
    apply = bundle.apply_plan

    @wraps(take)
    def _take(self: Session, body: bytes) -> None:
        notes(READ, f"{self.datapath_id:x}")
        take(self, body)

    @wraps(announced)
    def _announced(self: BridgeEvents, key: Any, event: Any) -> None:
        announced(self, key, event)
        notes(HANDLED, key)

    @wraps(apply)
    async def _apply(session: Session, *rest: Any) -> None:
        notes(SENT, f"{session.datapath_id:x}")
        await apply(session, *rest)
        notes(CONFIRMED, f"{session.datapath_id:x}")

    run = Controller.run

    @wraps(run)
    async def _run(self: Controller, stop: asyncio.Event) -> None:
        watch = asyncio.create_task(_watch_the_loop(notes))
        await run(self, stop)
        watch.cancel()

    patches: list[tuple[Any, str, Callable[..., Any]]] = [
        (Session, "_take_experimenter", _take), (BridgeEvents, "_announcement", _announced),
        (bundle, "apply_plan", _apply), (Assembler, "state", _timed(notes, Assembler.state, COMPILED)),
        (Controller, "run", _run),
        (MemoryKeeper, "_write", _timed(notes, MemoryKeeper._write, "remembered")),
        (SqlJournal, "append", _timed(notes, SqlJournal.append, "recorded")),
        (Reconciler, "_time_passes", _timed(notes, Reconciler._time_passes, "ticked")),
    ]  # fmt: skip
    for owner, name, function in patches:
        setattr(owner, name, function)


async def _watch_the_loop(notes: Notes) -> None:
    """Write down when the event loop has done nothing else for long."""
    while True:
        begun = time.time()
        await asyncio.sleep(0.01)
        late_ms = (time.time() - begun - 0.01) * 1000
        if late_ms > LATE_MS:
            notes(STALLED, "", f"{late_ms:.0f}")


if __name__ == "__main__":
    _install(Notes(Path(sys.argv.pop(1))))
    main()
