"""A bridge of many flows is read in pieces; what is put while it is read is found by the next reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.openflow import gentle
from zonewall.openflow.gentle import GentleReader
from zonewall.openflow.messages import flow_desc_body

OURS = [EncodedFlow(1, number, b"", b"", 0x5A57) for number in range(10)]
SIZES = {(0x5A57, 1): len(OURS)}
FIRST, SECOND = (EncodedFlow(1, 60_000, b"", b"", 0x77), EncodedFlow(1, 60_001, b"", b"", 0x78))


class Bridge:
    """A session with a bridge whose tables count ``hidden`` flows more than any answer shows."""

    def __init__(self, hidden: int) -> None:
        self.flows = {flow.key: flow for flow in OURS}
        self.hidden = hidden
        self.after_reading_all: Callable[[], None] = lambda: None

    def put(self, flow: EncodedFlow) -> None:
        self.flows[flow.key] = flow

    def allowance(self) -> None:
        """Allow everything."""

    async def count_flows(self) -> int:
        return len(self.flows) + self.hidden

    async def read_flows(self) -> dict[FlowKey, EncodedFlow]:
        found = dict(self.flows)
        self.after_reading_all()
        return found

    async def read_flows_of(self, asked: Iterable[bytes], **_: object) -> dict[FlowKey, EncodedFlow]:
        bodies = set(asked)
        return {
            key: flow
            for key, flow in self.flows.items()
            if flow_desc_body(flow.cookie, gentle.EXACTLY) in bodies
        }


@pytest.mark.asyncio
@pytest.mark.parametrize("hidden", [0, 3])
async def test_what_is_put_while_all_is_read_is_found_by_the_next_reading(
    monkeypatch: pytest.MonkeyPatch, hidden: int
) -> None:
    monkeypatch.setattr(gentle, "MANY", 5)
    bridge = Bridge(hidden)
    reader = GentleReader(bridge)  # type: ignore[arg-type]
    bridge.put(FIRST)
    bridge.after_reading_all = lambda: bridge.put(SECOND)
    assert SECOND.key not in await reader.read_flows(SIZES)
    known = {**SIZES, (FIRST.cookie, 1): 1}
    assert {FIRST.key, SECOND.key} <= (await reader.read_flows(known)).keys()
    del bridge.flows[FIRST.key], bridge.flows[SECOND.key]
    bridge.after_reading_all = lambda: pytest.fail("all were read, though nothing was unknown")
    assert (await reader.read_flows(SIZES)).keys() == {flow.key for flow in OURS}
