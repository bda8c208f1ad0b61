"""What one bridge holds: read back, compared with what it confirmed, and when to look again."""

from __future__ import annotations

import asyncio
import math
import struct
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import structlog

from zonewall.flows.connection_rows import is_put
from zonewall.flows.diff import are_alike, diff_state
from zonewall.flows.digest import digest
from zonewall.flows.drift import Drift, find_drift
from zonewall.flows.encoded import BridgeState, EncodedFlow, EncodedGroup, FlowKey
from zonewall.flows.generation import sides, turned_state
from zonewall.flows.layers import Layers
from zonewall.intent.fleet import Policy
from zonewall.openflow.events import FlowUpdate, RequestForwarded
from zonewall.openflow.fingerprint import Fingerprint
from zonewall.pipeline.cookie import is_of_another_layout, is_ours
from zonewall.pipeline.model import MeterEntry
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import ForeignFlows
from zonewall.reconciler.aside import about

AUDIT_S = 30.0
"""A bridge that does not tell of changes is read this often."""
WATCHED_AUDIT_S = 120.0
"""A bridge that tells of changes is read this often all the same."""
AUDIT_LATE_S = 5.0
"""So long an audit waits while there are changes to be made."""
AUDIT_PAUSE_S = 1.0
"""A bridge that tells of a change of ours is read at once, but no more often than this."""
FOREIGN_READS = 50
"""For changes of others' flows: no more than this part of the time is spent on reading."""
AHEAD_S = 5.0
"""What was read before it could be used is used if that was not longer ago."""
MOST_NUMBER = 0xFFFF0000
"""Groups and meters with a higher number are no single ones (OFPG_MAX, OFPM_MAX; OpenFlow 1.5.1)."""
SAMPLES = 5

Reread = tuple[Fingerprint | None, Mapping[int, EncodedGroup], Mapping[int, MeterEntry]]

_log = structlog.get_logger()


class ReadableLink(Protocol):
    """What is needed of a session to know what a bridge holds."""

    async def read_state(self, expected: Sequence[BridgeState] = ()) -> BridgeState:
        """Return every flow, group and meter of the bridge; what is expected says how to ask for many."""

    @property
    def last_read(self) -> Fingerprint | None:
        """Return that of the flows that were read last; None where it says nothing."""

    async def reread(self) -> Reread:
        """Return what has to be the same for a bridge to hold what it held when it was read last."""

    async def watch(self) -> bool:
        """Have the bridge tell of flows that others change; False if it cannot."""

    async def keep_settings(self) -> bool:
        """Set again what others have set otherwise on the bridge as a whole; say whether anybody had."""


@dataclass(slots=True)
class Counts:
    """What was found, for ``zonewall status``.

    Attributes:
        drift: flows, meters and groups put right since the controller started.
        foreign: flows of others as last read.
        is_watched: the bridge tells of changes by itself.
    """

    drift: int = 0
    foreign: tuple[EncodedFlow, ...] = ()
    is_watched: bool = False


