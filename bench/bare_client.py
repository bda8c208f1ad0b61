"""The least that a port plugged can take on this switch: its database's word, and one bundle that is ready.

Nothing is decided, compiled or packed between the two: what is left is the switch's own time.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zonewall.flows.wire import FLOW_MOD, VERSION, message
from zonewall.openflow import messages
from zonewall.openflow.messages import BundleStep

_HELLO = struct.pack("!BBHIHHI", VERSION, 0, 16, 1, 1, 8, 1 << VERSION)
_XID = 1000


class BareClient:
    """Speaks to one switch's database and to one of its bridges by their sockets, and waits for both."""

    def __init__(self, run_dir: Path, bridge: str) -> None:
        """Connect to both."""
        self._bridge = _connected(run_dir / f"{bridge}.mgmt")
        self._bridge.sendall(_HELLO)
        self._next()
        self._database = _connected(run_dir / "db.sock")
        self._heard = ""
        asked = {"Interface": {"columns": ["ofport"], "select": {"initial": False}}}
        request = {"method": "monitor", "id": 0, "params": ["Open_vSwitch", None, asked]}
        self._database.sendall(json.dumps(request).encode())
        self._told()

    def close(self) -> None:
        """Leave both."""
        self._bridge.close()
        self._database.close()

    def put(self, bodies: Sequence[bytes]) -> None:
        """Have the bridge hold flows, whose messages are ready but for their headers."""
        self._bridge.sendall(b"".join(message(FLOW_MOD, _XID, body) for body in bodies))
        self._bridge.sendall(message(messages.BARRIER_REQUEST, _XID, b""))
        while self._next() != messages.BARRIER_REPLY:
            pass

    def plugged(self, plug: Callable[[], object], number: int, bodies: Sequence[bytes]) -> float:
        """Plug a port; return milliseconds from the database's word of its number to a bundle confirmed."""
        plug()
        while not self._has_number(self._told()):
            pass
        word = time.monotonic()
        steps = [messages.bundled(_XID + 9, number, FLOW_MOD, body) for body in bodies]
        opened = messages.bundle_control(_XID, number, BundleStep.OPEN)
        closed = messages.bundle_control(_XID + 1, number, BundleStep.CLOSE)
        committed = messages.bundle_control(_XID + 2, number, BundleStep.COMMIT)
        self._bridge.sendall(b"".join([opened, *steps, closed, committed]))
        self._answered(3)
        return (time.monotonic() - word) * 1e3

    def _answered(self, times: int) -> None:
        while times:
            kind = self._next()
            assert kind != messages.ERROR
            times -= kind == messages.BUNDLE_CONTROL

    def _next(self) -> int:
        header = self._read(8)
        _, kind, size, xid = struct.unpack("!BBHI", header)
        body = self._read(size - 8)
        if kind == messages.ECHO_REQUEST:
            self._bridge.sendall(message(messages.ECHO_REPLY, xid, body))
        return int(kind)

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            found += self._bridge.recv(size - len(found))
        return found

    def _told(self) -> dict[str, Any]:
        while True:
            try:
                told, used = json.JSONDecoder().raw_decode(self._heard)
            except ValueError:
                self._heard += self._database.recv(65536).decode()
                continue
            self._heard = self._heard[used:].lstrip()
            if told.get("method") != "echo":
                return dict(told)
            self._database.sendall(json.dumps({"id": "echo", "result": [], "error": None}).encode())

    @staticmethod
    def _has_number(told: dict[str, Any]) -> bool:
        rows = told["params"][1].get("Interface", {}) if told.get("method") == "update" else {}
        return any(isinstance(row.get("new", {}).get("ofport"), int) for row in rows.values())


def _connected(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(60.0)
    made.connect(str(path))
    return made
