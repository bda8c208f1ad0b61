"""Who may have a session: strangers, impostors, babblers and crowds are refused, and keep no bridge out."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.dummy import DummySwitch
from support.openflow_bridge import EMPTY, connected, listening, rules
from zonewall.errors import AdmissionError
from zonewall.flows.diff import diff_state
from zonewall.openflow.bundle import apply
from zonewall.openflow.door import Admission
from zonewall.openflow.events import (
    BridgeUp,
    ConnectionRefused,
)
from zonewall.openflow.listener import Listener, ListenerOptions
from zonewall.openflow.waiting import Limits

pytestmark = pytest.mark.ovs


def test_a_bridge_without_openflow_1_5_is_told_what_is_missing(dummy_switch: DummySwitch) -> None:
    with listening() as controller:
        dummy_switch.add_bridge("br-int")
        dummy_switch.vsctl("set", "bridge", "br-int", "protocols=OpenFlow10,OpenFlow13")
        dummy_switch.vsctl("set-controller", "br-int", controller.remote)
        refused = controller.until(ConnectionRefused)
        assert "speaks OpenFlow 1.0, 1.3; OpenFlow 1.5 is missing: run `ovs-vsctl" in refused.reason


def test_a_bridge_that_the_inventory_does_not_know_is_refused(dummy_switch: DummySwitch) -> None:
    with listening(admit=lambda *_: Admission(False, "no such bridge in the inventory")) as controller:
        dummy_switch.add_bridge("br-int", datapath_id=0xBAD, controller=controller.remote)
        refused = controller.until(ConnectionRefused)
        assert refused.datapath_id == 0xBAD
        assert "no such bridge in the inventory" in refused.reason
        assert controller.listener.sessions == {}


def test_a_second_bridge_of_the_same_datapath_id_is_refused_while_the_first_lives(
    dummy_switch: DummySwitch, tmp_path: Path
) -> None:
    with connected(dummy_switch) as controller:
        impostor = DummySwitch(tmp_path / "other", "hv2")
        try:
            impostor.start()
            impostor.add_bridge("br-int", datapath_id=0xA1, controller=controller.remote)
            refused = controller.until(ConnectionRefused)
        finally:
            impostor.close()
        assert "connected with this datapath id already" in refused.reason
        assert controller.run(controller.session.is_alive())


def test_an_older_controller_does_not_take_the_bridge_back(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as newer, listening() as older:
        older.listener.generation_id = 0
        dummy_switch.vsctl("set-controller", "br-int", newer.remote, older.remote)
        refused = older.until(ConnectionRefused)
        assert "another controller has a newer generation" in refused.reason


def test_plain_tcp_is_for_loopback_only() -> None:
    with pytest.raises(AdmissionError, match=r"192\.0\.2\.1:6653: OpenFlow without TLS"):
        Listener(ListenerOptions("192.0.2.1", 6653, 1), lambda *_: Admission(True), lambda _: None)


def _hello_and_features(datapath_id: int) -> bytes:
    hello = struct.pack("!BBHIHHI", 6, 0, 16, 1, 1, 8, 1 << 6)
    return hello + struct.pack("!BBHIQIBBHII", 6, 6, 32, 2, datapath_id, 0, 254, 0, 0, 0, 0)


def test_garbage_on_one_connection_does_not_touch_another(dummy_switch: DummySwitch) -> None:
    with connected(dummy_switch) as bridge:
        session = bridge.session

        @given(
            st.booleans(),
            st.lists(
                st.binary(max_size=80)
                | st.builds(
                    lambda kind, body: struct.pack("!BBHI", 6, kind, 8 + len(body), 1) + body,
                    st.integers(0, 40),
                    st.binary(max_size=120),
                ),
                max_size=4,
            ),
        )
        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        def check(introduces_itself: bool, words: list[bytes]) -> None:
            with socket.create_connection(("127.0.0.1", bridge.listener.port)) as hostile:
                hostile.sendall((_hello_and_features(0x666) if introduces_itself else b"") + b"".join(words))
                hostile.shutdown(socket.SHUT_WR)
                bridge.pause(0.01)
            bridge.until(ConnectionRefused)
            assert bridge.listener.sessions == {0xA1: session}

        check()
        bridge.run(apply(session, diff_state(EMPTY, rules(10))))
        assert len(bridge.run(session.read_flows())) == 10


def test_who_says_nothing_is_cut_after_the_deadline() -> None:
    limits = Limits(handshake_s=0.3)
    with (
        listening(limits=limits) as controller,
        socket.create_connection(("127.0.0.1", controller.listener.port)),
    ):
        assert controller.until(ConnectionRefused).reason == "no OpenFlow within 0.3 s"


def test_the_oldest_half_open_connection_of_an_address_makes_room_for_the_next() -> None:
    with listening(max_half_open_of_one=2) as controller:
        peers = [socket.create_connection(("127.0.0.1", controller.listener.port)) for _ in range(3)]
        refused = controller.until(ConnectionRefused)
        assert refused.reason == "too many connections are being opened"
        assert refused.peer_address == "{}:{}".format(*peers[0].getsockname())
        for peer in peers:
            peer.close()


def test_thousands_of_half_open_connections_keep_no_bridge_out(dummy_switch: DummySwitch) -> None:
    """From the bridge's own address, and from others; memory and descriptors stay bounded."""
    with listening() as controller:
        port = controller.listener.port
        peers: list[socket.socket] = []

        def crowd(count: int) -> None:
            for number in range(count):
                peer = socket.socket()
                peer.setblocking(False)
                peer.bind((f"127.0.0.{1 + number % 4}", 0))
                peer.connect_ex(("127.0.0.1", port))
                peers.append(peer)
                if number % 50 == 0:
                    controller.pause(0.02)
                for old in peers[:-400]:
                    old.close()
                del peers[:-400]

        crowd(2000)
        dummy_switch.add_bridge("br-int", controller=controller.remote)
        crowd(200)
        controller.until(BridgeUp)
        crowd(1000)
        controller.run(apply(controller.session, diff_state(EMPTY, rules(10))))
        assert len(controller.run(controller.session.read_flows())) == 10
        assert len(controller.listener._connections) < 100
        for peer in peers:
            peer.close()
