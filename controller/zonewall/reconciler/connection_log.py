"""Connections of logged rules: what bridges tell of them becomes records."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog

from zonewall.errors import JournalError, ZonewallError
from zonewall.flows.connection_rows import is_row, makes_rows, read_row
from zonewall.flows.encoded import FlowKey
from zonewall.journal.connections import Beginning, Connections, Ended, Ending, Finding, Missed, Open, Told
from zonewall.journal.keeping import JournalReader, Query
from zonewall.journal.record import Kind, Record
from zonewall.openflow.events import FlowCount, FlowRemoved, FlowUpdate
from zonewall.pipeline.cookie import Category, cookie, rule_of
from zonewall.pipeline.stages.connection_log import BEGINS
from zonewall.placement.model import BridgeKey
from zonewall.reconciler.counters import KEEP_S
from zonewall.reconciler.holdings import a_turn
from zonewall.reconciler.naming import Naming, protocol_word, written
from zonewall.reconciler.reconciler import Reconciler
from zonewall.store.forms import read_form, set_aside, stamp

FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""
MOST_PER_S = 2_000
"""Beginnings and ends that are taken from all bridges, half of what one core can take (``bench.log``).

What comes beyond that is left to the next looks.
"""

MOST_REMEMBERED = 200_000
"""So many of the newest records are read at a start, to know which connections are open."""

_REMOVED_BY_SOMEBODY = 2

_log = structlog.get_logger()


class Rows(Protocol):
    """What is needed of a session with a bridge."""

    async def read_rows(self, sent: Callable[[], object] | None = None) -> list[FlowCount]:
        """Return the rows that count connections, and the flows that make them, with their counters.

        ``sent`` is called once they are asked for.
        """


class ConnectionLog:
    """Confined to the controller's loop."""

    def __init__(self, reconciler: Reconciler, kept: Path) -> None:
        """Record what ``reconciler``'s bridges tell; keep in the file ``kept`` how many they told of."""
        self._reconciler = reconciler
        self._kept = kept
        self._connections = Connections(_now_us())
        self._naming = Naming(reconciler)
        self._second, self._taken = 0, 0
        self._looking: defaultdict[BridgeKey, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._is_to_keep = False

    def remember(self, journal: JournalReader | None) -> None:
        """Take up where the last controller ended: which connections its records leave open."""
        since_us = _now_us()
        try:
            said = json.loads(read_form(self._kept, FORM))
            since_us = int(said["at_us"])
            self._connections.restore(said["bridges"])
        except FileNotFoundError:
            pass  # the first start
        except (OSError, ValueError, KeyError, TypeError) as error:
            set_aside(self._kept, error)
        if journal is None:
            return
        query = Query(kinds=frozenset({Kind.CONNECTION}), newest_first=True, most=MOST_REMEMBERED)
        try:
            records = list(journal.select(query))[::-1]
        except JournalError as error:
            _log.error("connections_not_read", error=str(error))
            return
        for record in records:
            self._remembered(record, since_us)

    def told(self, bridge: BridgeKey, updates: Iterable[FlowUpdate]) -> None:
        """Take that rows were made."""
        now_us = _now_us()
        for update in updates:
            if update.key is None or not update.is_new or not is_row(update.key) or self._is_too_much():
                continue
            key = (str(bridge), update.key.match)
            self._note(self._connections.begun(key, now_us, is_whole=_is_whole(update.cookie)))

    def removed(self, bridge: BridgeKey, event: FlowRemoved) -> None:
        """Take that a row has ended."""
        if not is_row(FlowKey(event.table, event.priority, event.match)) or self._is_too_much():
            return
        told = Told(event.packets, event.bytes, int(event.age_s * 1e6), int(event.idle_s * 1e6))
        how = Ended.REMOVED if event.reason == _REMOVED_BY_SOMEBODY else Ended.IDLE
        key = (str(bridge), event.match)
        whole = _is_whole(event.cookie)
        self._note(self._connections.ended(key, told, _now_us(), how, is_whole=whole))

    async def look(self, sessions: Mapping[BridgeKey, Rows]) -> None:
        """Look at every bridge's rows, few at a time: some may have come or gone untold."""
        try:
            await asyncio.gather(*(self._in_turn(key, one) for key, one in sorted(sessions.items())))
        finally:
            self._keep()

    async def look_at(
        self, bridge: BridgeKey, session: Rows, asked: Callable[[], object] | None = None
    ) -> None:
        """Look at one bridge's rows; ``asked`` is called when the question is on its way."""
        logs = any(rule.log == "connections" for _, rule in self._reconciler.world.policy.modified)
        if not logs and str(bridge) not in self._connections.tallies:
            return
        async with self._looking[bridge]:
            try:
                found = await session.read_rows(asked)
            except (ZonewallError, ConnectionError, TimeoutError) as error:
                _log.debug("rows_not_read", bridge=str(bridge), error=str(error))
                return
            self._found(bridge, found)
        if not self._is_to_keep:
            self._is_to_keep = True
            asyncio.get_running_loop().call_later(KEEP_S, self._keep)

    async def _in_turn(self, bridge: BridgeKey, session: Rows) -> None:
        # The turn first: who waits for one holds no bridge's lock, which a change of that bridge waits for.
        async with a_turn():
            await self.look_at(bridge, session)

    def _found(self, bridge: BridgeKey, found: Iterable[FlowCount]) -> None:
        now_us = _now_us()
        rows = {
            one.key.match: (
                Told(one.packets, one.bytes, one.age_s * 1_000_000 + one.age_us), _is_whole(one.cookie)
            )
            for one in found
            if is_row(one.key)
        }  # fmt: skip
        making = {
            f"{one.key.priority}/{one.key.match.hex()}": (one.packets, one.age_s)
            for one in found
            if makes_rows(one.key) and rule_of(one.cookie) == BEGINS
        }
        self._note(self._connections.looked(str(bridge), rows, now_us))
        self._note(self._connections.counted(str(bridge), making, now_us))

    def status(self) -> dict[str, int]:
        """Return what ``zonewall status`` says."""
        tallies = tuple(self._connections.tallies.values())
        return {
            "open": len(self._connections.open),
            "begun": sum(one.begun for one in tallies),
            "recorded": sum(one.recorded for one in tallies),
            "missed": sum(one.missed for one in tallies),
        }

    def _is_too_much(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        return self._taken > MOST_PER_S

    def _remembered(self, record: Record, since_us: int) -> None:
        said, entry = record.entry.said, record.entry
        bridge = f"{entry.host}/{said.get('bridge', '')}"
        try:
            key = (bridge, bytes.fromhex(said["row"]))
            began_us = int(said["began_us"])
        except (KeyError, ValueError, TypeError):
            return
        if said.get("event") == "end":
            self._connections.open.pop(key, None)
            return
        self._connections.open[key] = Open(began_us, seen_us=began_us)
        if entry.at_us > since_us and said.get("whole"):
            self._connections.tally(bridge).recorded += 1

    def _note(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if isinstance(finding, Missed):
                host, _, name = finding.bridge.partition("/")
                reason = "connections of logged rules that left no record"
                self._reconciler.recorder.note(
                    Kind.GAP, f"bridge {finding.bridge}", host=host, bridge=name,
                    reason=reason, connections=finding.count,
                )  # fmt: skip
                _log.warning("connections_missed", bridge=finding.bridge, count=finding.count)
            else:
                self._note_one(finding)

    def _note_one(self, finding: Beginning | Ending) -> None:
        bridge, match = finding.key
        row = read_row(match)
        if row is None:
            return
        names = self._naming.current()
        host, _, name = bridge.partition("/")
        rule = names.rules.get(row.rule, str(row.rule))
        source = names.end(row.source, row.source_identity)
        destination = names.end(row.destination, row.destination_identity)
        details: dict[str, Any] = {
            "bridge": name, "verdict": "allow", "rule": rule, "place": names.places.get(rule),
            "protocol": protocol_word(row.protocol),
            **written("source", row.source, row.sport, source),
            **written("destination", row.destination, row.dport, destination),
            "row": match.hex(), "began_us": finding.began_us,
        }  # fmt: skip
        if isinstance(finding, Ending):
            details |= {
                "event": "end", "packets": finding.packets, "bytes": finding.bytes, "how": finding.how.value,
                "seconds": round((finding.until_us - finding.began_us) / 1e6, 3),
            }  # fmt: skip
        else:
            details |= {"event": "start", "whole": finding.is_whole}
        endpoint = str(source["endpoint"] or destination["endpoint"] or "")
        self._reconciler.recorder.note(
            Kind.CONNECTION, f"rule {rule}", endpoint=endpoint, host=host, **details
        )

    def _keep(self) -> None:
        self._is_to_keep = False
        if not self._connections.tallies:
            return
        document = stamp(FORM, SINCE) | {"at_us": _now_us(), "bridges": self._connections.to_plain()}
        new = self._kept.with_suffix(".new")
        try:
            new.write_text(json.dumps(document))
            new.replace(self._kept)
        except OSError as error:
            _log.error("connections_not_kept", file=str(self._kept), error=error.strerror)


def _is_whole(value: int) -> bool:
    return value == cookie(Category.CONNECTION, BEGINS)


def _now_us() -> int:
    return time.time_ns() // 1000
