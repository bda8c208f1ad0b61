"""A switch that lies: answers without end, a flood of packets, a stolen name; others are served meanwhile."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from support.dummy import DummySwitch
from support.openflow_bridge import ListenerUnderTest, connected, listening
from zonewall.openflow.errors import SessionClosed
from zonewall.openflow.events import BridgeUp, ConnectionRefused, PacketIn
from zonewall.openflow.waiting import Limits

pytestmark = pytest.mark.ovs
ROLE, BARRIER, MULTIPART, FLOWS, PORTS = 24, 20, 18, 1, 13
PACKET = struct.pack("!II", 0x2320, 30) + struct.pack("!HH4s", 7, 5, b"\x01") + struct.pack("!HH4x", 0, 8)


def message(kind: int, xid: int, body: bytes = b"") -> bytes:
    return struct.pack("!BBHI", 6, kind, 8 + len(body), xid) + body


class Liar(threading.Thread):
    """Introduces itself as a bridge, answers what a session asks at first, and then lies."""

    def __init__(self, port: int, datapath_id: int) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.datapath_id = datapath_id
        self.parts_sent = 0

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
        elif kind == MULTIPART and body[1] == PORTS:
            self.socket.sendall(message(MULTIPART + 1, xid, struct.pack("!HH4x", PORTS, 0)))
        elif kind == MULTIPART and body[1] == FLOWS:
            part = message(MULTIPART + 1, xid, struct.pack("!HH4x", FLOWS, 1) + self.flows())
            while True:
                self.socket.sendall(part)
                self.parts_sent += 1

    def flows(self) -> bytes:
        """Return a part full of flows."""
        match = struct.pack("!HH4x", 1, 4)
        stats = struct.pack("!HH4x", 0, 4)
        one = struct.pack("!HxxBxHHHHHQ", 40, 3, 1, 0, 0, 0, 0, 5) + match + stats
        return one * 1500


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


def test_an_answer_without_end_is_cut_off_at_a_bound() -> None:
    limits = Limits(max_reply_bytes=4 * 1024 * 1024)
    with listening(limits=limits) as controller, liar(controller) as lying:
        controller.until(BridgeUp)
        with pytest.raises(SessionClosed, match="longer than 4194304 bytes"):
            controller.run(controller.session.read_flows())
        lying.join(10.0)
        assert lying.parts_sent * 60_000 < 16 * 1024 * 1024


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
