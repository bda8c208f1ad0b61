"""How much a listener bears of all strangers, and of all bridges, together."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Any

import pytest

from support.hostile_switch import hostile_switch
from support.openflow_bridge import ListenerUnderTest, listening
from zonewall.openflow.door import Admission
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


class SilentBefore:
    """The session that a datapath id has, silent; while its echo is waited for something changes."""

    peer_address, certificate_names = "127.0.0.2:1", None

    def __init__(self, change: Any) -> None:
        self._change = change
        self.closed: list[str] = []

    async def is_alive(self) -> bool:
        self._change()
        return False

    def close(self, reason: str) -> None:
        self.closed.append(reason)


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (Admission(False, "it must show hv2"), "not admitted: it must show hv2"),
        (Admission(True, known_as=0xA2), "the inventory has changed"),
    ],
    ids=["not admitted any more", "another bridge by now"],
)
def test_who_waits_for_the_one_before_is_judged_by_the_inventory_in_force_then(
    then: Admission, reason: str
) -> None:
    """Nor does the one before, which may be the true one, make room for it."""
    in_force = [Admission(True)]
    with listening(lambda *_: in_force[-1]) as controller:
        before: Any = SilentBefore(lambda: in_force.append(then))
        controller.listener.sessions[0xA1] = before
        with hostile_switch(("127.0.0.1", controller.listener.port), 0xA1):
            refused = controller.until(ConnectionRefused)
        assert reason in refused.reason
        assert controller.listener.sessions == {0xA1: before}
        assert before.closed == []


def test_who_is_let_in_still_after_the_wait_takes_the_place_of_one_that_was_silent() -> None:
    with listening() as controller:
        before: Any = SilentBefore(lambda: None)
        controller.listener.sessions[0xA1] = before
        before.close = lambda _: controller.listener.sessions.pop(0xA1)
        with hostile_switch(("127.0.0.1", controller.listener.port), 0xA1):
            controller.until(BridgeUp)
        assert controller.session.peer_address != before.peer_address


def test_who_is_no_longer_let_in_when_the_one_before_has_made_room_is_not() -> None:
    in_force = [Admission(True)]
    with listening(lambda *_: in_force[-1]) as controller:
        before: Any = SilentBefore(lambda: None)
        controller.listener.sessions[0xA1] = before
        before.close = lambda _: in_force.append(Admission(False, "it must show hv2"))
        with hostile_switch(("127.0.0.1", controller.listener.port), 0xA1):
            assert "it must show hv2" in controller.until(ConnectionRefused).reason
        assert controller.listener.sessions == {0xA1: before}
