"""What each rule has judged, added up over bridges, recompiles, restarts and moves.

A bridge counts for each flow; flows come and go. Here what has been added since the last look is added to the
rule's total, and a last look is taken before a flow of a rule is removed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from zonewall.errors import ZonewallError
from zonewall.flows.encoded import FlowKey
from zonewall.intent.banks import peer_text
from zonewall.intent.policy import Policy
from zonewall.journal.record import Kind
from zonewall.openflow.events import FlowCount
from zonewall.pipeline.cookie import rule_of
from zonewall.placement.model import BridgeKey
from zonewall.policy.model import Action, Rule
from zonewall.reconciler.holdings import a_turn
from zonewall.reconciler.recorder import Recorder
from zonewall.store.forms import read_form, set_aside, stamp

EVERY_S = 10.0
FORM, SINCE = 1, 1
"""Of the file (``store.forms``)."""
PIECE = 200
"""So many flows are put into text at once."""
MOST_LEFT = 10_000
"""Of so many bridges that were taken out of the inventory it is known when, until they are back."""
KEEP_S = 0.5
"""A change does not wait until what its rules have counted is on disk; that is so long later."""

_log = structlog.get_logger()


class Counting(Protocol):
    """What is needed of a session with a bridge."""

    async def read_counts(self, only: frozenset[int] | None = None) -> list[FlowCount]:
        """Return the counters of every flow that decides, or of those with some cookies."""


@dataclass(slots=True)
class Total:
    """A rule's own: packets and bytes that it judged, when it was first known and last hit."""

    packets: int = 0
    bytes: int = 0
    since: float = 0.0
    last_hit: float | None = None


@dataclass(slots=True)
class Ledger:
    """Totals by rule, and the last look at each flow; no input or output."""

    totals: dict[str, Total] = field(default_factory=dict)
    looks: dict[BridgeKey, dict[FlowKey, FlowCount]] = field(default_factory=dict)
    left: dict[BridgeKey, float] = field(default_factory=dict)

    def forget(self, bridge: BridgeKey, now: float) -> None:
        """Forget a bridge's looks; should it come back, no packet of the flows it has now is added again."""
        if self.looks.pop(bridge, None) is None:
            return
        self.left.pop(bridge, None)
        self.left[bridge] = now
        if len(self.left) > MOST_LEFT:
            del self.left[next(iter(self.left))]

    def take(
        self,
        bridge: BridgeKey,
        counts: Iterable[FlowCount],
        names: Mapping[int, str],
        now: float,
        *,
        partly: bool = False,
        but: Set[FlowKey] = frozenset(),
    ) -> dict[str, tuple[int, int]]:
        """Add what a bridge has counted since the last look; return it by rule.

        Args:
            partly: these are not all of its flows; of the others the last look stays.
            but: flows that were looked at since these were asked for: what is told of them is older.
        """
        before, left = self.looks.get(bridge, {}), self.left.get(bridge)
        kept = {key: before[key] for key in but if key in before}
        added: dict[str, tuple[int, int]] = {}
        look: dict[FlowKey, FlowCount] = {}
        for count in counts:
            if count.key in but:
                continue
            look[count.key] = count
            name = names.get(rule_of(count.cookie))
            if name is None:
                continue
            last = before.get(count.key)
            if last is None and left is not None and left > now - count.age_s - 1:
                packets = size = 0  # it was looked at before the bridge was forgotten
            elif last is None or last.cookie != count.cookie or _began_anew(last, count):
                packets, size = count.packets, count.bytes
            else:
                packets, size = count.packets - last.packets, count.bytes - last.bytes
            total = self.totals.setdefault(name, Total(since=now))
            if packets:
                total.packets += packets
                total.bytes += size
                total.last_hit = now
                known = added.get(name, (0, 0))
                added[name] = (known[0] + packets, known[1] + size)
        if partly and before:
            before.update(look)  # of many flows that were looked at, few were now
        else:
            self.looks[bridge] = {**look, **kept}
        if not partly:
            self.left.pop(bridge, None)
        return added

    def to_text(self) -> Iterator[str]:
        """Return what is kept over a restart, as it is now: a JSON object in pieces, put together anywhere.

        Of many flows that takes a while, and a piece at a time, so that who works beside it has turns.
        """
        totals = [
            (name, [one.packets, one.bytes, one.since, one.last_hit]) for name, one in self.totals.items()
        ]
        looks = [(f"{bridge.host}/{bridge.bridge}", [*look.values()]) for bridge, look in self.looks.items()]
        return _in_pieces(json.dumps(stamp(FORM, SINCE))[1:-1], totals, looks)

    def restore(self, document: Any, bridges: Iterable[BridgeKey]) -> None:
        """Take up what was kept; a bridge that is none any more is left out.

        Raises:
            ValueError, KeyError, TypeError: it is not what was kept.
        """
        for name, (packets, size, since, last_hit) in document["totals"].items():
            self.totals[str(name)] = Total(int(packets), int(size), float(since), last_hit)
        known = {f"{bridge.host}/{bridge.bridge}": bridge for bridge in bridges}
        for name, rows in document["looks"].items():
            if name in known:
                look = {}
                for table, priority, match, cookie, packets, size, age_s in rows:
                    key = FlowKey(table, priority, bytes.fromhex(match))
                    look[key] = FlowCount(key, cookie, packets, size, age_s)
                self.looks[known[name]] = look


