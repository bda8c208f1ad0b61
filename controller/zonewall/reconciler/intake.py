"""The sources of an IDS's events, each a task of its own, feeding one responder."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import structlog

from zonewall.errors import ZonewallError
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.responder import Responder
from zonewall.respond.alert import FORMATS, Parser
from zonewall.store.event_source import FileSource, SocketSource
from zonewall.store.options import parse_events

TICK_S = 0.25

_log = structlog.get_logger()


class Intake:
    """Reads events and has the reconciler respond."""

    def __init__(self, reconciler: Reconciler, places: tuple[str, ...], state: Path) -> None:
        """Read from ``places``, such as ``file:/var/log/suricata/eve.json``.

        Raises:
            ZonewallError: a place is not written so.
        """
        self._reconciler = reconciler
        self.responder = Responder(reconciler, state / "responses.json")
        self._under_way: Counter[str] = Counter()
        self._sources = [self._source(place, state) for place in places]

    async def run(self) -> None:
        """Read until cancelled; a source that cannot be read is reported and the others go on."""
        await asyncio.gather(self._tick(), *(self._read(source) for source in self._sources))

    def status(self) -> dict[str, Any]:
        """Return what came from where, and what followed."""
        sources = [
            {
                "source": source.name, "lines": source.counts.lines, "repeated": source.counts.repeated,
                "oversized": source.counts.oversized, "rotations": source.counts.rotations,
                "truncations": source.counts.truncations, "error": source.counts.error or None,
            }
            for source in self._sources
        ]  # fmt: skip
        return {"sources": sources, **self.responder.status()}

    def _source(self, place: str, state: Path) -> FileSource | SocketSource:
        form, kind, path = parse_events(place)
        parse = FORMATS[form]

        def take(lines: list[bytes]) -> None:
            self._take(lines, parse, place)

        def is_dealt_with() -> bool:
            return not self._under_way[place]

        if kind == "unix":
            return SocketSource(path, take, is_dealt_with)
        kept = state / f"events-{hashlib.sha256(str(path).encode()).hexdigest()[:12]}.json"
        return FileSource(path, kept, take, self._is_settled, is_dealt_with)

    def finish(self) -> None:
        """Write down how far was read, once nothing works any more."""
        for source in self._sources:
            if isinstance(source, FileSource):
                source.keep()

    def _take(self, lines: list[bytes], parse: Parser, place: str) -> None:
        self._under_way[place] += 1
        self._reconciler.post(lambda: self._taken(lines, parse, place))

    def _taken(self, lines: list[bytes], parse: Parser, place: str) -> None:
        self._under_way[place] -= 1
        self.responder.take(lines, parse)

    def _is_settled(self) -> bool:
        """Say whether all that follows from the lines that were read is done and written down."""
        return not self._under_way.total() and self.responder.settle()

    async def _read(self, source: FileSource | SocketSource) -> None:
        try:
            await source.run()
        except ZonewallError as error:
            source.counts.error = str(error)
            _log.error("events_not_read", source=source.name, error=str(error))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._reconciler.post(self.responder.time_passes)
