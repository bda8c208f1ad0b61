"""What a keeper does before what: compiles ahead, waits for others, leaves out what is no longer wanted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from support.compiled import FIRST
from support.kept_in_memory import Bridge, Kept, fleet, in_force
from zonewall.flows.assembly import Assembler
from zonewall.flows.diff import Change
from zonewall.flows.encoded import BridgeState
from zonewall.flows.staging import Plan
from zonewall.flows.stirring import is_stirring
from zonewall.intent.fleet import Fleet
from zonewall.openflow.events import FlowUpdate
from zonewall.placement.model import BridgeKey
from zonewall.reconciler import holdings
from zonewall.reconciler.compiler import Compiler
from zonewall.values.names import EndpointKey


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


def test_what_is_expected_is_compiled_before_it_is_told_and_the_bridge_only_read(
    compiled: list[Fleet],
) -> None:
    async def scene() -> None:
        expected = fleet("tcp/81")
        kept, bridge = Kept(expected=expected), Bridge()
        kept.keeper.wake()
        kept.keeper.connect(bridge)
        await read(bridge)
        for _ in range(10):
            kept.keeper.wake()
            await asyncio.sleep(0.01)
        assert compiled == [expected]
        assert kept.keeper.is_pending
        assert bridge.told == ["read"]
        kept.is_told = True
        kept.keeper.wake()
        await kept.settle()
        assert compiled == [expected, kept.fleet]
        assert bridge.told == ["read", "change"]
        assert set(bridge.flows) == set(Assembler().state(kept.fleet, FIRST).flows)
        await kept.stop()

    asyncio.run(scene())


async def read(bridge: Bridge) -> None:
    """Wait until a bridge has been read, and what came of it taken."""
    async with asyncio.timeout(20.0):
        while not bridge.told:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("since", ["a change by hand", "a new session", "a long time"])
def test_what_was_read_ahead_is_read_again_if_it_may_have_changed(
    since: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        kept, bridge = Kept(expected=fleet()), Bridge()
        wanted = Assembler().state(kept.fleet, FIRST).flows
        bridge.flows = dict(wanted)
        kept.keeper.wake()
        kept.keeper.connect(bridge)
        await read(bridge)
        key = next(iter(wanted))
        del bridge.flows[key]
        if since == "a change by hand":
            kept.keeper.told([FlowUpdate(key, wanted[key].cookie)])
        elif since == "a new session":
            kept.keeper.disconnect(bridge)
            kept.keeper.connect(bridge)
        else:
            monkeypatch.setattr(holdings, "AHEAD_S", 0.0)
        kept.is_told = True
        kept.keeper.wake()
        await kept.settle()
        assert bridge.told[-2:] == ["read", "change"]
        assert set(bridge.flows) == set(wanted)
        await kept.stop()

    asyncio.run(scene())


def test_a_bridge_that_is_as_it_is_wanted_is_read_once_and_left_alone() -> None:
    async def scene() -> None:
        kept, bridge = Kept(expected=fleet()), Bridge()
        state = Assembler().state(kept.fleet, FIRST)
        bridge.flows, bridge.meters = dict(state.flows), dict(state.meters)
        kept.keeper.wake()
        kept.keeper.connect(bridge)
        await read(bridge)
        kept.is_told = True
        kept.keeper.wake()
        await kept.settle()
        assert bridge.told == ["read"]
        assert not kept.reports[0].was_empty
        await kept.stop()

    asyncio.run(scene())


def test_what_another_bridge_has_to_do_before_is_passed_on_with_the_change() -> None:
    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            when = asyncio.Event()
            kept.fleet = fleet("tcp/443")
            assert kept.keeper.wake(when)
            assert not kept.keeper.wake(), "it was said already"
            await kept.settle()
            kept.fleet = fleet("tcp/80")
            kept.keeper.wake()
            await kept.settle()
            assert bridge.waited == [None, when, None]

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
        held = {key for key in bridge.flows if not is_stirring(key)}
        assert held == set(Assembler().state(kept.fleet, FIRST).flows)

    asyncio.run(scene())


def test_others_need_not_wait_until_the_bridge_has_tidied_up() -> None:
    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            bridge.tidied.clear()
            kept.fleet = fleet("tcp/443")
            kept.keeper.wake()
            assert await kept.keeper.in_force(20.0)
            assert kept.keeper.is_pending
            kept.keeper.wake()
            assert not await kept.keeper.in_force(0.05), "what was wanted since is not asked yet"
            bridge.tidied.set()
            await kept.settle()
            assert await kept.keeper.in_force(20.0)

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
    assert {key for key in bridge.flows if not is_stirring(key)} == set(wanted.flows)