def _in_pieces(
    head: str, totals: Iterable[tuple[str, object]], looks: Iterable[tuple[str, list[FlowCount]]]
) -> Iterator[str]:
    yield f'{{{head}{", " if head else ""}"totals": {{'
    for number, (name, total) in enumerate(totals):
        yield f"{', ' if number else ''}{json.dumps(name)}: {json.dumps(total)}"
    yield '}, "looks": {'
    for number, (bridge, counts) in enumerate(looks):
        yield f"{', ' if number else ''}{json.dumps(bridge)}: ["
        for begin in range(0, len(counts), PIECE):
            rows = [
                [*one.key[:2], one.key.match.hex(), one.cookie, one.packets, one.bytes, one.age_s]
                for one in counts[begin : begin + PIECE]
            ]
            yield f"{', ' if begin else ''}{json.dumps(rows)[1:-1]}"
        yield "]"
    yield "}}"


def _began_anew(last: FlowCount, now: FlowCount) -> bool:
    """Say whether it is another flow of the same key: younger, or with less than there was."""
    return now.age_s < last.age_s or now.packets < last.packets


async def _read(
    bridge: BridgeKey, session: Counting, cookies: frozenset[int] | None
) -> list[FlowCount] | None:
    """Return counters of a bridge, None if it does not tell."""
    try:
        return await session.read_counts(cookies)
    except (ZonewallError, ConnectionError, TimeoutError) as error:
        _log.debug("counters_not_read", bridge=str(bridge), error=str(error))
        return None


