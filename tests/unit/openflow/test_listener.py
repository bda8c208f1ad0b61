"""How much a listener bears of all strangers, and of all bridges, together."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from support.hostile_switch import hostile_switch
from support.openflow_bridge import ListenerUnderTest, listening
from zonewall.openflow.events import BridgeUp, ConnectionRefused
from zonewall.openflow.waiting import Limits


def half_open(controller: ListenerUnderTest, address: str) -> socket.socket:
    """Connect from an address of loopback, and say nothing."""
    place = ("127.0.0.1", controller.listener.port)
    return socket.create_connection(place, timeout=20, source_address=(address, 0))


def test_where_too_many_are_half_open_the_oldest_of_who_has_most_makes_room() -> None:
    limits = Limits(handshake_s=60.0)
    with listening(max_half_open=4, limits=limits) as controller, ExitStack() as stack:
        crowd = [stack.enter_context(half_open(controller, "127.0.0.2")) for _ in range(3)]
        others = [stack.enter_context(half_open(controller, f"127.0.0.{last}")) for last in (3, 4)]
        refused = controller.until(ConnectionRefused)
        assert refused.peer_address == f"127.0.0.2:{crowd[0].getsockname()[1]}"
        assert "too many connections" in refused.reason
        for one in [*crowd[1:], *others]:
            one.setblocking(False)
            greeting = controller.run(controller.loop.sock_recv(one, 2))
            assert greeting == b"\x06\x00", "it is served still"


def test_beyond_so_many_bridges_none_is_let_in() -> None:
    with listening(max_sessions=1) as controller:
        place = ("127.0.0.1", controller.listener.port)
        with hostile_switch(place, 0xA1):
            controller.until(BridgeUp)
            with hostile_switch(place, 0xA2):
                assert controller.until(ConnectionRefused).reason == "too many bridges are connected"
            assert list(controller.listener.sessions) == [0xA1]
