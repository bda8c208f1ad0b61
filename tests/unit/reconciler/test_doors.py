"""Places to connect to are open before anything else, or not at all."""

from __future__ import annotations

import socket

import pytest

from zonewall.errors import AdmissionError, ZonewallError
from zonewall.reconciler.doors import open_doors
from zonewall.store.options import Options


def test_who_connects_before_the_controller_is_ready_waits() -> None:
    doors = open_doors(Options(openflow=("tcp:127.0.0.1:0",), ovsdb=("tcp:[::1]:0",)))

    for door in (*doors.openflow, *doors.ovsdb):
        with door.listening, socket.create_connection(door.listening.getsockname()[:2]) as waiting:
            waiting.sendall(b"hello")
            accepted, _ = door.listening.accept()
            with accepted:
                assert accepted.recv(5) == b"hello"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("tcp:192.0.2.1:6653", "plain TCP beyond loopback"),
        ("ssl:127.0.0.1:6653", "no certificates"),
        ("tcp:bridges.example:6653", "is no IP address"),
    ],
)
def test_what_may_not_be_listened_on_is_refused_and_the_others_are_closed(place: str, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    with pytest.raises(ZonewallError, match=said):
        open_doors(Options(openflow=(f"tcp:127.0.0.1:{port}", place)))

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_place_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"tcp:127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(ZonewallError, match=f"{place}: cannot be listened on") as refused:
            open_doors(Options(openflow=(place,)))

        assert not isinstance(refused.value, AdmissionError)
