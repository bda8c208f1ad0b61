"""A switch that lies: answers without end, a flood of packets, a stolen name; others are served meanwhile."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.dummy import DummySwitch
from support.hostile_switch import message
from support.openflow_bridge import ListenerUnderTest, connected, listening
from support.whole_controller import one_bridge, whole_controller
from zonewall.openflow.errors import SessionClosed
from zonewall.openflow.events import BridgeUp, ConnectionRefused, PacketIn
from zonewall.openflow.gentle import GentleReader
from zonewall.openflow.messages import flow_desc_body
from zonewall.openflow.session import Session
from zonewall.openflow.waiting import Limits

pytestmark = pytest.mark.ovs
ROLE, BARRIER, MULTIPART, FLOWS, GROUPS = 24, 20, 18, 1, 7
PACKET = struct.pack("!II", 0x2320, 30) + struct.pack("!HH4s", 7, 5, b"\x01") + struct.pack("!HH4x", 0, 8)


async def read_counts(session: Session) -> object:
    return await session.read_counts((flow_desc_body(0, 0),))


class Liar(threading.Thread):
    """Introduces itself as a bridge, answers what a session asks at first, and then lies."""

    def __init__(self, port: int, datapath_id: int) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.datapath_id = datapath_id
        self.parts_sent = 0
        self.is_endless = True
        self.instructions = b""

    def run(self) -> None:
        hello = message(0, 1, struct.pack("!HHI", 1, 8, 1 << 6))
        with contextlib.suppress(OSError), self.socket:
            self.socket.sendall(hello)
            waiting = b""
            while data := self.socket.recv(65536):
                waiting += data
                while len(waiting) >= 8 and len(waiting) >= (size := int.from_bytes(waiting[2:4], "big")):
                    whole, waiting = waiting[:size], waiting[size:]
                    self.answer(whole[1], int.from_bytes(whole[4:8], "big"), whole[8:])

    def answer(self, kind: int, xid: int, body: bytes) -> None:
        if kind == 5:
            features = struct.pack("!QIBB2xII", self.datapath_id, 0, 254, 0, 0, 0)
            self.socket.sendall(message(6, xid, features))
        elif kind in (ROLE, BARRIER):
            self.socket.sendall(message(kind + 1, xid, body))
        elif kind == MULTIPART and body[1] not in (FLOWS, GROUPS):
            self.socket.sendall(message(MULTIPART + 1, xid, struct.pack("!HH4x", body[1], 0)))
        elif kind == MULTIPART:
            content = self.flows() if body[1] == FLOWS else struct.pack("!HBxIHH4x", 16, 0, 1, 0, 0) * 3000
            while True:
                answer = struct.pack("!HH4x", body[1], self.is_endless) + content
                self.socket.sendall(message(MULTIPART + 1, xid, answer))
                self.parts_sent += 1
                if not self.is_endless:
                    return

    def flows(self) -> bytes:
        """Return a part full of flows."""
        match = struct.pack("!HH4x", 1, 4)
        stats = struct.pack("!HH4x", 0, 4)
        size = 40 + len(self.instructions)
        one = struct.pack("!HxxBxHHHHHQ", size, 3, 1, 0, 0, 0, 0, 5) + match + stats + self.instructions
        return one * (60_040 // size)


@contextlib.contextmanager
def liar(bridge: ListenerUnderTest, datapath_id: int = 0x666) -> Iterator[Liar]:
    lying = Liar(bridge.listener.port, datapath_id)
    lying.start()
    try:
        yield lying
    finally:
        with contextlib.suppress(OSError):
            lying.socket.shutdown(socket.SHUT_RDWR)
        lying.join(10.0)


@pytest.mark.parametrize(
    "ask", [Session.read_flows, Session.fingerprint, read_counts], ids=["flows", "fingerprint", "counters"]
)
def test_an_answer_without_end_is_cut_off_at_the_flows_that_a_bridge_may_hold(
    ask: Callable[[Session], Coroutine[Any, Any, object]],
) -> None:
    with listening(limits=Limits(max_flows=8000)) as controller, liar(controller) as lying:
        controller.until(BridgeUp)
        with pytest.raises(SessionClosed, match="more than 8000 flows"):
            controller.run(ask(controller.session))
        lying.join(10.0)
        assert lying.parts_sent * 1501 < 400_000


def test_an_answer_in_pieces_is_cut_off_at_the_same_bound() -> None:
    """Each piece is small; what they are together is not."""
    sizes = {(cookie, 1): 500 for cookie in range(20)}
    with listening(limits=Limits(max_flows=8000)) as controller, liar(controller) as lying:
        lying.is_endless = False
        controller.until(BridgeUp)
        with pytest.raises(SessionClosed, match="more than 8000 flows"):
            controller.run(GentleReader(controller.session).read_counts_of(sizes))


def test_an_answer_of_few_but_huge_flows_is_cut_off_by_its_bytes() -> None:
    with listening(limits=Limits(max_flows=1000)) as controller, liar(controller) as lying:
        lying.instructions = struct.pack("!HH4x", 4, 60_000) + bytes(59_992)
        controller.until(BridgeUp)
        with pytest.raises(SessionClosed, match="flows of more than 512000 bytes"):
            controller.run(controller.session.read_flows())


def test_an_answer_about_something_else_has_a_bound_of_its_own() -> None:
    with listening(limits=Limits(max_reply_bytes=100_000)) as controller, liar(controller):
        controller.until(BridgeUp)
        with pytest.raises(SessionClosed, match="longer than 100000 bytes"):
            controller.run(controller.session.read_groups())


def test_a_bridge_that_shows_more_than_its_budget_is_for_is_cut_and_status_says_why(tmp_path: Path) -> None:
    policies = one_bridge(tmp_path / "policies", **{"flow-budget": 500})
    with whole_controller(policies, tmp_path / "state") as (whole, remote):
        lying = Liar(int(remote.rpartition(":")[2]), 0xA1)
        lying.start()
        row = whole.until(lambda row: row["error"])
        lying.join(10.0)
        assert row["error"] == "the bridge shows more than 11000 flows: its flow-budget is for fewer"
        assert not row["flows"]


def test_a_flood_of_packets_from_one_bridge_leaves_the_others_served(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        honest = bridge.session
        with liar(bridge) as lying:
            bridge.until(BridgeUp)
            flood = threading.Thread(target=_flood, args=(lying.socket,), daemon=True)
            flood.start()
            bridge.until(PacketIn, lambda packet: packet.datapath_id == 0x666)
            assert bridge.run(honest.is_alive(10.0))
            assert bridge.run(honest.read_flows()) == {}
        flood.join(10.0)


def _flood(victim: socket.socket) -> None:
    packets = message(4, 0, PACKET) * 1000
    with contextlib.suppress(OSError):
        while True:
            victim.sendall(packets)


def test_a_stolen_datapath_id_is_refused_while_its_owner_is_connected(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch, datapath_id=0xA1) as bridge:
        owner = bridge.session
        with liar(bridge, 0xA1):
            assert "is connected with this datapath id already" in bridge.until(ConnectionRefused).reason
        assert bridge.session is owner
        assert bridge.run(owner.is_alive())
