"""Tells the journal what happens: the only place where what is done becomes a record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from zonewall.journal.keeping import JournalSink, text_digest
from zonewall.journal.placement_entries import placement_entries
from zonewall.journal.record import Entry, Kind, canonical
from zonewall.placement.binding_events import Effect, EffectKind
from zonewall.placement.binding_fleet import FleetState
from zonewall.policy.model import Configuration
from zonewall.values.addresses import format_mac
from zonewall.values.names import EndpointKey

DISBELIEVED_EVERY_S = 60.0
"""An announcement that changes nothing is recorded at once; its like at that port are counted so long."""

MOST_DISBELIEVED = 4096


class Recorder:
    """Makes records of what the reconciler does; confined to the reconciler."""

    def __init__(self, sink: JournalSink) -> None:
        """Record into ``sink``."""
        self._sink = sink
        self.documents: dict[str, str] = {}
        """The digest of each document in force (SHA-256), by its file."""
        self._digested: tuple[Mapping[str, bytes], dict[str, str]] = {}, {}
        self._present: frozenset[str] = frozenset()
        self._disbelieved: dict[tuple[str, str, str], tuple[float, int]] = {}

    def started(self, present: frozenset[str] | None) -> None:
        """Record that a controller begins; ``present``: the endpoints that the journal has as created.

        None: it cannot be read, so that every endpoint is recorded as created.
        """
        self._present = present or frozenset()
        self.note(Kind.STARTED, "controller")

    def stopped(self) -> None:
        """Record that the controller was stopped in order."""
        self._flush_disbelieved(float("inf"))
        self.note(Kind.STOPPED, "controller")

    def note(self, kind: Kind, cause: str, *, endpoint: str = "", host: str = "", **details: Any) -> None:
        """Record one thing."""
        tenant = endpoint.partition("/")[0]
        self._sink.put([Entry(_now_us(), kind, cause, tenant, endpoint, host, canonical(details))])

    def moved(self, fleet: FleetState, effects: Iterable[Effect], cause: str) -> None:
        """Record what a change of the fleet has led to."""
        effects = tuple(effects)
        entries = list(placement_entries(fleet, effects, cause, _now_us()))
        if entries:
            self._sink.put(entries)
        for effect in effects:
            if effect.kind is EffectKind.IGNORED and cause.startswith("announcement"):
                self._disbelieve(effect, cause)

    def digest(self, texts: Mapping[str, bytes]) -> dict[str, str]:
        """Return the digest of each document, by its file; from any thread, and once for the same texts."""
        known, digests = self._digested
        if known is not texts:
            digests = {file: text_digest(content) for file, content in texts.items()}
            self._digested = texts, digests
        return digests

    def configured(self, configuration: Configuration, texts: Mapping[str, bytes], cause: str) -> None:
        """Record the configuration in force from now on, its documents, and which endpoints come and go."""
        at_us = _now_us()
        self.documents = digests = self.digest(texts)
        manifest = canonical(digests).encode()
        declared = frozenset(str(key) for key in configuration.inventory.endpoints)
        details = canonical(
            {
                "configuration": text_digest(manifest),
                "tenants": sorted(configuration.tenants),
                "endpoints": len(declared),
            }
        )
        entries = [Entry(at_us, Kind.POLICY, cause, details=details)]
        for kind, keys in (
            (Kind.DELETED, self._present - declared),
            (Kind.CREATED, declared - self._present),
        ):
            entries += [
                Entry(at_us, kind, cause, key.partition("/")[0], key, details=_declared(configuration, key))
                for key in sorted(keys)
            ]
        self._present = declared
        kept = {digests[file]: content for file, content in texts.items()}
        self._sink.put(entries, {**kept, text_digest(manifest): manifest})

    def time_passes(self) -> None:
        """Record what was counted for long enough."""
        self._flush_disbelieved(time.monotonic() - DISBELIEVED_EVERY_S)

    def _disbelieve(self, effect: Effect, cause: str) -> None:
        where = str(effect.port) if effect.port is not None else ""
        key = (str(effect.endpoint or ""), where, effect.reason)
        known = self._disbelieved.get(key)
        if known is not None:
            self._disbelieved[key] = (known[0], known[1] + 1)
            return
        if len(self._disbelieved) >= MOST_DISBELIEVED:
            return
        self._disbelieved[key] = (time.monotonic(), 0)
        self._note_disbelieved(key, 1, cause)

    def _note_disbelieved(self, key: tuple[str, str, str], times: int, cause: str) -> None:
        endpoint, where, reason = key
        self.note(
            Kind.DISBELIEVED,
            cause,
            endpoint=endpoint,
            host=where.partition("/")[0],
            port=where,
            reason=reason,
            times=times,
        )

    def _flush_disbelieved(self, before: float) -> None:
        for key in [key for key, (since, _) in self._disbelieved.items() if since <= before]:
            _, more = self._disbelieved.pop(key)
            if more:
                self._note_disbelieved(key, more, "announcements, counted")


def _declared(configuration: Configuration, key: str) -> str:
    """Return what the inventory says of an endpoint that is created; {} of one that is not there."""
    endpoint = configuration.inventory.endpoints.get(EndpointKey(key))
    if endpoint is None:
        return "{}"
    return canonical({"mac": format_mac(endpoint.mac), "ips": [str(ip) for ip in endpoint.ips]})


def _now_us() -> int:
    return time.time_ns() // 1000
