"""Writes down what a restarted controller must know, in a thread of its own: a slow disk holds up nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_ports import remembered_holds
from zonewall.placement.learnt import AddressBook
from zonewall.store.memory_file import Memory, read_memory, write_memory

_log = structlog.get_logger()


class MemoryKeeper:
    """The memory's file; asked by the reconciler, written in order by one thread."""

    def __init__(self, file: Path) -> None:
        """Read the file; one that is missing or damaged remembers nothing."""
        self.file = file
        self.at_start = self._written = read_memory(file)
        self._seen: tuple[Any, ...] = ()
        self._writer = ThreadPoolExecutor(1, "zonewall-memory")

    def keep(self, fleet: FleetState, book: AddressBook, away: frozenset[str], *, wait: bool) -> None:
        """Have the file say how things are; nothing is done for what has not changed since."""
        made_of = (fleet.records, fleet.links, fleet.datapaths, book, away)
        if len(self._seen) == len(made_of) and all(map(_is, made_of, self._seen)):
            return
        self._seen = made_of
        written = self._writer.submit(self._write, fleet, book, away)
        if wait:
            written.result()

    def _write(self, fleet: FleetState, book: AddressBook, away: frozenset[str]) -> None:
        memory = Memory(
            fleet.remember(),
            fleet.links,
            tuple(fleet.datapaths.items()),
            remembered_holds(fleet.records),
            tuple(book.entries.values()),
            away,
        )
        if memory == self._written:
            return
        try:
            write_memory(self.file, memory)
            self._written = memory
        except OSError as error:
            _log.error("memory_not_written", file=str(self.file), error=error.strerror)


def _is(one: object, other: object) -> bool:
    return one is other
