"""Writes down what a restarted controller must know, in a thread of its own: a slow disk holds up nobody."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.binding_ports import remembered_place
from zonewall.placement.binding_record import EndpointRecord
from zonewall.placement.learnt import AddressBook
from zonewall.store.memory_file import Memory, place_text, read_memory, write_memory
from zonewall.values.names import EndpointKey

_log = structlog.get_logger()


class MemoryKeeper:
    """The memory's file; asked by the reconciler, written in order by one thread."""

    def __init__(self, file: Path) -> None:
        """Read the file; one that is missing or damaged remembers nothing."""
        self.file = file
        self.at_start = read_memory(file)
        self._seen: tuple[Any, ...] = ()
        self._writer = ThreadPoolExecutor(1, "zonewall-memory")
        self._last: Future[None] = self._writer.submit(lambda: None)
        # Only the thread touches what follows: what it has of each endpoint, and what it wrote.
        self._records: FrozenMap[EndpointKey, EndpointRecord] = FrozenMap()
        self._places: dict[EndpointKey, str] = {}
        self._holds: dict[EndpointKey, tuple[str, ...]] = {}
        self._written: tuple[Any, ...] = ()

    def keep(self, fleet: FleetState, book: AddressBook, away: frozenset[str]) -> Future[None]:
        """Have the file say how things are; nothing is done for what has not changed since.

        Returns:
            What is done once the file says so, or cannot.
        """
        made_of = (fleet.records, fleet.links, fleet.datapaths, book, away)
        if len(self._seen) != len(made_of) or not all(map(_is, made_of, self._seen)):
            self._seen = made_of
            self._last = self._writer.submit(self._write, fleet, book, away)
        return self._last

    def _write(self, fleet: FleetState, book: AddressBook, away: frozenset[str]) -> None:
        """Write the file, if anything in it is to be another; a move costs one line, not the whole fleet."""
        for key in fleet.records.changed_since(self._records):
            self._follow(key, fleet.records.get(key))
        self._records = fleet.records
        holds = tuple((key, reason) for key in sorted(self._holds) for reason in sorted(self._holds[key]))
        datapaths = tuple(fleet.datapaths.items())
        rest = Memory((), fleet.links, datapaths, holds, tuple(book.entries.values()), away)
        places = [self._places[key] for key in sorted(self._places)]
        if (places, rest) == self._written:
            return
        try:
            write_memory(self.file, places, rest)
            self._written = (places, rest)
        except OSError as error:
            _log.error("memory_not_written", file=str(self.file), error=error.strerror)

    def _follow(self, key: EndpointKey, record: EndpointRecord | None) -> None:
        self._places.pop(key, None)
        self._holds.pop(key, None)
        if record is None:
            return
        if (place := remembered_place(key, record)) is not None:
            self._places[key] = place_text(place)
        if record.holds:
            self._holds[key] = tuple(hold.reason for hold in record.holds)


def _is(one: object, other: object) -> bool:
    return one is other
