"""A controller at work on a large load of one bridge answers the echoes of another."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import Iterator

import pytest

from support.dummy import DummySwitch, running_dummy_switch
from support.hostile_switch import message
from support.openflow_bridge import ListenerUnderTest, connected
from zonewall.flows.diff import diff_state
from zonewall.flows.encoded import BridgeState
from zonewall.flows.staging import plan
from zonewall.flows.wire import encode_program
from zonewall.openflow.events import BridgeUp
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.cookie import Category, cookie
from zonewall.pipeline.model import BridgeProgram, Flow
from zonewall.pipeline.registers import RULE
from zonewall.pipeline.tables import VERDICT_TABLE
from zonewall.reconciler.link import SessionLink

pytestmark = pytest.mark.ovs
FLOWS = 50_000
EVERY_S = 0.02
PART = 4
"""An echo may take so little of the load's own time: what is done in one go takes half of that or more."""
HELLO, ECHO_REQUEST, ECHO_REPLY, FEATURES, PORTS = 0, 2, 3, 5, 13
EMPTY = BridgeState({}, {}, {})


class Asking:
    """A small bridge of few words, on the test's own loop, that asks for an echo every 20 ms."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._asked: dict[int, float] = {}
        self.took: list[float] = []
        self.load_s = 0.0

    async def ask(self) -> None:
        xid = 1000
        while True:
            xid += 1
            self._asked[xid] = time.monotonic()
            self._writer.write(message(ECHO_REQUEST, xid, b"there?"))
            await asyncio.sleep(EVERY_S)

    async def listen(self) -> None:
        self._writer.write(message(HELLO, 1, struct.pack("!HHI", 1, 8, 1 << 6)))
        while True:
            head = await self._reader.readexactly(8)
            _, kind, size, xid = struct.unpack("!BBHI", head)
            body = await self._reader.readexactly(size - 8)
            if kind == ECHO_REPLY:
                self.took.append(time.monotonic() - self._asked.pop(xid))
            elif kind == FEATURES:
                self._writer.write(message(6, xid, struct.pack("!QIBB2xII", 0x777, 0, 254, 0, 0, 0)))
            elif kind in (20, 24):
                self._writer.write(message(kind + 1, xid, body))
            elif kind == 18 and body[1] == PORTS:
                self._writer.write(message(19, xid, struct.pack("!HH4x", PORTS, 0)))


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DummySwitch]:
    with running_dummy_switch(tmp_path_factory.mktemp("switch") / "run") as running:
        yield running


@pytest.fixture
def bridge(switch: DummySwitch) -> Iterator[ListenerUnderTest]:
    with connected(switch) as bridge:
        yield bridge


def large() -> BridgeState:
    flows = [
        Flow(
            VERDICT_TABLE,
            1,
            ((pf.ETH_TYPE, 0x0800, None), (RULE, number, None)),
            (),
            cookie(Category.RULE, 1 + number // 100),
        )
        for number in range(1, FLOWS + 1)
    ]
    return encode_program(BridgeProgram(tuple(flows)))


def test_echoes_are_answered_while_50_000_flows_are_sent_read_back_and_removed(
    bridge: ListenerUnderTest,
) -> None:
    wanted = large()
    link = SessionLink(bridge.session)

    async def load() -> None:
        change = diff_state(EMPTY, wanted)
        await link.change(change, plan(change, {}, wanted.flows))
        assert len((await link.read_state((wanted,))).flows) == FLOWS
        change = diff_state(wanted, EMPTY)
        await link.change(change, plan(change, wanted.flows, {}, large=FLOWS))

    async def work() -> Asking:
        reader, writer = await asyncio.open_connection("127.0.0.1", bridge.listener.port)
        asking = Asking(reader, writer)
        listening = asyncio.create_task(asking.listen())
        while not any(isinstance(event, BridgeUp) for event in bridge.events):
            await asyncio.sleep(0.01)
        asks = asyncio.create_task(asking.ask())
        begun = time.monotonic()
        await load()
        asking.load_s = time.monotonic() - begun
        await asyncio.sleep(0.2)
        for task in (asks, listening):
            task.cancel()
        await asyncio.gather(asks, listening, return_exceptions=True)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return asking

    asking = bridge.run(work())
    assert len(asking.took) > 20
    print(f"\nlongest echo {max(asking.took):.2f} s of a load of {asking.load_s:.2f} s")
    assert max(asking.took) < asking.load_s / PART
