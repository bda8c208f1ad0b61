"""Counters of rules: looks at few flows beside looks at all, and changes that do not wait for answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from zonewall.flows.diff import Change, Delta
from zonewall.flows.encoded import FlowKey
from zonewall.flows.staging import Plan
from zonewall.openflow import bundle
from zonewall.openflow.events import FlowCount
from zonewall.openflow.waiting import Allowance
from zonewall.pipeline.cookie import Category, cookie
from zonewall.pipeline.tables import VERDICT_TABLE
from zonewall.placement.model import BridgeKey
from zonewall.reconciler import counters
from zonewall.reconciler.counters import Ledger
from zonewall.reconciler.link import SessionLink
from zonewall.store.forms import stamp
from zonewall.values.names import BridgeName, HostName

BRIDGE = BridgeKey(HostName("hv1"), BridgeName("br-int"))
NAMES = {1: "acme/t/web", 2: "acme/t/db"}


def count(rule: int, packets: int, age_s: int = 10) -> FlowCount:
    key = FlowKey(VERDICT_TABLE.number, 100 + rule, b"")
    return FlowCount(key, cookie(Category.RULE, rule), packets, packets * 100, age_s)


def packets(ledger: Ledger) -> dict[str, int]:
    return {name: total.packets for name, total in ledger.totals.items()}


def test_what_was_looked_at_since_a_look_at_all_began_is_counted_once() -> None:
    ledger = Ledger()
    ledger.take(BRIDGE, [count(1, 10), count(2, 5)], NAMES, 0.0)
    ledger.take(BRIDGE, [count(1, 17)], NAMES, 1.0, partly=True)
    ledger.take(BRIDGE, [count(1, 12), count(2, 6)], NAMES, 1.1, but={count(1, 0).key})
    assert packets(ledger) == {"acme/t/web": 17, "acme/t/db": 6}
    ledger.take(BRIDGE, [count(1, 20), count(2, 6)], NAMES, 2.0)
    assert packets(ledger) == {"acme/t/web": 20, "acme/t/db": 6}


def test_a_bridge_that_was_forgotten_adds_nothing_again_and_all_that_flows_count_which_it_has_since() -> None:
    ledger = Ledger()
    ledger.take(BRIDGE, [count(1, 10, age_s=10)], NAMES, 100.0)
    ledger.forget(BRIDGE, 105.0)
    assert not ledger.looks
    ledger.take(BRIDGE, [count(1, 30, age_s=30)], NAMES, 120.0, partly=True)
    ledger.take(BRIDGE, [count(1, 31, age_s=30), count(2, 7, age_s=9)], NAMES, 120.5)
    assert packets(ledger) == {"acme/t/web": 11, "acme/t/db": 7}
    ledger.take(BRIDGE, [count(1, 33, age_s=40), count(2, 8, age_s=19)], NAMES, 130.0)
    assert packets(ledger) == {"acme/t/web": 13, "acme/t/db": 8}
    assert not ledger.left


@pytest.mark.parametrize("piece", [1, 2, 3, 200])
def test_what_is_kept_is_as_it_was_when_it_was_asked_for_however_many_pieces_that_takes(
    monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(counters, "PIECE", piece)
    ledger, other = Ledger(), BridgeKey(HostName("hv2"), BridgeName("br-int"))
    assert json.loads("".join(ledger.to_text())) == {"totals": {}, "looks": {}}
    with monkeypatch.context() as later:
        later.setattr(counters, "FORM", 3)
        assert json.loads("".join(ledger.to_text())) == {**stamp(3, 1), "totals": {}, "looks": {}}
    ledger.take(BRIDGE, [count(1, 10), count(2, 5), count(3, 1)], NAMES, 1.0)
    ledger.take(other, [count(1, 7)], NAMES, 1.0)
    totals, looks = {**ledger.totals}, {bridge: {**look} for bridge, look in ledger.looks.items()}
    text = ledger.to_text()
    first = next(text)
    ledger.looks[BRIDGE].clear()
    del ledger.looks[other]
    again = Ledger()
    again.restore(json.loads(first + "".join(text)), [BRIDGE, other])
    assert (again.totals, again.looks) == (totals, looks)


def test_when_bridges_were_forgotten_is_known_of_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MOST_LEFT", 2)
    ledger = Ledger()
    for number in range(4):
        bridge = BridgeKey(HostName(f"hv{number}"), BridgeName("br-int"))
        ledger.take(bridge, [count(1, 1)], NAMES, 0.0)
        ledger.forget(bridge, float(number))
    assert list(ledger.left.values()) == [2.0, 3.0]


class Bridge:
    """A session that notes what it is asked, and answers questions for counters when it is told to."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.answer = asyncio.Event()

    def allowance(self) -> Allowance:
        return Allowance(1000)

    async def read_counts(
        self,
        asked: Sequence[bytes],
        sent: Callable[[], object] | None = None,
        allowance: Allowance | None = None,
    ) -> list[FlowCount]:
        self.said.append(f"asked {len(asked)}")
        if sent is not None:
            sent()
        await self.answer.wait()
        self.said.append("answered")
        return [count(1, 3)]


def test_a_change_waits_until_what_its_rules_counted_is_asked_for_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []

    async def scene() -> list[str]:
        bridge = Bridge()

        async def change(session: Any, *_: Any) -> None:
            session.said.append("changed")

        monkeypatch.setattr(bundle, "apply_plan", change)
        link = SessionLink(bridge)  # type: ignore[arg-type]

        async def look(cookies: frozenset[int]) -> None:
            await asyncio.sleep(0)
            looked.extend(one.packets for one in await link.read_counts(cookies))

        link.before_rules_go = look
        gone = count(1, 0)
        delta = Delta((), (gone.key,), (gone.cookie,))
        await link.change(Change(delta), Plan((), frozenset()))
        assert bridge.said == ["asked 1", "changed"]
        bridge.answer.set()
        while not looked:
            await asyncio.sleep(0)
        return bridge.said

    assert asyncio.run(scene()) == ["asked 1", "changed", "answered"]
    assert looked == [3]
