"""Writes down what a restarted controller must know, in a thread of its own: a slow disk holds up nobody."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from zonewall.errors import ZonewallError
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.binding_ports import remembered_place
from zonewall.placement.binding_record import EndpointRecord
from zonewall.placement.learnt import AddressBook
from zonewall.policy.model import Configuration
from zonewall.reconciler.faults import in_one_line
from zonewall.store.memory_file import Memory, place_text, read_memory, write_memory
from zonewall.values.names import EndpointKey
from zonewall.values.sameness import are_same

RETRY_S = 1.0
"""So long after the file could not be written it is not tried again."""

_log = structlog.get_logger()


class MemoryKeeper:
    """The memory's file; asked by the reconciler, written in order by one thread."""

    def __init__(self, file: Path) -> None:
        """Read the file.

        Raises:
            ZonewallError: it is there and cannot be read.
        """
        self.file = file
        self.error = ""
        """Why the file does not say how things are; empty where it does, or soon will."""
        self._failed_at = float("-inf")
        self.at_start = read_memory(file)
        self.was_there = file.exists()
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
            What is done once the file says so, and fails where it cannot be; a later call tries again.
        """
        made_of = (fleet.records, fleet.links, fleet.datapaths, fleet.held_back, book, away)
        is_same = len(self._seen) == len(made_of) and are_same(made_of, self._seen)
        if not is_same or (self._has_failed() and time.monotonic() - self._failed_at >= RETRY_S):
            self._seen = made_of
            self._last = self._writer.submit(self._write, fleet, book, away)
        return self._last

    def _has_failed(self) -> bool:
        return self._last.done() and (self._last.cancelled() or self._last.exception() is not None)

    def _write(self, fleet: FleetState, book: AddressBook, away: frozenset[str]) -> None:
        try:
            self._write_if_another(fleet, book, away)
        except Exception as error:
            self._failed_at = time.monotonic()
            reason = str(error) if isinstance(error, ZonewallError) else in_one_line(error)
            if reason != self.error:
                _log.error("memory_not_written", error=reason)
            self.error = reason
            raise
        self.error = ""

    def _write_if_another(self, fleet: FleetState, book: AddressBook, away: frozenset[str]) -> None:
        """Write the file, if anything in it is to be another; a move costs one line, not the whole fleet."""
        for key in fleet.records.changed_since(self._records):
            self._follow(key, fleet.records.get(key))
        self._records = fleet.records
        holds = tuple((key, reason) for key in sorted(self._holds) for reason in sorted(self._holds[key]))
        datapaths, held = tuple(fleet.datapaths.pairs()), fleet.held_back.rests()
        rest = Memory((), fleet.links, datapaths, holds, book.in_order(), away, held)
        places = [self._places[key] for key in sorted(self._places)]
        if (places, rest) != self._written:
            write_memory(self.file, places, rest)
            self._written = (places, rest)

    def _follow(self, key: EndpointKey, record: EndpointRecord | None) -> None:
        self._places.pop(key, None)
        self._holds.pop(key, None)
        if record is None:
            return
        if (place := remembered_place(key, record)) is not None:
            self._places[key] = place_text(place)
        if record.holds:
            self._holds[key] = tuple(hold.reason for hold in record.holds)


def fleet_of(known: Memory, configuration: Configuration, at: float) -> FleetState:
    """Return the fleet as it was remembered, before anything is heard (``at``: time.monotonic())."""
    fleet = FleetState.start(configuration, remembered=known.places, at=at, held=known.held)
    for datapath_id, bridge in known.datapaths:
        fleet, _ = fleet.bridge_seen(bridge, datapath_id)
    for endpoint, reason in known.holds:
        fleet, _ = fleet.quarantine(endpoint, reason, at)
    return fleet
