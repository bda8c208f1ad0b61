"""Keeps one bridge equal to what was compiled for it; a sick bridge holds up nobody but itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from zonewall.errors import BridgeError, ZonewallError
from zonewall.flows.diff import Change, with_meters
from zonewall.flows.encoded import BridgeState, EncodedFlow
from zonewall.flows.ending import with_timeouts
from zonewall.flows.generation import turned_flow
from zonewall.flows.layers import Layers
from zonewall.flows.leaving import Leaving
from zonewall.flows.staging import LARGE, Plan
from zonewall.flows.stirring import Stirring, is_stirring
from zonewall.intent.fleet import Fleet, Policy
from zonewall.openflow.errors import FENCED, BundleRefused, MeterRefused
from zonewall.openflow.events import FlowUpdate, RequestForwarded
from zonewall.placement.model import BridgeKey, Placement
from zonewall.policy.inventory import ForeignFlows
from zonewall.reconciler.aside import SetAside, about
from zonewall.reconciler.compiler import Compiler
from zonewall.reconciler.faults import Faults, in_one_line
from zonewall.reconciler.holdings import AUDIT_S, Holdings, ReadableLink
from zonewall.reconciler.preparing import Prepared, prepare

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0
MOST_ROUNDS = 64
"""So many refusals are met by setting something aside before the bridge is left alone for a while."""
UNSAID = 8
"""A change of so few flows is no line of the log."""

_log = structlog.get_logger()


class BridgeLink(ReadableLink, Protocol):
    """What a keeper needs of a session with a bridge."""

    async def change(
        self,
        change: Change,
        planned: Plan,
        when: asyncio.Event | None = None,
        in_force: Callable[[], None] = lambda: None,
    ) -> None:
        """Change the bridge as planned, nothing in force before ``when``, and wait until it is done.

        ``in_force`` is called when what is wanted is in force, and what is left over may be there yet.
        """


@dataclass(frozen=True, slots=True)
class InForce:
    """A bridge has confirmed what was compiled for a placement.

    Attributes:
        was_empty: it held nothing of ours when its session began.
    """

    bridge: BridgeKey
    placement: Placement
    at: float
    was_empty: bool = False


@dataclass(slots=True)
class BridgeStatus:
    """What ``zonewall status`` says of a bridge."""

    state: str = "away"
    flows: int = 0
    error: str = ""
    since: float = 0.0
    applied: int = 0


class BridgeKeeper:
    """One bridge's task: wakes when something changed, compiles the latest state, sends the difference."""

    def __init__(
        self,
        key: BridgeKey,
        latest: Callable[[], Fleet | None],
        report: Callable[[InForce], None],
        compiler: Compiler | None = None,
        expected: Callable[[], Fleet | None] = lambda: None,
        faults: Faults | None = None,
    ) -> None:
        """Keep ``key`` as ``latest`` says; ``report`` is told what is in force, ``faults`` of mistakes.

        Keepers share a ``compiler``, so that what bridges have in common is made once. What is ``expected``
        of ``latest``, while that says nothing, is compiled meanwhile and done nothing with.
        """
        self.key = key
        self.status = BridgeStatus()
        self.link: BridgeLink | None = None
        self._latest = latest
        self._expected = expected
        self._report = report
        self._compiler = compiler or Compiler()
        self._faults = faults or Faults()
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._in_force = asyncio.Event()
        self._when: asyncio.Event | None = None
        self.turns_ahead = 0
        """So often it will be woken when other bridges have what they are to have first."""
        self._is_urgent = False
        self._policy: Policy | None = None
        self._is_prepared = False
        self._foreseen: BridgeState | None = None
        """What was compiled before it was known to be wanted."""
        self._retry_s = FIRST_RETRY_S
        self.holdings = Holdings(key)
        self.aside = SetAside()
        self.leaving = Leaving()
        self.stirring = Stirring()

    def connect(self, link: BridgeLink) -> None:
        """Take up a session: what the bridge holds is read before anything is sent."""
        self.link = link
        self._is_prepared = True
        self.holdings.begin()
        self.aside.again(time.monotonic())
        self._retry_s = FIRST_RETRY_S
        self._set_state("syncing")
        self.wake()

    def disconnect(self, link: BridgeLink) -> None:
        """Let a session go, if it is the present one; the bridge goes on enforcing what it has."""
        if self.link is link:
            self.link = None
            self.holdings.forget()
            self._set_state("away")

    def fenced(self) -> None:
        """Take that another controller has the bridge; ``status`` says so until there is a session again."""
        self._set_state("fenced")
        self.status.error = FENCED

    @property
    def is_pending(self) -> bool:
        """Say whether the bridge may not have yet what is wanted of it now."""
        return self.turns_ahead > 0 or not self._settled.is_set()

    def told(self, updates: Sequence[FlowUpdate]) -> None:
        """Take what the bridge tells of changes that others made."""
        if self.holdings.told(updates):
            self._wake.set()

    def forwarded(self, event: RequestForwarded) -> None:
        """Take what it tells of a group or a meter that others changed."""
        if self.holdings.forwarded(event):
            self._wake.set()

    def wake(self, when: asyncio.Event | None = None, *, urgent: bool = False) -> bool:
        """Say that the bridge may have to change; with ``when`` all is prepared, and done after that.

        What is ``urgent`` is prepared at once, if only places have changed.

        Returns:
            False: that was said before, and the keeper has not begun yet.
        """
        is_news = not self._wake.is_set()
        self._when = when or self._when
        self._is_urgent |= urgent
        self._settled.clear()
        self._in_force.clear()
        self._wake.set()
        return is_news

    @property
    def was_seen(self) -> bool:
        """Say whether there ever was a session."""
        return self.status.since > 0.0

    @property
    def holds(self) -> int:
        """Return how many flows the bridge held last, or is to hold once it comes; 0: neither is known."""
        return self.status.flows or (0 if self._foreseen is None else len(self._foreseen.flows))

    async def settled(self, timeout_s: float) -> bool:
        """Wait until the bridge is as wanted; False if that takes longer, or the bridge is away."""
        return await self._reached(self._settled, timeout_s)

    async def in_force(self, timeout_s: float) -> bool:
        """Wait until what is wanted is in force, some of what is not may be there yet; False as above."""
        return await self._reached(self._in_force, timeout_s)

    async def _reached(self, state: asyncio.Event, timeout_s: float) -> bool:
        if self.link is None:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await state.wait()
        return state.is_set()

    def _decides(self) -> None:
        """Take that the bridge has confirmed what it was asked last."""
        if not self._wake.is_set():
            self._in_force.set()

    async def run(self) -> None:
        """Keep the bridge until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_s()):
                    await self._wake.wait()
            self._wake.clear()
            try:
                link, fleet = self.link, self._latest()
                if link is None or fleet is None:
                    await self._prepare_for(fleet)
                    if link is not None and self._foreseen is not None:
                        await self.holdings.look_ahead(link, self._foreseen)
                    continue
                self._foreseen = None
                await self._bring_about(link, fleet)
                self._retry_s = FIRST_RETRY_S
            except (ZonewallError, ConnectionError, TimeoutError) as error:
                self._failed(str(error) or type(error).__name__)
            except Exception as error:
                self._faults.note(f"keeping {self.key}", error)
                self._failed(in_one_line(error))

    async def _prepare_for(self, fleet: Fleet | None) -> None:
        """Compile for a bridge that is still to connect, or where it is not told yet what there is.

        Once each; nothing is sent, but it is remembered how.
        """
        if fleet is None:
            fleet, self._expected = self._expected(), lambda: None
        elif self._is_prepared:
            return
        else:
            self._is_prepared = True
        if fleet is None:
            return
        with contextlib.suppress(ZonewallError):  # it is told when there is a bridge that it matters for
            self._foreseen, _ = await self._compiler.wanted(fleet, self.key, lambda _: None)

    async def _bring_about(self, link: BridgeLink, fleet: Fleet) -> None:
        when, self._when = self._when, None
        at_once = self._is_urgent and fleet.policy is self._policy
        self._is_urgent, self._policy = False, None
        before = None if fleet.policy.passing or self.aside else self.holdings.at_hand(self._foreign(fleet))
        wanted, prepared = await self._compiler.wanted(
            fleet, self.key, lambda state: self._small(before, state), at_once=at_once
        )
        if before is not None and prepared is not None and prepared[1]:
            installed = before
        else:
            wanted = with_timeouts(wanted, time.time()) if fleet.policy.passing else wanted
            installed = await self._known(link, fleet, wanted)
        for _ in range(MOST_ROUNDS):
            now = time.monotonic()
            asked = self.aside.closed(wanted, now)
            made = prepared if installed is before else None
            asked, change, planned = made or await self._plan(installed, asked, now)
            prepared = None
            self.holdings.asked(asked)
            try:
                await self._send(link, change, planned, when)
            except BundleRefused as error:
                self._set_aside(error, fleet, now, planned.turned)
                if len(planned.stages) > 1 or error.is_partly_done:
                    self.holdings.forget()
                    installed = await self._known(link, fleet, wanted)
                else:
                    installed = with_meters(installed, change)
            except MeterRefused as error:
                self.aside.meter_refused(error, now)
                _log.error("meter_set_aside", bridge=str(self.key), meter=error.number, reason=error.reason)
                self.holdings.forget()
                installed = await self._known(link, fleet, wanted)
            else:
                break
        else:
            raise BridgeError(f"the bridge has refused {MOST_ROUNDS} changes one after the other")
        if self.link is link:
            self._brought_about(fleet, wanted, asked, planned, now)

    def _brought_about(
        self, fleet: Fleet, wanted: BridgeState, asked: BridgeState, planned: Plan, now: float
    ) -> None:
        """Take that the bridge has confirmed what was asked of it for a fleet."""
        for entry in self.aside.accepted(wanted, now):
            _log.info("flow_taken_after_all", bridge=str(self.key), **about(entry.flow, fleet.policy))
        self.holdings.confirmed(asked, planned.turned)
        self._policy = fleet.policy
        if self.stirring.owed:
            self._wake.set()
        self.status.flows = len(asked.flows)
        self._set_state("degraded" if self.aside else "in-force")
        if not self._wake.is_set():
            self._in_force.set()
            self._settled.set()
        self._report(InForce(self.key, fleet.placement, time.monotonic(), self.holdings.was_empty))
        self.holdings.was_empty = False

    async def _known(self, link: BridgeLink, fleet: Fleet, wanted: BridgeState) -> BridgeState:
        before = self.holdings.counts.drift
        known = await self.holdings.known(link, fleet.policy, self._foreign(fleet), wanted)
        if self.holdings.counts.drift > before:
            self._settled.clear()
        return known

    def _foreign(self, fleet: Fleet) -> ForeignFlows:
        hosts = fleet.policy.configuration.inventory.hosts
        return hosts[self.key.host].bridges[self.key.bridge].foreign_flows

    def _small(self, installed: BridgeState | None, wanted: BridgeState) -> Prepared | None:
        """Return how to make a change that is small and made of pieces; None for any other."""
        if (
            installed is None
            or not isinstance(installed.flows, Layers)
            or not isinstance(wanted.flows, Layers)
        ):
            return None
        gone, come = wanted.flows.changed_since(installed.flows)
        if sum(len(block.flows) for block in (*gone, *come)) > LARGE:
            return None
        return self._prepare(installed, wanted, time.monotonic())

    async def _plan(self, installed: BridgeState, asked: BridgeState, now: float) -> Prepared:
        """Return how to make a change of any size; a thread of its own finds that out."""
        return await asyncio.get_running_loop().run_in_executor(None, self._prepare, installed, asked, now)

    def _prepare(self, installed: BridgeState, asked: BridgeState, now: float) -> Prepared:
        return prepare(installed, asked, now, self.leaving, self.stirring, self.holdings.turned)

    async def _send(
        self, link: BridgeLink, change: Change, planned: Plan, when: asyncio.Event | None
    ) -> None:
        if not change:
            return
        self.holdings.changing()
        await link.change(change, planned, when, self._decides)
        self.status.applied += 1
        put, deleted = len(change.flows.put), len(change.flows.delete)
        # An endpoint that moves changes a flow or two on every bridge of its tenant; the move itself is said.
        say = _log.info if put + deleted > UNSAID else _log.debug
        say("flows_changed", bridge=str(self.key), put=put, deleted=deleted)

    def _set_aside(self, error: BundleRefused, fleet: Fleet, now: float, turned: frozenset[int]) -> None:
        """Have the next attempt do without what was refused; what is not about a flow fails the bridge."""
        refusals = [
            replace(refusal, flow=turned_flow(refusal.flow, turned))
            for refusal in error.refusals
            if isinstance(refusal.flow, EncodedFlow) and refusal.is_about_the_flow
        ]
        if not refusals:
            raise error
        if any(isinstance(one.flow, EncodedFlow) and is_stirring(one.flow.key) for one in refusals):
            self.stirring.refused(now, LONGEST_RETRY_S)
            return
        self.aside.refused(refusals, now)
        for refusal in refusals:
            assert isinstance(refusal.flow, EncodedFlow)
            where = about(refusal.flow, fleet.policy)
            _log.error("flow_set_aside", bridge=str(self.key), reason=refusal.reason, **where)

    def _idle_s(self) -> float:
        """Return how long there is nothing to do unless woken: until the next audit or trial."""
        now = time.monotonic()
        times = [self.holdings.audit_at if self.holdings.is_known else now + AUDIT_S]
        trial = self.aside.next_trial()
        if trial is not None and self.link is not None:
            times.append(trial)
        if self.link is not None:
            times += [at for at in (self.leaving.last_at, self.stirring.until) if at is not None]
        return max(0.0, min(times) - now)

    def _failed(self, error: str) -> None:
        self.holdings.forget()
        self.status.error = error
        self._set_state("failed" if self.link is not None else "away")
        _log.warning("bridge_failed", bridge=str(self.key), error=self.status.error, retry_s=self._retry_s)
        asyncio.get_running_loop().call_later(self._retry_s, self.wake)
        self._retry_s = min(self._retry_s * 2, LONGEST_RETRY_S)

    def _set_state(self, state: str) -> None:
        if state in ("in-force", "degraded"):
            self.status.error = ""
        if self.status.state == "fenced" and state in ("away", "failed"):
            return
        if self.status.state != state:
            self.status.state = state
            self.status.since = time.time()