class Holdings:
    """Confined to one keeper."""

    def __init__(self, key: BridgeKey) -> None:
        """Know nothing yet."""
        self.counts = Counts()
        self.audit_at = 0.0
        self._key = key
        self._held: BridgeState | None = None
        self._confirmed: BridgeState | None = None
        self._asked: BridgeState | None = None
        self._read_at = 0.0
        self._read_s = 0.0
        self._must_watch = self._is_first = False
        self._told = 0
        self._ahead: tuple[ReadableLink, BridgeState] | None = None
        """What the bridge was found to hold when its session began, before anything could be changed."""
        self._as_confirmed: tuple[Fingerprint | None, ForeignFlows] | None = None
        """What the bridge held when it was read and was as confirmed, if nothing was changed since."""
        self._foreign_keys: frozenset[FlowKey] = frozenset()
        self._mode: ForeignFlows | None = None
        """What was to become of others' flows when the bridge was read last."""
        self.turned: frozenset[int] = frozenset()
        """Banks that stand on their other side on this bridge; ``flows.generation``."""
        self.at_last_stop = ""
        """Digest of what the bridge had confirmed when the controller stopped last; empty when unknown."""
        self.was_empty = False
        """The session began with a bridge that held nothing of ours: new, or its switch has restarted."""

    @property
    def is_known(self) -> bool:
        """Say whether what the bridge holds need not be read before the next change."""
        return self._held is not None

    def at_hand(self, mode: ForeignFlows) -> BridgeState | None:
        """Return what the bridge holds as last confirmed; None if it is to be read before any change.

        A change does not wait for an audit, which takes longer, but no audit waits for ever; and what is to
        become of others' flows from now on is done at once.
        """
        is_as_read = mode is self._mode and time.monotonic() < self.audit_at + AUDIT_LATE_S
        return self._held if is_as_read else None

    def compare(self, wanted: BridgeState) -> None:
        """Compare what the bridge may have to hold with what it does, from any thread: pieces remember it."""
        held = self._held
        if held is not None and isinstance(held.flows, Layers) and isinstance(wanted.flows, Layers):
            wanted.flows.changed_since(held.flows)

    def begin(self) -> None:
        """Take up a new session: what the bridge holds now is to be read."""
        self.forget()
        self._ahead = None
        self._must_watch = self._is_first = True

    def forget(self) -> None:
        """Read again before the next change."""
        self._held = self._as_confirmed = None

    def asked(self, state: BridgeState) -> None:
        """Note what the bridge is asked for: should the session end, it may or may not have it."""
        self._asked = state

    def changing(self) -> None:
        """Note that the bridge is to hold something else from now on than when it was read."""
        self._as_confirmed = None

    def confirmed(self, state: BridgeState, turned: frozenset[int]) -> None:
        """Take the bridge's word that it holds this, with these banks turned over."""
        self.turned = turned
        self._held = self._confirmed = state
        self._asked = None
        if self._mode is ForeignFlows.REMOVE:  # they went with the same change; who comes again is told again
            self.counts.foreign, self._foreign_keys = (), frozenset()

    def told(self, updates: Sequence[FlowUpdate]) -> bool:
        """Take what the bridge tells of others' flows; say whether it has to be looked at sooner."""
        # A foreign flow may have taken the place of one of ours; but others may change theirs all the time.
        is_about_us = any(update.key is None or is_ours(update.cookie) for update in updates)
        return bool(updates) and self._look_soon(is_about_us)

    def forwarded(self, event: RequestForwarded) -> bool:
        """Take that somebody else changed a group or a meter, or all of them; say the same."""
        known = [state for state in (self._confirmed, self._asked) if state is not None]
        ours = [state.meters if event.is_meter else state.groups for state in known]
        return self._look_soon(event.number > MOST_NUMBER or any(event.number in some for some in ours))

    def _look_soon(self, is_about_us: bool) -> bool:
        """Have the bridge read again: about what is not ours in no more than a part of the time."""
        self._ahead = None
        self._told += 1
        pause_s = AUDIT_PAUSE_S if is_about_us else max(AUDIT_PAUSE_S, FOREIGN_READS * self._read_s)
        before, self.audit_at = self.audit_at, min(self.audit_at, self._read_at + pause_s)
        return self.audit_at < before

    @property
    def last_confirmed(self) -> BridgeState | None:
        """Return what the bridge last confirmed; it may have lost it since."""
        return self._confirmed

    async def known(
        self, link: ReadableLink, policy: Policy, mode: ForeignFlows, wanted: BridgeState
    ) -> BridgeState:
        """Return what the bridge holds: as last confirmed, or read back when that is old or unknown.

        Flows of others that are to be removed are among them. What is wanted says what to expect.
        """
        if self._held is not None and mode is self._mode and time.monotonic() < self.audit_at:
            return self._held
        if self._held is not None and await self._is_as_confirmed(link, mode):
            return self._held
        is_first, ahead = self._is_first, self._ahead
        self._ahead = None
        if ahead is None or ahead[0] is not link or time.monotonic() - self._read_at > AHEAD_S:
            ahead = link, await self._read(link, wanted)
        state, self._is_first = ahead[1], False
        if is_first and self._confirmed is None and _is_as(state, wanted):
            return self._as_wanted(wanted, mode)
        ours = {key: flow for key, flow in state.flows.items() if is_put(flow)}
        foreign = tuple(flow for flow in state.flows.values() if not is_ours(flow.cookie))
        if is_first:
            # Until it was in force once, a session that ended half-way has left only a part there.
            self.was_empty = self.was_empty or not ours
        left = {key: flow for key, flow in ours.items() if is_of_another_layout(flow.cookie)}
        own = {key: flow for key, flow in ours.items() if key not in left} if left else ours
        self.turned = sides(own.values())
        turned = turned_state(BridgeState(own, state.groups, state.meters), self.turned)
        if left:
            _log.info("another_version_found", bridge=str(self._key), flows=len(left))
            turned = replace(turned, flows={**turned.flows, **left})
            self.at_last_stop = ""  # another version has changed the bridge since
        self._audited()
        self._take_foreign(foreign, mode)
        found = _of_ours(turned, foreign, mode, wanted)
        if self._confirmed is not None:
            self._take_drift(find_drift(found, self._confirmed, self._asked), policy)
            if not diff_state(found, self._confirmed):
                self._as_confirmed = link.last_read, mode
        else:
            self._take_drift(await self._since_last_stop(found, wanted), policy)
        if mode is ForeignFlows.REMOVE:
            everything = {**found.flows, **{flow.key: flow for flow in foreign}}
            return BridgeState(everything, found.groups, found.meters)
        return found

    async def look_ahead(self, link: ReadableLink, expected: BridgeState) -> None:
        """Read what a bridge holds whose session has begun, while it is not known yet what is wanted of it.

        What others change meanwhile is told, and has it read again.
        """
        if self._is_first and self._ahead is None:
            told = self._told
            state = await self._read(link, expected)
            self._ahead = (link, state) if told == self._told else None

    async def _read(self, link: ReadableLink, expected: BridgeState) -> BridgeState:
        if self._must_watch:
            self.counts.is_watched = await link.watch()
            self._must_watch = False
        else:
            await self._keep_settings(link)
        self._begin_reading()
        async with a_turn():
            others = BridgeState({flow.key: flow for flow in self.counts.foreign}, {}, {})
            state = await link.read_state((expected, self._confirmed or expected, others))
        self._read_s = time.monotonic() - self._read_at
        return state

    def _as_wanted(self, wanted: BridgeState, mode: ForeignFlows) -> BridgeState:
        """Take that a bridge holds what is wanted and nothing else, as it mostly does after a restart."""
        self.was_empty, self.turned, self.at_last_stop = not wanted.flows, frozenset(), ""
        self._audited()
        self._take_foreign((), mode)
        return wanted

    async def _since_last_stop(self, found: BridgeState, wanted: BridgeState) -> Drift:
        """Return what differs, if the bridge held what is wanted now when the controller stopped."""
        before, self.at_last_stop = self.at_last_stop, ""
        drift = find_drift(found, wanted) if before else Drift()
        # Most bridges are as they were left; of those it need not be asked.
        return drift if drift and before == await asyncio.to_thread(digest, wanted) else Drift()

    async def _is_as_confirmed(self, link: ReadableLink, mode: ForeignFlows) -> bool:
        """Say whether the bridge holds what it held when it was as confirmed, without taking it apart."""
        confirmed, before = self._confirmed, self._as_confirmed
        if confirmed is None or before is None or before[0] is None or before[1] is not mode:
            return False
        await self._keep_settings(link)
        self._begin_reading()
        async with a_turn():
            seen, groups, meters = await link.reread()
        self._read_s = time.monotonic() - self._read_at
        if (seen, groups, meters) != (before[0], confirmed.groups, confirmed.meters):
            return False
        self._audited()
        return True

    async def _keep_settings(self, link: ReadableLink) -> None:
        """Have the bridge handle fragments as its flows need it; a session that begins has just said so."""
        if await link.keep_settings():
            self.counts.drift += 1
            _log.warning("drift_found", bridge=str(self._key), setting="the handling of fragments")

    def _begin_reading(self) -> None:
        """Begin to read: what the bridge tells from now on may not be in its answer, and asks for another."""
        self._read_at, self.audit_at = time.monotonic(), math.inf

    def _audited(self) -> None:
        pause_s = WATCHED_AUDIT_S if self.counts.is_watched else AUDIT_S
        self.audit_at = min(self.audit_at, self._read_at + pause_s)

    def _take_drift(self, drift: Drift, policy: Policy) -> None:
        if not drift:
            return
        self.counts.drift += drift.count
        _log.warning(
            "drift_found",
            bridge=str(self._key),
            missing=len(drift.missing),
            changed=len(drift.changed),
            unknown=len(drift.unknown),
            meters=len(drift.meters),
            groups=len(drift.groups),
            for_example=[
                *(about(flow, policy) for flow in drift.flows[:SAMPLES]),
                *({"meter": number} for number in drift.meters[:SAMPLES]),
                *({"group": number} for number in drift.groups[:SAMPLES]),
            ],
        )

    def _take_foreign(self, foreign: tuple[EncodedFlow, ...], mode: ForeignFlows) -> None:
        self.counts.foreign, self._mode = foreign, mode
        keys = frozenset(flow.key for flow in foreign)
        if keys - self._foreign_keys and mode is not ForeignFlows.LEAVE:
            _log.warning(
                "foreign_flows_found",
                bridge=str(self._key),
                count=len(keys),
                done="removed" if mode is ForeignFlows.REMOVE else "left, and shown in status",
                for_example=[foreign_row(flow) for flow in foreign[:SAMPLES]],
            )
        self._foreign_keys = keys


