"""A switch played by hand: it lets itself be admitted, and then tells without end."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

NICIRA, PACKET_IN2 = 0x2320, 30
HELLO, ERROR, ECHO, EXPERIMENTER, FEATURES, PORT_STATUS, MULTIPART, BARRIER, ROLE = (
    0,
    1,
    2,
    4,
    5,
    12,
    18,
    20,
    24,
)
PORT_DESC = 13


def message(kind: int, xid: int, body: bytes = b"") -> bytes:
    """Return an OpenFlow 1.5 message."""
    return struct.pack("!BBHI", 6, kind, 8 + len(body), xid) + body


def packet_in(frame: bytes, reason: int, in_port: int = 1) -> bytes:
    """Return a frame as a flow sends it up, for a reason, from a port (NXT_PACKET_IN2)."""
    properties = (
        (0, frame),
        (6, struct.pack("!II", 0x80000004, in_port)),
        (7, bytes([reason])),
    )
    said = b"".join(
        struct.pack("!HH", kind, 4 + len(content)) + content + bytes(-(4 + len(content)) % 8)
        for kind, content in properties
    )
    return message(EXPERIMENTER, 0, struct.pack("!II", NICIRA, PACKET_IN2) + said)


def complaint(code: int) -> bytes:
    """Return an error that nobody waits for."""
    return message(ERROR, 0xFFFF0000, struct.pack("!HH", 1, code))


def port_status(number: int, name: str, change: int = 2) -> bytes:
    """Return word of a port that was added (0), deleted (1) or changed (2)."""
    mac = number.to_bytes(6, "big")
    port = struct.pack("!IH2x6s2x16sII", number, 40, mac, name.encode(), 0, 0)
    return message(PORT_STATUS, 0, struct.pack("!B7x", change) + port)


class HostileSwitch:
    """One connection; ``flood`` is sent again and again once the controller has read the ports."""

    def __init__(self, address: tuple[str, int], datapath_id: int, flood: bytes) -> None:
        self._address, self._datapath_id, self._flood = address, datapath_id, flood
        self._ended = threading.Event()
        self.sent = 0
        self._socket = socket.create_connection(address)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Hang up."""
        self._ended.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._socket.close()

    def reset(self) -> None:
        """Have the connection reset: who writes is told so (socket(7), SO_LINGER)."""
        self._ended.set()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Who reads still would hold the connection open; it is woken by this, and the other side is not told.
        self._socket.shutdown(socket.SHUT_RD)
        self._thread.join(20)
        self._socket.close()

    def _work(self) -> None:
        with suppress(OSError):
            self._socket.sendall(message(HELLO, 1, struct.pack("!HHI", 1, 8, 1 << 6)))
            waiting = b""
            while not self._ended.is_set():
                waiting += self._socket.recv(65536)
                while len(waiting) >= 8 and len(waiting) >= int.from_bytes(waiting[2:4], "big"):
                    length = int.from_bytes(waiting[2:4], "big")
                    if self._answer(waiting[:length]):
                        self._pour()
                    waiting = waiting[length:]

    def _answer(self, asked: bytes) -> bool:
        """Answer what has to be answered to be let in; say whether that was the last of it."""
        kind, xid, body = asked[1], int.from_bytes(asked[4:8], "big"), asked[8:]
        if kind == FEATURES:
            features = struct.pack("!QIBB2xII", self._datapath_id, 0, 254, 0, 0, 0)
            self._socket.sendall(message(FEATURES + 1, xid, features))
        elif kind in (ECHO, ROLE, BARRIER):
            self._socket.sendall(message(kind + 1, xid, body))
        elif kind == MULTIPART and int.from_bytes(body[:2], "big") == PORT_DESC:
            self._socket.sendall(message(MULTIPART + 1, xid, struct.pack("!HH4x", PORT_DESC, 0)))
            return True
        return False

    def _pour(self) -> None:
        while self._flood and not self._ended.is_set():
            self._socket.sendall(self._flood)
            self.sent += len(self._flood)


@contextmanager
def hostile_switch(address: tuple[str, int], datapath_id: int, flood: bytes = b"") -> Iterator[HostileSwitch]:
    """Give one that floods with that, and have it hang up afterwards."""
    switch = HostileSwitch(address, datapath_id, flood)
    try:
        yield switch
    finally:
        switch.end()