class Counters:
    """Looks at every bridge now and then, and whenever somebody asks."""

    def __init__(self, kept: Path, recorder: Recorder) -> None:
        """Keep totals in the file ``kept``; record refused attempts of logged rules with ``recorder``."""
        self._kept = kept
        self._recorder = recorder
        self._ledger = Ledger()
        self._sessions: dict[BridgeKey, Counting] = {}
        self._policy: Policy | None = None
        self._named: tuple[Mapping[str, int], Mapping[int, str]] = {}, {}
        self._looking: defaultdict[BridgeKey, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._partly: defaultdict[BridgeKey, set[FlowKey]] = defaultdict(set)
        self._is_to_keep = False
        self._is_to_restore = True
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="counters")

    def follow(
        self, policy: Policy, sessions: Mapping[BridgeKey, Counting], bridges: list[BridgeKey]
    ) -> None:
        """Take the rules in force and the bridges that are there."""
        self._policy, self._sessions = policy, dict(sessions)
        if self._is_to_restore:
            # Not when the controller starts: the file is long, and nobody has asked yet.
            self._is_to_restore = False
            self._restore(bridges)

    def _restore(self, bridges: list[BridgeKey]) -> None:
        try:
            self._ledger.restore(json.loads(read_form(self._kept, FORM)), bridges)
        except FileNotFoundError:
            pass  # the first start
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            set_aside(self._kept, error)

    async def look(self, only: BridgeKey | None = None, cookies: frozenset[int] | None = None) -> None:
        """Read the bridges' counters; one that is away keeps what it counts until it is back.

        Args:
            only: of this bridge.
            cookies: of flows with these only.
        """
        policy = self._policy
        if policy is None:
            return
        asked = [(key, one) for key, one in sorted(self._sessions.items()) if only in (None, key)]
        looks = (self._look_at(policy, key, one, cookies) for key, one in asked)
        await asyncio.gather(*looks)
        if cookies is None:
            await asyncio.wrap_future(self._keep())
        elif not self._is_to_keep:
            self._is_to_keep = True
            asyncio.get_running_loop().call_later(KEEP_S, self._keep)

    async def _look_at(
        self,
        policy: Policy,
        bridge: BridgeKey,
        session: Counting,
        cookies: frozenset[int] | None,
    ) -> None:
        """Read one bridge's counters; one that hangs holds up no other, and a look at all no look at few."""
        if cookies is not None:
            counts = await _read(bridge, session, cookies)
            if counts is None:
                return
            self._partly[bridge].update(count.key for count in counts)
            added = self._ledger.take(bridge, counts, self._names_in(policy), time.time(), partly=True)
            self._denied(policy, bridge, added)
            return
        async with self._looking[bridge], a_turn():
            self._partly[bridge] = set()
            counts = await _read(bridge, session, None)
            if counts is not None:
                but = self._partly[bridge]
                added = self._ledger.take(bridge, counts, self._names_in(policy), time.time(), but=but)
                self._denied(policy, bridge, added)

    def _names_in(self, policy: Policy) -> Mapping[int, str]:
        """Return rules by their numbers; worked out when there is an answer, which no change waits for."""
        numbered = policy.numbering.numbers.get("rule", {})
        if self._named[0] is not numbered:
            self._named = numbered, {number: name for name, number in numbered.items()}
        return self._named[1]

    def forget(self, bridge: BridgeKey) -> None:
        """Forget a bridge that is none of the inventory's any more."""
        self._ledger.forget(bridge, time.time())
        for of_bridges in (self._looking, self._partly, self._sessions):
            of_bridges.pop(bridge, None)

    def document(self) -> dict[str, Any]:
        """Return the totals of the rules in force, for commands."""
        policy = self._policy
        now = time.time()
        numbers = policy.numbering.numbers.get("rule", {}) if policy is not None else {}
        rows = []
        for name, record in (policy.records if policy is not None else {}).items():
            total = self._ledger.totals.setdefault(name, Total(since=now))
            rule = record.rule
            rows.append(
                {
                    "rule": name,
                    "number": numbers.get(name),
                    "place": str(record.location) if record.location is not None else None,
                    "action": rule.action.value if rule is not None else None,
                    "from": [peer_text(peer) for peer in rule.sources] if rule is not None else [],
                    "to": [peer_text(peer) for peer in rule.destinations] if rule is not None else [],
                    "packets": total.packets,
                    "bytes": total.bytes,
                    "since": total.since,
                    "last_hit": total.last_hit,
                }
            )
        return {"at": now, "rules": rows}

    def _denied(self, policy: Policy, bridge: BridgeKey, added: Mapping[str, tuple[int, int]]) -> None:
        """Record refused attempts: one record for each rule and look, whatever the flood."""
        for name, (packets, size) in added.items():
            record = policy.records.get(name)
            rule: Rule | None = record.rule if record is not None else None
            if rule is None or rule.log != "connections" or rule.action not in (Action.DROP, Action.REJECT):
                continue
            self._recorder.note(
                Kind.DENIED, f"rule {name}", host=bridge.host, rule=name, bridge=bridge.bridge,
                packets=packets, bytes=size,
            )  # fmt: skip

    def _keep(self) -> Future[None]:
        """Have what is known now written down, by a thread of its own, one time after the other."""
        self._is_to_keep = False
        return self._writer.submit(self._write, self._ledger.to_text())

    def _write(self, pieces: Iterable[str]) -> None:
        new = self._kept.with_suffix(".new")
        try:
            with new.open("w") as file:
                file.writelines(pieces)
            new.replace(self._kept)
        except OSError as error:
            _log.error("counters_not_kept", file=str(self._kept), error=error.strerror)
