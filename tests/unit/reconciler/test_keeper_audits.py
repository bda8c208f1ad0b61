"""Audits of a keeper: what changed by hand is found, and a change waits for no audit."""

from __future__ import annotations

import asyncio
import time

import pytest

from support.kept_in_memory import Bridge, Kept, fleet, in_force
from zonewall.flows.encoded import BridgeState, FlowKey
from zonewall.intent.fleet import Fleet
from zonewall.openflow.events import FlowUpdate, RequestForwarded
from zonewall.pipeline.cookie import Category, cookie
from zonewall.pipeline.model import MeterEntry, MeterUnit
from zonewall.reconciler import holdings as holdings_module
from zonewall.reconciler.holdings import Reread


def test_what_was_changed_by_hand_is_found_and_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            lost = next(iter(bridge.flows))
            del bridge.flows[lost]
            kept.keeper.wake()
            await kept.settle()
            assert lost in bridge.flows
            assert kept.keeper.holdings.counts.drift == 1

    monkeypatch.setattr(holdings_module, "AUDIT_S", 0.0)
    asyncio.run(scene())


def test_while_what_others_changed_is_put_right_the_bridge_counts_as_pending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        keeper = kept.keeper
        keeper.connect(bridge)
        await kept.settle()
        bridge.tidied.clear()
        del bridge.flows[(lost := next(iter(bridge.flows)))]
        keeper.told([FlowUpdate(lost, cookie(Category.RULE), False)])
        async with asyncio.timeout(20.0):
            while lost not in bridge.flows:
                await asyncio.sleep(0.005)
        assert keeper.is_pending
        bridge.tidied.set()
        await kept.settle()
        assert not keeper.is_pending
        await kept.stop()

    monkeypatch.setattr(holdings_module, "AUDIT_PAUSE_S", 0.01)
    asyncio.run(scene())


async def changed_when_an_audit_is_due() -> tuple[Kept, Bridge]:
    """Return a bridge that is to change at the moment when it is to be audited, too."""
    kept, bridge = Kept(), Bridge()
    kept.keeper.connect(bridge)
    await kept.settle()
    bridge.told.clear()
    kept.keeper.holdings.audit_at = 0.0
    kept.fleet = fleet("tcp/443")
    kept.keeper.wake()
    return kept, bridge


def test_a_change_waits_for_no_audit_and_the_audit_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        kept, bridge = await changed_when_an_audit_is_due()
        async with asyncio.timeout(20.0):
            while len(bridge.told) < 2:
                await asyncio.sleep(0.005)
        assert bridge.told[:2] == ["change", "read"]
        await kept.stop()

    monkeypatch.setattr(holdings_module, "AUDIT_LATE_S", 1e9)
    asyncio.run(scene())


def test_an_audit_that_has_waited_for_long_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        kept, bridge = await changed_when_an_audit_is_due()
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


def test_what_a_bridge_tells_while_it_is_read_is_looked_at_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer may have been composed before: both of a whole reading and of one by its fingerprint."""

    class Changed(Bridge):
        """Somebody removes a flow as soon as the flows have been read."""

        async def watch(self) -> bool:
            return True

        async def read_state(self, expected: object = ()) -> BridgeState:
            answer = await super().read_state(expected)
            self.lose()
            return answer

        async def reread(self) -> Reread:
            answer = await super().reread()
            self.lose()
            return answer

        def lose(self) -> None:
            if lost:
                self.flows.pop(key := lost.pop())
                kept[0].keeper.told([FlowUpdate(key, cookie(Category.RULE), False)])

    async def scene() -> None:
        bridge = Changed()
        kept.append(Kept())
        keeper = kept[0].keeper
        keeper.connect(bridge)
        await kept[0].settle()
        for number, how in enumerate(("read", "reread"), 1):
            key = next(iter(bridge.flows))
            bridge.told.clear()
            lost.append(key)
            keeper.holdings.audit_at = 0.0
            keeper.wake()
            async with asyncio.timeout(20.0):
                while keeper.holdings.counts.drift < number or key not in bridge.flows:
                    await asyncio.sleep(0.005)
            assert bridge.told[0] == how
            for _ in range(2):
                keeper.holdings.audit_at = 0.0
                keeper.wake()
                await kept[0].settle()
        await kept[0].stop()

    lost: list[FlowKey] = []
    kept: list[Kept] = []
    monkeypatch.setattr(holdings_module, "AUDIT_PAUSE_S", 0.01)
    asyncio.run(scene())


def test_a_bridge_that_tells_without_end_is_read_no_more_often_than_its_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Word of our own meters, or of all groups, forged or not, is a reading a pause, and no other work."""
    pause_s = 0.05
    monkeypatch.setattr(holdings_module, "AUDIT_PAUSE_S", pause_s)

    async def scene() -> None:
        bridge = Bridge()
        async with in_force(bridge) as kept:
            number, looked = min(bridge.meters), 0

            def latest() -> Fleet:
                nonlocal looked
                looked += 1
                return kept.fleet

            kept.keeper._latest = latest
            bridge.told.clear()
            began, events = time.monotonic(), 0
            while len(bridge.told) < 5 or events < 2_000:
                kept.keeper.forwarded(RequestForwarded(0xA1, True, number))
                kept.keeper.forwarded(RequestForwarded(0xA1, False, 0xFFFFFFFC))
                kept.keeper.told([FlowUpdate(None, 0)])
                events += 1
                await asyncio.sleep(0)
            pauses = (time.monotonic() - began) / pause_s
            assert set(bridge.told) <= {"read", "reread"}
            assert len(bridge.told) <= pauses + 2
            assert looked <= 2 * len(bridge.told) + 2

    asyncio.run(scene())


def test_word_of_what_is_not_ours_has_little_of_the_time_spent_on_reading() -> None:
    async def scene() -> None:
        kept, bridge = Kept(), Bridge()
        holdings = kept.keeper.holdings
        kept.keeper.connect(bridge)
        await kept.settle()
        number = min(bridge.meters)
        holdings._read_s = 2.0
        waits = []
        for event in (
            RequestForwarded(0xA1, True, 4242),
            RequestForwarded(0xA1, False, number),  # a group of this number is nobody's
            RequestForwarded(0xA1, True, number),
            RequestForwarded(0xA1, True, 0xFFFFFFFF),
        ):
            holdings.audit_at = float("inf")
            assert holdings.forwarded(event)
            assert not holdings.forwarded(event), "it is looked at no sooner"
            waits.append(holdings.audit_at - holdings._read_at)
        often, seldom = holdings_module.AUDIT_PAUSE_S, holdings_module.FOREIGN_READS * 2.0
        assert waits == pytest.approx([seldom, seldom, often, often])
        await kept.stop()

    asyncio.run(scene())
