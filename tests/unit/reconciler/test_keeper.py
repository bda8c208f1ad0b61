"""A keeper makes a bridge equal to what was compiled, by differences, and finds what changed by hand."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from support.compiled import FIRST, CompiledFleet
from support.configurations import configure, endpoint, rule, tenant, tier, zone
from zonewall.errors import BridgeError
from zonewall.flows.assembly import Assembler
from zonewall.flows.diff import Change, Delta
from zonewall.flows.encoded import BridgeState, EncodedFlow, FlowKey
from zonewall.flows.staging import Plan
from zonewall.intent.fleet import Fleet, index_fleet
from zonewall.openflow.fingerprint import Fingerprint
from zonewall.pipeline.model import MeterEntry, MeterUnit
from zonewall.placement.model import BridgeKey, Placement
from zonewall.reconciler import holdings as holdings_module
from zonewall.reconciler import keeper as keeper_module
from zonewall.reconciler.compiler import Compiler
from zonewall.reconciler.faults import Faults
from zonewall.reconciler.holdings import Reread
from zonewall.reconciler.keeper import BridgeKeeper, InForce
from zonewall.values.names import EndpointKey


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
        assert await self.keeper.settled(5.0)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def test_an_empty_bridge_gets_everything_in_one_bundle_and_then_nothing() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        kept.keeper.connect(bridge)
        await kept.settle()
        assert len(bridge.bundles) == 1
        assert bridge.flows
        kept.keeper.wake()
        await kept.settle()
        assert len(bridge.bundles) == 1
        assert kept.reports[0].placement is kept.fleet.placement
        await kept.stop()

    asyncio.run(scene())


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Fleet]:
    """Return the fleets for which something was compiled, as they come."""
    found: list[Fleet] = []
    made = Assembler.state

    def state(self: Assembler, fleet: Fleet, key: BridgeKey) -> BridgeState:
        found.append(fleet)
        return made(self, fleet, key)

    monkeypatch.setattr(Assembler, "state", state)
    return found


def test_what_a_bridge_will_need_is_compiled_once_before_it_connects(compiled: list[Fleet]) -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        kept.keeper.wake()
        async with asyncio.timeout(20.0):
            while not compiled:
                await asyncio.sleep(0.01)
        for _ in range(10):
            kept.keeper.wake()
            await asyncio.sleep(0.01)
        assert kept.keeper.is_pending
        kept.keeper.connect(bridge)
        await kept.settle()
        assert bridge.flows
        assert len(compiled) == 2
        await kept.stop()

    asyncio.run(scene())


def test_what_is_expected_is_compiled_before_it_is_told_and_nothing_is_done_with_it(
    compiled: list[Fleet],
) -> None:
    async def scene() -> None:
        expected = fleet("tcp/81")
        kept, bridge = Kept(expected=expected), Bridge()
        kept.keeper.wake()
        kept.keeper.connect(bridge)
        async with asyncio.timeout(20.0):
            while not compiled:
                await asyncio.sleep(0.01)
        for _ in range(10):
            kept.keeper.wake()
            await asyncio.sleep(0.01)
        assert compiled == [expected]
        assert kept.keeper.is_pending
        assert not bridge.told
        kept.is_told = True
        kept.keeper.wake()
        await kept.settle()
        assert compiled == [expected, kept.fleet]
        assert set(bridge.flows) == set(Assembler().state(kept.fleet, FIRST).flows)
        await kept.stop()

    asyncio.run(scene())


def test_a_bridge_that_has_it_all_already_gets_not_one_flow() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        kept.keeper.connect(bridge)
        await kept.settle()
        await kept.stop()
        again = Kept()
        bridge.bundles.clear()
        again.keeper.connect(bridge)
        await again.settle()
        assert bridge.bundles == []
        await again.stop()

    asyncio.run(scene())


def test_a_bridge_that_lost_everything_is_told_so_that_its_connections_are_taken_up() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        for empty in (True, False, True):
            if empty:
                bridge.flows.clear()
                bridge.meters.clear()
            kept.keeper.connect(bridge)
            await kept.settle()
            assert kept.reports[-1].was_empty is empty
            kept.keeper.wake()
            await kept.settle()
            assert not kept.reports[-1].was_empty
        await kept.stop()

    asyncio.run(scene())


def test_an_edit_sends_only_what_differs() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        kept.keeper.connect(bridge)
        await kept.settle()
        kept.fleet = fleet("tcp/443")
        kept.keeper.wake()
        await kept.settle()
        assert 0 < len(bridge.bundles[1].put) <= 2
        assert len(bridge.bundles[1].delete) == len(bridge.bundles[1].put)
        await kept.stop()

    asyncio.run(scene())


def test_what_was_changed_by_hand_is_found_and_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        kept.keeper.connect(bridge)
        await kept.settle()
        lost = next(iter(bridge.flows))
        del bridge.flows[lost]
        kept.keeper.wake()
        await kept.settle()
        assert lost in bridge.flows
        assert kept.keeper.holdings.counts.drift == 1
        await kept.stop()

    monkeypatch.setattr(holdings_module, "AUDIT_S", 0.0)
    asyncio.run(scene())


def test_a_change_waits_for_no_audit_and_the_audit_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        kept.keeper.connect(bridge)
        await kept.settle()
        bridge.told.clear()
        kept.keeper.holdings.audit_at = 0.0
        kept.fleet = fleet("tcp/443")
        kept.keeper.wake()
        async with asyncio.timeout(5.0):
            while len(bridge.told) < 2:
                await asyncio.sleep(0.005)
        assert bridge.told[:2] == ["change", "read"]
        await kept.stop()

    monkeypatch.setattr(holdings_module, "AUDIT_LATE_S", 1e9)
    asyncio.run(scene())


def test_an_audit_that_has_waited_for_long_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        kept.keeper.connect(bridge)
        await kept.settle()
        bridge.told.clear()
        kept.keeper.holdings.audit_at = 0.0
        kept.fleet = fleet("tcp/443")
        kept.keeper.wake()
        await kept.settle()
        assert bridge.told == ["read", "change"]
        await kept.stop()

    monkeypatch.setattr(holdings_module, "AUDIT_LATE_S", 0.0)
    asyncio.run(scene())


def test_a_bridge_that_is_as_it_was_is_not_taken_apart_again_and_one_that_is_not_is() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        holdings = kept.keeper.holdings
        kept.keeper.connect(bridge)
        await kept.settle()

        async def audit() -> list[str]:
            bridge.told.clear()
            holdings.audit_at = 0.0
            kept.keeper.wake()
            await kept.settle()
            return list(bridge.told)

        assert await audit() == ["read"], "nothing was read since the change"
        assert await audit() == ["reread"]
        lost = bridge.flows.pop(next(iter(bridge.flows)))
        assert await audit() == ["reread", "read", "change"]
        assert holdings.counts.drift == 1
        assert bridge.flows[lost.key] == lost
        assert await audit() == ["read"], "what was put right is looked at once"
        assert await audit() == ["reread"]
        bridge.meters[9] = MeterEntry(9, MeterUnit.PPS, 1, 1)
        assert await audit() == ["reread", "read", "change"]
        assert 9 not in bridge.meters
        kept.keeper.disconnect(bridge)
        kept.keeper.connect(bridge)
        assert await audit() == ["read"], "a new session"
        await kept.stop()

    asyncio.run(scene())


def test_what_another_bridge_has_to_do_before_is_passed_on_with_the_change() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        kept.keeper.connect(bridge)
        await kept.settle()
        when = asyncio.Event()
        kept.fleet = fleet("tcp/443")
        assert kept.keeper.wake(when)
        assert not kept.keeper.wake(), "it was said already"
        await kept.settle()
        kept.fleet = fleet("tcp/80")
        kept.keeper.wake()
        await kept.settle()
        assert bridge.waited == [None, when, None]
        await kept.stop()

    asyncio.run(scene())


def moved(before: Fleet) -> Fleet:
    """Return the fleet with one of its endpoints gone; the policy stays."""
    bindings = dict(before.placement.bindings)
    del bindings[EndpointKey("acme/b")]
    return before.follow(replace(before.placement, bindings=bindings))


def test_a_move_is_prepared_at_once_and_another_policy_by_the_thread() -> None:
    class Seen(Compiler):
        def __init__(self) -> None:
            super().__init__()
            self.threads: list[bool] = []

        async def wanted(
            self, fleet: Any, key: Any, then: Callable[[BridgeState], Any], *, at_once: bool = False
        ) -> Any:
            def noted(state: BridgeState) -> Any:
                self.threads.append(threading.current_thread() is threading.main_thread())
                return then(state)

            return await super().wanted(fleet, key, noted, at_once=at_once)

    async def scene() -> None:
        compiler = Seen()
        kept, bridge = Kept(compiler), Bridge()
        kept.keeper.connect(bridge)
        await kept.settle()
        steps: tuple[Callable[[], Fleet], ...] = (lambda: moved(kept.fleet), lambda: fleet("tcp/443"))
        for step in steps:
            kept.fleet = step()
            kept.keeper.wake(urgent=True)
            await kept.settle()
        kept.fleet = moved(kept.fleet)
        kept.keeper.wake()
        await kept.settle()
        await kept.stop()
        assert compiler.threads == [False, True, False, False]
        assert set(bridge.flows) == set(Assembler().state(kept.fleet, FIRST).flows)

    asyncio.run(scene())


def test_others_need_not_wait_until_the_bridge_has_tidied_up() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        kept.keeper.connect(bridge)
        await kept.settle()
        bridge.tidied.clear()
        kept.fleet = fleet("tcp/443")
        kept.keeper.wake()
        assert await kept.keeper.in_force(5.0)
        assert kept.keeper.is_pending
        kept.keeper.wake()
        assert not await kept.keeper.in_force(0.05), "what was wanted since is not asked yet"
        bridge.tidied.set()
        await kept.settle()
        assert await kept.keeper.in_force(5.0)
        await kept.stop()

    asyncio.run(scene())


def test_flows_of_others_are_left_alone_and_counted() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        foreign = EncodedFlow(0, 1, b"", b"", cookie=7)
        bridge.flows[foreign.key] = foreign
        kept.keeper.connect(bridge)
        await kept.settle()
        assert bridge.flows[foreign.key] == foreign
        assert len(kept.keeper.holdings.counts.foreign) == 1
        await kept.stop()

    asyncio.run(scene())


def test_a_refused_bundle_is_shown_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        bridge.refusals = 2
        kept.keeper.connect(bridge)
        async with asyncio.timeout(5.0):
            while kept.keeper.status.state != "failed":
                await asyncio.sleep(0.005)
        assert "bad action" in kept.keeper.status.error
        await kept.settle()
        assert kept.keeper.status.state == "in-force"
        assert kept.keeper.status.error == ""
        await kept.stop()

    monkeypatch.setattr(keeper_module, "FIRST_RETRY_S", 0.1)
    asyncio.run(scene())


def test_a_bridge_that_went_is_away_and_wakes_nothing() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        kept.keeper.connect(bridge)
        await kept.settle()
        kept.keeper.disconnect(bridge)
        kept.fleet = replace(kept.fleet, placement=Placement({}, {}))
        kept.keeper.wake()
        assert not await kept.keeper.settled(0.2)
        assert len(bridge.bundles) == 1
        assert kept.keeper.status.state == "away"
        await kept.stop()

    asyncio.run(scene())


@pytest.mark.asyncio
async def test_a_slow_bridge_gets_its_latest_state_and_none_of_those_in_between() -> None:
    may_go_on, begun = asyncio.Event(), asyncio.Event()

    class Slow(Bridge):
        async def change(
            self,
            change: Change,
            planned: Plan,
            when: asyncio.Event | None = None,
            in_force: Callable[[], None] = lambda: None,
        ) -> None:
            begun.set()
            await may_go_on.wait()
            await super().change(change, planned, when, in_force)

    kept, bridge = Kept(), Slow()
    kept.keeper.connect(bridge)
    await asyncio.wait_for(begun.wait(), 5.0)
    for port in range(1, 101):
        kept.fleet = fleet(f"tcp/{port}")
        kept.keeper.wake()
        await asyncio.sleep(0)
    may_go_on.set()
    await kept.settle()
    await kept.stop()
    assert len(bridge.bundles) == 2
    wanted = Assembler().state(fleet("tcp/100"), FIRST)
    assert set(bridge.flows) == set(wanted.flows)


def test_what_nobody_foresaw_fails_the_bridge_for_a_while_and_leaves_it_its_keeper() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        bridge.refusals, bridge.refusal = 1, struct.error("too large")
        kept.keeper.connect(bridge)
        async with asyncio.timeout(20.0):
            while kept.keeper.status.state != "failed":
                await asyncio.sleep(0.01)
        assert "error: too large" in kept.keeper.status.error
        (fault,) = kept.faults.status()
        assert fault["fault"].startswith(f"keeping {FIRST}: error: too large")
        await kept.settle()
        assert kept.keeper.status.state == "in-force"
        await kept.stop()

    asyncio.run(scene())