def foreign_row(flow: EncodedFlow) -> dict[str, Any]:
    """Return what identifies a flow of others."""
    return {"table": flow.table, "priority": flow.priority, "cookie": f"{flow.cookie:#x}"}


def _is_as(found: BridgeState, wanted: BridgeState) -> bool:
    same_others = found.groups == wanted.groups and found.meters == wanted.meters
    return same_others and are_alike(found.flows, wanted.flows)


def _of_ours(
    state: BridgeState, foreign: tuple[EncodedFlow, ...], mode: ForeignFlows, wanted: BridgeState
) -> BridgeState:
    """Return the state without groups and meters that only others' flows use, if those flows are to stay.

    Open vSwitch removes the flows that use a group or meter together with it. What is wanted is ours, whoever
    uses it besides.
    """
    if mode is ForeignFlows.REMOVE or not foreign:
        return state
    used = b"|".join(flow.instructions for flow in foreign)
    groups = {
        n: group
        for n, group in state.groups.items()
        if n in wanted.groups or struct.pack("!HHI", 22, 8, n) not in used
    }
    meters = {
        n: meter
        for n, meter in state.meters.items()
        if n in wanted.meters
        or (struct.pack("!HHI", 29, 8, n) not in used and struct.pack("!HHI", 5, 8, n) not in used)
    }
    return BridgeState(state.flows, groups, meters)


_AT_ONCE = 4
_TURN_S = 2.0
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@asynccontextmanager
async def a_turn() -> AsyncIterator[None]:
    """Read few bridges at a time, so that others' echoes are answered; a slow one holds nobody up."""
    loop = asyncio.get_running_loop()
    turns = _turns.setdefault(loop, asyncio.Semaphore(_AT_ONCE))
    await turns.acquire()
    overdue = loop.call_later(_TURN_S, turns.release)
    try:
        yield
    finally:
        if overdue.when() > loop.time() and not overdue.cancelled():
            overdue.cancel()
            turns.release()
