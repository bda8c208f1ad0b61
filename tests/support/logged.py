"""Connections of logged rules: how tests make them, and the records that the controller writes of them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support.service_site import ServiceSite
from zonewall.api.control import ask

PATIENCE_S = 60.0

Record = dict[str, Any]


def rules(*more: dict[str, Any]) -> list[dict[str, Any]]:
    """Return rules of which two log what they allow, and one does not."""
    allowed = {"services": ["tcp/80", "udp/80"], "action": "allow"}
    return [
        {"name": "web", "from": "a1", "to": "b1", **allowed, "log": "connections"},
        {"name": "near", "from": "a1", "to": "a2", **allowed, "log": "connections"},
        {"name": "silent", "from": "a1", "to": "b2", **allowed},
        *more,
    ]  # fmt: skip


def records(site: ServiceSite, kind: str = "connection") -> list[Record]:
    """Return what the controller has written to its file of JSON lines."""
    text = site.records.read_text() if site.records.is_file() else ""
    lines = text.rpartition("\n")[0].splitlines()  # the last line may be under way
    return [found for line in lines if (found := json.loads(line))["kind"] == kind]


def of_port(site: ServiceSite, sport: int) -> list[Record]:
    """Return the records of the connections from a source port."""
    return [one for one in records(site) if one["details"]["source"].get("service") == sport]


def events(found: list[Record]) -> list[tuple[str, str, str | None]]:
    """Return which host said start or end, and how the end was known."""
    return [(one["host"], one["details"]["event"], one["details"].get("how")) for one in found]


def until(site: ServiceSite, sport: int, wanted: Callable[[list[Record]], bool]) -> list[Record]:
    """Return the records of a source port once they are as wanted."""
    deadline = time.monotonic() + PATIENCE_S
    while not wanted(found := of_port(site, sport)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert wanted(found), found
    return found


def look(site: ServiceSite) -> Record:
    """Have the controller look at the bridges' rows, twice and apart, and return the rules' counters."""
    for _ in range(2):
        rows = ask(site.state / "control.sock", "/look/counters")["rules"]
        time.sleep(0.6)
    return {row["rule"].rpartition("/")[2]: (row["packets"], row["bytes"]) for row in rows}


@contextmanager
def opened(site: ServiceSite, to: str, sport: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open a connection to port 80; both ends are closed at the end."""
    client, server = site.machines["a1"], site.machines[to]
    address = server.ips[0].partition("/")[0]
    with server.socket(socket.AF_INET, socket.SOCK_STREAM) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((address, 80))
        door.listen(8)
        with client.socket(socket.AF_INET, socket.SOCK_STREAM) as caller:
            caller.settimeout(PATIENCE_S)
            caller.bind(("10.0.0.1", sport))
            caller.connect((address, 80))
            door.settimeout(PATIENCE_S)
            peer, _ = door.accept()
            with peer:
                peer.settimeout(PATIENCE_S)
                yield caller, peer


def receive(one: socket.socket, size: int) -> None:
    """Read so many bytes."""
    while size:
        got = len(one.recv(size))
        assert got, "the other end has closed"
        size -= got


def exchange(caller: socket.socket, peer: socket.socket, size: int) -> None:
    """Send so many bytes and have as many back."""
    caller.sendall(b"q" * size)
    receive(peer, size)
    peer.sendall(b"a" * size)
    receive(caller, size)


def talk(site: ServiceSite, to: str, sport: int, size: int = 5000) -> None:
    """Open a connection to port 80, send and receive so many bytes, and close it."""
    with opened(site, to, sport) as (caller, peer):
        exchange(caller, peer, size)
