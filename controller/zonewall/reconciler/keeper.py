"""Keeps one bridge equal to what was compiled for it; a sick bridge holds up nobody but itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from zonewall.errors import ZonewallError
from zonewall.flows.diff import Delta, diff
from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.flows.wire import encode_flow
from zonewall.intent.fleet import Fleet
from zonewall.pipeline.compile import compile_bridge
from zonewall.pipeline.cookie import is_ours
from zonewall.pipeline.model import BridgeProgram, GroupEntry, MeterEntry
from zonewall.placement.model import BridgeKey, Placement

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0
AUDIT_S = 30.0
"""A bridge that was changed by hand is found, and put right, within this time."""

_log = structlog.get_logger()


class BridgeLink(Protocol):
    """What a keeper needs of a session with a bridge."""

    async def read_flows(self) -> Mapping[FlowKey, EncodedFlow]:
        """Return every flow of the bridge."""

    async def read_meters(self) -> Mapping[int, MeterEntry]:
        """Return every meter of the bridge."""

    async def read_groups(self) -> Mapping[int, GroupEntry]:
        """Return every group of the bridge."""

    async def apply(
        self,
        delta: Delta,
        *,
        meters: Mapping[int, MeterEntry],
        groups: Mapping[int, GroupEntry],
        old_meters: Mapping[int, MeterEntry],
        old_groups: Mapping[int, GroupEntry],
    ) -> None:
        """Change the bridge as one bundle and wait until it is done."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a bridge should hold, in bytes."""

    flows: Mapping[FlowKey, EncodedFlow]
    meters: Mapping[int, MeterEntry]
    groups: Mapping[int, GroupEntry]


@dataclass(frozen=True, slots=True)
class InForce:
    """A bridge has confirmed what was compiled for a placement."""

    bridge: BridgeKey
    placement: Placement
    at: float


@dataclass(slots=True)
class BridgeStatus:
    """What ``zonewall status`` says of a bridge."""

    state: str = "away"
    flows: int = 0
    error: str = ""
    since: float = 0.0
    applied: int = 0
    drift: int = 0
    foreign_flows: int = 0


def encode_program(program: BridgeProgram) -> Wanted:
    """Return a program's bytes by key."""
    flows = {flow.key: flow for flow in map(encode_flow, program.flows)}
    return Wanted(
        flows,
        {meter.number: meter for meter in program.meters},
        {group.number: group for group in program.groups},
    )


class BridgeKeeper:
    """One bridge's task: wakes when something changed, compiles the latest state, sends the difference."""

    def __init__(
        self, key: BridgeKey, latest: Callable[[], Fleet | None], report: Callable[[InForce], None]
    ) -> None:
        """Keep ``key`` as ``latest`` says; ``report`` is told what is in force."""
        self.key = key
        self.status = BridgeStatus()
        self.link: BridgeLink | None = None
        self._latest = latest
        self._report = report
        self._held: Wanted | None = None
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._retry_s = FIRST_RETRY_S
        self._audit_at = 0.0

    def connect(self, link: BridgeLink) -> None:
        """Take up a session: what the bridge holds is read before anything is sent."""
        self.link = link
        self._held = None
        self._retry_s = FIRST_RETRY_S
        self._set_state("syncing")
        self.wake()

    def disconnect(self, link: BridgeLink) -> None:
        """Let a session go, if it is the present one; the bridge goes on enforcing what it has."""
        if self.link is link:
            self.link = None
            self._held = None
            self._set_state("away")

    def wake(self) -> None:
        """Say that the bridge may have to change."""
        self._settled.clear()
        self._wake.set()

    async def settled(self, timeout_s: float) -> bool:
        """Wait until what is wanted is in force; False if that takes longer, or the bridge is away."""
        if self.link is None:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        return self._settled.is_set()

    async def run(self) -> None:
        """Keep the bridge until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AUDIT_S):
                    await self._wake.wait()
            self._wake.clear()
            link, fleet = self.link, self._latest()
            if link is None or fleet is None:
                continue
            try:
                await self._bring_about(link, fleet)
                self._retry_s = FIRST_RETRY_S
            except (ZonewallError, ConnectionError, TimeoutError) as error:
                self._failed(error)

    async def _bring_about(self, link: BridgeLink, fleet: Fleet) -> None:
        program = await asyncio.get_running_loop().run_in_executor(None, compile_bridge, fleet, self.key)
        wanted = encode_program(program)
        held = await self._known(link)
        delta = diff(held.flows, wanted.flows)
        changed = bool(delta) or held.meters != wanted.meters or held.groups != wanted.groups
        if changed:
            await link.apply(
                delta,
                meters=wanted.meters,
                groups=wanted.groups,
                old_meters=held.meters,
                old_groups=held.groups,
            )
            self.status.applied += 1
            _log.info("flows_changed", bridge=str(self.key), put=len(delta.put), deleted=len(delta.delete))
        if self.link is not link:
            return
        self._held = wanted
        self.status.flows = len(wanted.flows)
        self._set_state("in-force")
        if not self._wake.is_set():
            self._settled.set()
        self._report(InForce(self.key, fleet.placement, time.monotonic()))

    async def _known(self, link: BridgeLink) -> Wanted:
        """Return what the bridge holds of ours: as last confirmed, read back when that is old or unknown."""
        now = time.monotonic()
        if self._held is not None and now < self._audit_at:
            return self._held
        flows = await link.read_flows()
        ours = {key: flow for key, flow in flows.items() if is_ours(flow.cookie)}
        read = Wanted(ours, await link.read_meters(), await link.read_groups())
        self._audit_at = now + AUDIT_S
        self.status.foreign_flows = len(flows) - len(ours)
        if self._held is not None:
            drift = diff(ours, self._held.flows)
            if drift:
                self.status.drift += len(drift.put) + len(drift.delete)
                _log.warning(
                    "drift_found", bridge=str(self.key), missing=len(drift.put), unknown=len(drift.delete)
                )
        return read

    def _failed(self, error: Exception) -> None:
        self._held = None
        self.status.error = str(error) or type(error).__name__
        self._set_state("failed" if self.link is not None else "away")
        _log.warning("bridge_failed", bridge=str(self.key), error=self.status.error, retry_s=self._retry_s)
        asyncio.get_running_loop().call_later(self._retry_s, self.wake)
        self._retry_s = min(self._retry_s * 2, LONGEST_RETRY_S)

    def _set_state(self, state: str) -> None:
        if state == "in-force":
            self.status.error = ""
        if self.status.state != state:
            self.status.state = state
            self.status.since = time.time()
