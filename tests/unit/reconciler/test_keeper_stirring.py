"""With each change of the rules comes a row by which cached decisions end, where a bridge has room for it."""

from __future__ import annotations

import asyncio

import pytest

from support.compiled import FIRST
from support.kept_in_memory import Bridge, fleet, in_force
from zonewall.flows import stirring
from zonewall.flows.assembly import Assembler
from zonewall.flows.diff import Delta
from zonewall.flows.stirring import ROWS, is_stirring
from zonewall.openflow.errors import BundleRefused, Refusal
from zonewall.reconciler import preparing

TABLE_FULL = (5, 1)


def rows(delta: Delta) -> tuple[int, int]:
    """Return how many of these rows come and go."""
    return sum(is_stirring(flow.key) for flow in delta.put), sum(map(is_stirring, delta.delete))


def test_a_row_comes_in_the_bundle_of_the_change_and_the_next_one_in_its_place() -> None:
    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            for port in ("tcp/443", "tcp/444"):
                kept.fleet = fleet(port)
                kept.keeper.wake()
                await kept.settle()
        assert [rows(delta) for delta in bridge.bundles] == [(0, 0), (1, 0), (1, 1)]

    asyncio.run(scene())


def test_once_the_row_has_gone_nothing_more_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            monkeypatch.setattr(stirring, "REVALIDATION_S", 0.05)
            kept.fleet = fleet("tcp/443")
            kept.keeper.wake()
            while len(bridge.bundles) < 3:
                await asyncio.sleep(0.01)
            for _ in range(3):
                kept.keeper.wake()
                await kept.settle()
        assert [rows(delta) for delta in bridge.bundles] == [(0, 0), (1, 0), (0, 1)]

    asyncio.run(scene())


def test_a_large_change_gets_its_row_right_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            monkeypatch.setattr(preparing, "LARGE", 1)
            kept.fleet = fleet("tcp/443")
            kept.keeper.wake()
            await kept.settle()
        assert [rows(delta) for delta in bridge.bundles] == [(0, 0), (0, 0), (1, 0)]
        assert len(bridge.bundles[-1].put) == 1

    asyncio.run(scene())


def test_a_bridge_without_room_for_a_row_gets_the_change_without_it() -> None:
    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            bridge.refusals, bridge.refusal = 1, BundleRefused((Refusal("a flow", *TABLE_FULL, ROWS[1]),))
            kept.fleet = fleet("tcp/443")
            kept.keeper.wake()
            await kept.settle()
        assert [rows(delta) for delta in bridge.bundles] == [(0, 0), (0, 0)]
        assert bridge.flows == dict(Assembler().state(kept.fleet, FIRST).flows)
        assert kept.keeper.status.state == "in-force"

    asyncio.run(scene())
