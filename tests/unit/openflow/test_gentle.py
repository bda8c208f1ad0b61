"""A bridge of many flows is read in pieces; what is put while it is read is found by the next reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.openflow import gentle
from zonewall.openflow.gentle import GentleReader
from zonewall.openflow.messages import flow_desc_body

LARGE, SMALL = 1, 2
OURS = [EncodedFlow(LARGE, number, b"", b"", 0x5A57) for number in range(10)]
SIZES = {(0x5A57, LARGE): len(OURS)}
FIRST, SECOND = (EncodedFlow(LARGE, 60_000, b"", b"", 0x77), EncodedFlow(LARGE, 60_001, b"", b"", 0x78))
ROWS = [EncodedFlow(SMALL, number, b"", b"", 0x79) for number in range(2)]


class Bridge:
    """A session with a bridge whose large table counts ``hidden`` flows more than any answer shows.

    Attributes:
        whole: tables that were asked for as a whole.
        pieces: how often some of its flows were asked for.
    """

    def __init__(self, hidden: int = 0) -> None:
        self.flows = {flow.key: flow for flow in OURS}
        self.hidden = hidden
        self.whole: list[int] = []
        self.pieces = 0
        self.after_a_piece: Callable[[], None] = lambda: None
        self.after_a_table: Callable[[], None] = lambda: None

    def put(self, flow: EncodedFlow) -> None:
        self.flows[flow.key] = flow

    def allowance(self) -> None:
        """Allow everything."""

    async def count_flows(self) -> Counter[int]:
        return Counter([*(key.table for key in self.flows), *(LARGE for _ in range(self.hidden))])

    async def read_flows_of(self, asked: Iterable[bytes], **_: object) -> dict[FlowKey, EncodedFlow]:
        bodies = set(asked)
        tables = {table for table in (LARGE, SMALL) if flow_desc_body(0, 0, table) in bodies}
        found = {
            key: flow
            for key, flow in self.flows.items()
            if key.table in tables or flow_desc_body(flow.cookie, gentle.EXACTLY) in bodies
        }
        self.whole += tables
        self.pieces += not tables
        (self.after_a_table if tables else self.after_a_piece)()
        return found


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gentle, "MANY", 5)


@pytest.mark.asyncio
@pytest.mark.parametrize("hidden", [0, 3])
async def test_what_is_put_while_all_is_read_is_found_by_the_next_reading(hidden: int) -> None:
    bridge = Bridge(hidden)
    reader = GentleReader(bridge)  # type: ignore[arg-type]
    bridge.put(FIRST)
    bridge.after_a_table = lambda: bridge.put(SECOND)
    assert SECOND.key not in await reader.read_flows(SIZES)
    known = {**SIZES, (FIRST.cookie, LARGE): 1}
    assert {FIRST.key, SECOND.key} <= (await reader.read_flows(known)).keys()
    del bridge.flows[FIRST.key], bridge.flows[SECOND.key]
    bridge.after_a_table = lambda: pytest.fail("all were read, though nothing was unknown")
    assert (await reader.read_flows(SIZES)).keys() == {flow.key for flow in OURS}


@pytest.mark.asyncio
async def test_rows_that_a_bridge_makes_have_only_their_own_table_read_whole() -> None:
    bridge = Bridge()
    reader = GentleReader(bridge)  # type: ignore[arg-type]
    for row in ROWS:
        bridge.put(row)
    bridge.after_a_piece = lambda: bridge.flows.pop(ROWS[0].key, None) and None
    assert (await reader.read_flows(SIZES)).keys() == {flow.key for flow in (*OURS, ROWS[1])}
    assert (bridge.whole, bridge.pieces) == ([SMALL], 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("before", [[], [FIRST]], ids=["comes", "goes"])
async def test_a_large_table_that_changes_while_it_is_read_is_read_in_pieces_again(
    before: list[EncodedFlow],
) -> None:
    bridge = Bridge()
    known = {**SIZES, (FIRST.cookie, LARGE): 1}
    for flow in before:
        bridge.put(flow)

    def change() -> None:
        if bridge.pieces == 1:
            bridge.flows.pop(FIRST.key) if before else bridge.put(FIRST)

    bridge.after_a_piece = change
    found = await GentleReader(bridge).read_flows(known)  # type: ignore[arg-type]
    assert found == bridge.flows
    assert (bridge.whole, bridge.pieces) == ([], 2)


@pytest.mark.asyncio
async def test_a_large_table_that_never_rests_is_read_whole_in_the_end() -> None:
    bridge = Bridge()
    upcoming = iter(range(100, 200))
    bridge.after_a_piece = lambda: bridge.put(EncodedFlow(LARGE, next(upcoming), b"", b"", 0x80))
    assert await GentleReader(bridge).read_flows(SIZES) == bridge.flows  # type: ignore[arg-type]
    assert (bridge.whole, bridge.pieces) == ([LARGE], 2)
