"""A keeper makes a bridge equal to what was compiled, by differences, and lives on when it cannot."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from support.compiled import FIRST
from support.kept_in_memory import Bridge, Kept, fleet, in_force
from zonewall.errors import BridgeError
from zonewall.flows.diff import Change
from zonewall.flows.encoded import EncodedFlow
from zonewall.flows.staging import Plan
from zonewall.flows.stirring import is_stirring
from zonewall.openflow.errors import BundleRefused, Refusal
from zonewall.placement.model import Placement
from zonewall.reconciler import keeper as keeper_module


async def until(kept: Kept, state: str) -> None:
    async with asyncio.timeout(20.0):
        while kept.keeper.status.state != state:
            await asyncio.sleep(0.005)


def test_an_empty_bridge_gets_everything_in_one_bundle_and_then_nothing() -> None:
    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            assert len(bridge.bundles) == 1
            assert bridge.flows
            kept.keeper.wake()
            await kept.settle()
            assert len(bridge.bundles) == 1
            assert kept.reports[0].placement is kept.fleet.placement

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


def test_a_bridge_that_lost_everything_is_told_so_even_if_its_session_ends_half_way() -> None:
    """The next session finds the part that was there by then."""

    class HalfWay(Bridge):
        async def change(self, change: Change, planned: Plan, *_: Any) -> None:
            part = change.flows.put[:3]
            self.flows.update({flow.key: flow for flow in part})
            raise BridgeError("connection lost")

    async def scene() -> None:
        kept, first, second = Kept(), HalfWay(), Bridge()
        kept.keeper.connect(first)
        async with asyncio.timeout(20.0):
            while not first.flows:
                await asyncio.sleep(0.005)
        kept.keeper.disconnect(first)
        second.flows = first.flows
        kept.keeper.connect(second)
        await kept.settle()
        assert [report.was_empty for report in kept.reports] == [True]
        await kept.stop()

    asyncio.run(scene())


def test_an_edit_sends_only_what_differs() -> None:
    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            kept.fleet = fleet("tcp/443")
            kept.keeper.wake()
            await kept.settle()
            put = [one for one in bridge.bundles[1].put if not is_stirring(one.key)]
            assert 0 < len(put) <= 2
            assert len(bridge.bundles[1].delete) == len(put)

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
        await until(kept, "failed")
        assert "bad action" in kept.keeper.status.error
        await kept.settle()
        assert kept.keeper.status.state == "in-force"
        assert kept.keeper.status.error == ""
        await kept.stop()

    monkeypatch.setattr(keeper_module, "FIRST_RETRY_S", 0.1)
    asyncio.run(scene())


def test_a_bridge_that_went_is_away_and_wakes_nothing() -> None:
    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            kept.keeper.disconnect(bridge)
            kept.fleet = replace(kept.fleet, placement=Placement({}, {}))
            kept.keeper.wake()
            assert not await kept.keeper.settled(0.2)
            assert len(bridge.bundles) == 1
            assert kept.keeper.status.state == "away"

    asyncio.run(scene())


def test_what_nobody_foresaw_fails_the_bridge_for_a_while_and_leaves_it_its_keeper() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        bridge.refusals, bridge.refusal = 1, struct.error("too large")
        kept.keeper.connect(bridge)
        await until(kept, "failed")
        assert "error: too large" in kept.keeper.status.error
        (fault,) = kept.faults.status()
        assert fault["fault"].startswith(f"keeping {FIRST}: error: too large")
        await kept.settle()
        assert kept.keeper.status.state == "in-force"
        await kept.stop()

    asyncio.run(scene())


def test_a_refusal_that_is_about_no_flow_sets_none_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bridge that bears no change from us (OFPET_BAD_REQUEST, OFPBRC_EPERM) would lose flow after flow."""

    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        flow = EncodedFlow(1, 1, b"", b"", cookie=7)
        bridge.refusals, bridge.refusal = 1, BundleRefused((Refusal("a flow", 1, 5, flow),))
        kept.keeper.connect(bridge)
        await until(kept, "failed")
        assert not kept.keeper.aside
        await kept.settle()
        assert kept.keeper.status.state == "in-force"
        await kept.stop()

    monkeypatch.setattr(keeper_module, "FIRST_RETRY_S", 0.1)
    asyncio.run(scene())


def test_what_a_failed_change_has_left_is_found_also_if_it_is_no_longer_wanted() -> None:
    class HalfWay(Bridge):
        async def change(self, change: Change, *rest: Any) -> None:
            if self.bundles:
                self.flows.update({flow.key: flow for flow in change.flows.put})
                self.change = super().change  # type: ignore[method-assign]
                raise TimeoutError
            await super().change(change, *rest)

    async def scene() -> None:
        kept, bridge = Kept(), HalfWay()
        kept.keeper.connect(bridge)
        await kept.settle()
        before = dict(bridge.flows)
        kept.fleet = fleet("tcp/443")
        kept.keeper.wake()
        await until(kept, "failed")
        assert bridge.flows != before
        kept.fleet = fleet()
        kept.keeper.wake()
        await kept.settle()
        assert {key: flow for key, flow in bridge.flows.items() if not is_stirring(key)} == before
        await kept.stop()

    asyncio.run(scene())


def test_a_bridge_that_goes_on_failing_is_tried_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        bridge.refusals = 5
        with capture_logs() as logs:
            kept.keeper.connect(bridge)
            await kept.settle()
        waited = [line["retry_s"] for line in logs if line["event"] == "bridge_failed"]
        assert waited == [0.001, 0.002, 0.004, 0.005, 0.005]
        await kept.stop()

    monkeypatch.setattr(keeper_module, "FIRST_RETRY_S", 0.001)
    monkeypatch.setattr(keeper_module, "LONGEST_RETRY_S", 0.005)
    asyncio.run(scene())


def test_the_end_of_a_session_that_has_been_replaced_is_none_of_the_next_one() -> None:
    async def scene() -> None:
        kept, first, second = Kept(), Bridge(), Bridge()
        kept.keeper.connect(first)
        kept.keeper.connect(second)
        kept.keeper.disconnect(first)
        assert kept.keeper.link is second
        await kept.settle()
        assert kept.keeper.status.state == "in-force"
        await kept.stop()

    asyncio.run(scene())


def test_a_bridge_that_another_controller_has_is_fenced_until_there_is_a_session_again() -> None:
    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            kept.keeper.fenced()
            kept.keeper.disconnect(bridge)
            assert kept.keeper.status.state == "fenced"
            kept.keeper.connect(bridge)
            await kept.settle()
            assert kept.keeper.status.state == "in-force"

    asyncio.run(scene())
