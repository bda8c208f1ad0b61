"""A keeper at work on a bridge in memory, without a switch or a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier, zone
from zonewall.errors import BridgeError
from zonewall.flows.diff import Change, Delta
from zonewall.flows.encoded import BridgeState, EncodedFlow, FlowKey
from zonewall.flows.staging import Plan
from zonewall.intent.fleet import Fleet, index_fleet
from zonewall.openflow.fingerprint import Fingerprint
from zonewall.pipeline.model import MeterEntry
from zonewall.reconciler.compiler import Compiler
from zonewall.reconciler.faults import Faults
from zonewall.reconciler.holdings import Reread
from zonewall.reconciler.keeper import BridgeKeeper, InForce


class Bridge:
    """A bridge in memory that takes bundles; what a keeper sees of a session."""

    def __init__(self) -> None:
        self.flows: dict[FlowKey, EncodedFlow] = {}
        self.meters: dict[int, MeterEntry] = {}
        self.bundles: list[Delta] = []
        self.refusals = 0
        self.refusal: Exception = BridgeError("bad action")
        self.last_read: Fingerprint | None = None
        self.told: list[str] = []
        self.waited: list[asyncio.Event | None] = []
        self.tidied = asyncio.Event()
        self.tidied.set()

    async def read_state(self, expected: object = ()) -> BridgeState:
        self.told.append("read")
        self.last_read = self.fingerprint()
        return BridgeState(dict(self.flows), {}, dict(self.meters))

    async def reread(self) -> Reread:
        self.told.append("reread")
        return self.fingerprint(), {}, dict(self.meters)

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(len(self.flows), hash(frozenset(self.flows.values())))

    async def watch(self) -> bool:
        return False

    async def keep_settings(self) -> bool:
        return False

    async def change(
        self,
        change: Change,
        planned: Plan,
        when: asyncio.Event | None = None,
        in_force: Callable[[], None] = lambda: None,
    ) -> None:
        if self.refusals:
            self.refusals -= 1
            raise self.refusal
        self.told.append("change")
        self.waited.append(when)
        self.bundles.append(change.flows)
        self.flows.update({flow.key: flow for flow in change.flows.put})
        for key in change.flows.delete:
            del self.flows[key]
        self.meters.update({meter.number: meter for meter in change.put_meters + change.modify_meters})
        in_force()
        await self.tidied.wait()
        for number in change.delete_meters:
            del self.meters[number]


def fleet(port: str = "tcp/80") -> Fleet:
    configuration = configure(
        tenant(
            "acme",
            tier("t", rule("web", "any", "web", services=port)),
            zones=[zone("web", labels={"role": ("web",)})],
        ),
        endpoint("acme/a", "10.0.0.1", labels={"role": "web"}),
        endpoint("acme/b", "10.0.0.2"),
    )
    compiled = CompiledFleet(configuration)
    return index_fleet(compiled.policy, compiled.placement)


class Kept:
    """A keeper at work, the fleet it is shown, and what it reported."""

    def __init__(self, compiler: Compiler | None = None, expected: Fleet | None = None) -> None:
        self.fleet = fleet()
        self.is_told = expected is None
        self.faults = Faults()
        self.reports: list[InForce] = []
        self.keeper = BridgeKeeper(
            FIRST, self.latest, self.reports.append, compiler, lambda: expected, self.faults
        )
        self.task = asyncio.ensure_future(self.keeper.run())

    def latest(self) -> Fleet | None:
        return self.fleet if self.is_told else None

    async def settle(self) -> None:
        assert await self.keeper.settled(20.0)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def in_force(bridge: Bridge) -> AsyncIterator[Kept]:
    """Give a keeper whose bridge has what is wanted of it."""
    kept = Kept()
    kept.keeper.connect(bridge)
    try:
        await kept.settle()
        yield kept
    finally:
        await kept.stop()
