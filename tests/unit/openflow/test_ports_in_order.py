"""Which ports a bridge has is told before what became of them, also where both come at once."""

from __future__ import annotations

import asyncio
import struct

import pytest

from support.hostile_switch import PORT_DESC, HostileSwitch, message, port_status
from support.openflow_bridge import admit_all
from zonewall.openflow.errors import Malformed
from zonewall.openflow.events import BridgeUp, Event, Port, PortChange, PortChanged
from zonewall.openflow.in_order import PortsInOrder
from zonewall.openflow.listener import Listener, ListenerOptions
from zonewall.openflow.messages import MULTIPART_REPLY

DATAPATH_ID = 0xA1
TAP = Port(5, "tap", 5, True)


def changed(change: PortChange, name: str = "tap") -> PortChanged:
    return PortChanged(DATAPATH_ID, change, Port(5, name, 5, True))


def test_of_each_port_the_last_change_waits_and_later_ones_do_not() -> None:
    told: list[Event] = []
    take = PortsInOrder(told.append, 2)
    up = BridgeUp(DATAPATH_ID, "peer", (TAP,))
    for event in (changed(PortChange.ADDED), changed(PortChange.ADDED, "other"), changed(PortChange.DELETED)):
        take(event)
    assert told == []
    with pytest.raises(Malformed):
        take(changed(PortChange.ADDED, "a third"))
    take(up)
    assert told[:3] == [up, changed(PortChange.ADDED, "other"), changed(PortChange.DELETED)]
    take(changed(PortChange.MODIFIED))
    assert told[-1] == changed(PortChange.MODIFIED)


class Hasty(HostileSwitch):
    """It tells that its port has gone in the same breath in which it names it."""

    def _answer(self, asked: bytes) -> bool:
        xid, body = int.from_bytes(asked[4:8], "big"), asked[8:]
        if asked[1] != MULTIPART_REPLY - 1 or int.from_bytes(body[:2], "big") != PORT_DESC:
            return super()._answer(asked)
        port = port_status(5, "tap")[16:]
        named = message(MULTIPART_REPLY, xid, struct.pack("!HH4x", PORT_DESC, 0) + port)
        self._socket.sendall(named + port_status(5, "tap", change=1))
        return False


def test_a_port_that_goes_right_behind_the_answer_is_gone() -> None:
    async def scene() -> list[Event]:
        events: list[Event] = []
        listener = Listener(ListenerOptions("127.0.0.1", 0, 1), admit_all, events.append)
        await listener.start()
        switch = Hasty(("127.0.0.1", listener.port), DATAPATH_ID, b"")
        try:
            async with asyncio.timeout(40):
                while len(events) < 2:
                    await asyncio.sleep(0.01)
        finally:
            await asyncio.to_thread(switch.end)
            await listener.stop()
        return events

    up, gone, *_ = asyncio.run(scene())
    assert isinstance(up, BridgeUp)
    assert [port.name for port in up.ports] == ["tap"]
    assert isinstance(gone, PortChanged)
    assert gone.change is PortChange.DELETED
