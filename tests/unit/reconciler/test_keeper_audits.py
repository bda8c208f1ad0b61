"""Audits of a keeper: what changed by hand is found, and a change waits for no audit."""

from __future__ import annotations

import asyncio

import pytest

from support.kept_in_memory import Bridge, Kept, fleet
from zonewall.pipeline.model import MeterEntry, MeterUnit
from zonewall.reconciler import holdings as holdings_module


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
