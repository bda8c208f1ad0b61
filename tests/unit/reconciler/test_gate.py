"""What waits of each who tells is bounded: some is dropped, of the rest no more is read for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zonewall.openflow.events import (
    BridgeUp,
    ConnectionRefused,
    Event,
    FlowsChanged,
    FlowUpdate,
    PacketIn,
    Port,
    PortChange,
    PortChanged,
    SwitchError,
)
from zonewall.placement.observations import HostRefused, Observation, PortGone
from zonewall.reconciler.gate import MOST_SOURCES, MOST_WAITING, Gate, bridge_source
from zonewall.values.names import BridgeName, HostName

ONE, OTHER = 0xA1, 0xA2


class Waiting:
    """An inbox whose events wait until they are done by hand."""

    def __init__(self, most_sources: int = MOST_SOURCES) -> None:
        self.actions: list[Callable[[], object]] = []
        self.taken: list[Event | Observation] = []
        self.gate = Gate(self, self.taken.append, self.taken.append, most_sources)

    def post(self, action: Callable[[], object], source: str = "") -> None:
        self.actions.append(action)

    def work(self, count: int) -> None:
        for action in self.actions[:count]:
            action()
        del self.actions[:count]


def frame(datapath_id: int) -> PacketIn:
    return PacketIn(datapath_id, 0, 0, b"\x01", 1, (), 0, 60, bytes(60))


def port(datapath_id: int, number: int = 1) -> PortChanged:
    return PortChanged(datapath_id, PortChange.MODIFIED, Port(number, "p", 1, True))


def test_frames_and_errors_beyond_the_bound_are_dropped_and_counted_for_that_bridge_alone() -> None:
    waiting = Waiting()
    gate = waiting.gate
    for _ in range(MOST_WAITING + 5):
        gate.bridge_event(frame(ONE))
    gate.bridge_event(SwitchError(ONE, 1, 2, 3))
    gate.bridge_event(frame(OTHER))
    assert gate.of_bridge(ONE) == {"waiting": MOST_WAITING, "most_waiting": MOST_WAITING, "dropped": 6}
    assert gate.of_bridge(OTHER) == {"waiting": 1, "most_waiting": 1, "dropped": 0}
    waiting.work(MOST_WAITING + 1)
    gate.bridge_event(frame(ONE))
    assert gate.of_bridge(ONE)["waiting"] == 1
    assert gate.status() == {"waiting": 1, "most_waiting": MOST_WAITING, "dropped": 6}


def test_what_has_to_be_taken_is_never_dropped_and_its_bridge_is_read_again_when_half_is_done() -> None:
    async def scene() -> None:
        waiting = Waiting()
        gate = waiting.gate
        assert gate.room_for(ONE) is None
        for number in range(MOST_WAITING + 5):
            gate.bridge_event(port(ONE, number))
        assert gate.of_bridge(ONE)["dropped"] == 0
        assert gate.room_for(OTHER) is None
        room = gate.room_for(ONE)
        assert room is not None
        pause = asyncio.ensure_future(room)
        waiting.work(MOST_WAITING // 2)
        await asyncio.sleep(0)
        assert not pause.done()
        waiting.work(5)
        await asyncio.wait_for(pause, 20)
        waiting.work(MOST_WAITING)
        assert [one.port.number for one in waiting.taken if isinstance(one, PortChanged)] == list(
            range(MOST_WAITING + 5)
        )

    asyncio.run(scene())


def test_what_tells_of_much_at_once_weighs_as_much() -> None:
    gate = Waiting().gate
    gate.bridge_event(FlowsChanged(ONE, (FlowUpdate(None, 0),) * MOST_WAITING))
    gate.bridge_event(BridgeUp(OTHER, "127.0.0.1:1", (Port(1, "p", 1, True),) * MOST_WAITING))
    for datapath_id in (ONE, OTHER):
        room = gate.room_for(datapath_id)
        assert room is not None
        room.close()  # type: ignore[attr-defined]  # a coroutine that nobody waits for


def test_a_host_is_full_when_so_much_of_its_database_waits_and_not_for_long() -> None:
    waiting = Waiting()
    gate = waiting.gate
    for _ in range(MOST_WAITING):
        assert not gate.is_full("hv1")
        gate.observed(PortGone(HostName("hv1"), BridgeName("br0"), "p1", 0.0))
    assert gate.is_full("hv1")
    assert not gate.is_full("hv2")
    waiting.work(1)
    assert not gate.is_full("hv1")


def test_those_who_are_refused_take_no_more_room_than_one_bridge() -> None:
    waiting = Waiting()
    for number in range(MOST_WAITING):
        waiting.gate.bridge_event(ConnectionRefused(f"10.0.0.1:{number}", number, "no"))
        waiting.gate.observed(HostRefused(f"10.0.{number}.1", "no", 0.0))
    assert waiting.gate.status() == {
        "waiting": MOST_WAITING, "most_waiting": MOST_WAITING, "dropped": MOST_WAITING,
    }  # fmt: skip


def test_a_source_is_forgotten_but_not_in_the_sum_of_all_once_nothing_of_it_waits() -> None:
    waiting = Waiting()
    gate = waiting.gate
    for _ in range(MOST_WAITING + 5):
        gate.bridge_event(frame(ONE))
    waiting.work(MOST_WAITING - 1)
    for dropped in (5, 0):
        gate.forget(bridge_source(ONE))
        assert gate.of_bridge(ONE)["dropped"] == dropped
        waiting.work(1)
    assert gate.status() == {"waiting": 0, "most_waiting": MOST_WAITING, "dropped": 5}


def test_of_bridges_that_come_as_another_one_each_time_few_are_remembered_and_all_are_counted() -> None:
    waiting = Waiting(most_sources=10)
    for _ in range(MOST_WAITING + 1):
        waiting.gate.bridge_event(frame(ONE))
    waiting.work(MOST_WAITING)
    waiting.gate.bridge_event(frame(OTHER))
    for number in range(100):
        waiting.gate.bridge_event(frame(1000 + number))
        waiting.work(2)
    assert len(waiting.gate._lines) <= 10
    assert waiting.gate.status() == {"waiting": 0, "most_waiting": MOST_WAITING, "dropped": 1}
