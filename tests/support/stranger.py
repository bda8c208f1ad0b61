"""A machine of another identity: it knocks where rules let others in, and what arrives of that is counted."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from topologies.lab import Machine
from topologies.machine import CARD

from support.packets import build
from support.raw_probes import ACK, SYN, address_of, ip_packet

OF_EACH_KIND = 32
SO_ATTACH_FILTER = 26
ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_LOAD_WORD, _LOAD_BYTE, _IF_EQUAL, _RETURN = 0x20, 0x30, 0x15, 0x06
_ICMPV6 = 58


def frames(stranger: Machine, server: Machine, family: int, udp: int, tcp: Sequence[int]) -> list[bytes]:
    """Return first packets, and packets as of connections that began before, each from a port of its own."""
    kinds = [("udp", udp, SYN), *(("tcp", port, flags) for port in tcp for flags in (SYN, ACK))]
    return [
        build(ip_packet(stranger, server, proto, port, family=family, flags=flags))
        for _ in range(OF_EACH_KIND)
        for proto, port, flags in kinds
    ]


class Stranger:
    """Sends round and round; each server has an ear for nothing else than what comes from it."""

    def __init__(
        self, machine: Machine, servers: Sequence[tuple[Machine, int]], udp: int, tcp: Sequence[int]
    ) -> None:
        """Open every socket; each server is knocked at in one family."""
        made = [frames(machine, server, family, udp, tcp) for server, family in servers]
        self._frames: Iterator[bytes] = itertools.cycle(
            itertools.chain.from_iterable(zip(*made, strict=True))
        )
        self._card = machine.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._card.bind((CARD, 0))
        self.ears = [ear(server, machine, family) for server, family in servers]

    def knock(self) -> None:
        """Send the next packet."""
        self._card.send(next(self._frames))

    def close(self) -> None:
        """Close the sockets."""
        for one in (self._card, *self.ears):
            one.close()


def ear(server: Machine, source: Machine, family: int) -> socket.socket:
    """Return a socket that gets every IP packet that arrives at a server from an address, but ICMPv6."""
    made = server.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    word = int(ip_address(address_of(source, family))) & 0xFFFFFFFF
    if family == 4:
        program = [(_LOAD_WORD, 0, 0, 12), (_IF_EQUAL, 0, 1, word)]
    else:  # the last word of the address
        program = [(_LOAD_BYTE, 0, 0, 6), (_IF_EQUAL, 3, 0, _ICMPV6)]
        program += [(_LOAD_WORD, 0, 0, 20), (_IF_EQUAL, 0, 1, word)]
    program += [(_RETURN, 0, 0, 0xFFFF), (_RETURN, 0, 0, 0)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    made.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code))
    )
    made.bind((CARD, ETHERTYPES[family]))  # only now does it hear anything
    made.setblocking(False)
    return made


def heard(one: socket.socket) -> int:
    """Return how many packets have come to an ear since."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            one.recv(64)
            count += 1
    return count
