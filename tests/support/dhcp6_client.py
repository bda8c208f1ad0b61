"""A DHCPv6 client (RFC 8415), and a real server (dnsmasq) in a machine of the lab."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from topologies.lab import Machine, Process
from topologies.machine import CARD

SOLICIT, ADVERTISE, REQUEST, RENEW, REPLY, RELEASE, DECLINE = 1, 2, 3, 5, 7, 8, 9
_CLIENT_ID, _SERVER_ID, _IA_NA, _ADDRESS, _ELAPSED, _RAPID = 1, 2, 3, 5, 8, 14
SERVERS = ("ff02::1:2", 547)
Options = dict[int, bytes]


@dataclass(frozen=True)
class Lease:
    """What a server granted: the address, and what it calls itself."""

    address: str
    server: bytes


def serve_6(machine: Machine, folder: Path, first: str, last: str) -> Process:
    """Start dnsmasq in a machine; it answers from its card, at once where the client asks for that."""
    return machine.start(
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", f"--interface={CARD}",
        f"--dhcp-range={first},{last},64,2m", "--dhcp-authoritative", "--dhcp-rapid-commit",
        f"--dhcp-leasefile={folder / 'leases6'}", f"--pid-file={folder / 'dnsmasq6.pid'}", "--user=root",
    )  # fmt: skip


def obtain_6(machine: Machine, *, rapid: bool = False, patience_s: float = 20.0) -> Lease:
    """Ask for an address as a booting machine does, and return what was granted.

    Raises:
        AssertionError: nobody granted any in time.
    """
    deadline = time.monotonic() + patience_s
    with _bound(machine, deadline) as card:
        while time.monotonic() < deadline:
            wanted = (_IA_NA, struct.pack("!III", 1, 0, 0))
            extra = ((_RAPID, b""),) if rapid else ()
            offered = _exchange(card, machine, SOLICIT, (wanted, *extra), REPLY if rapid else ADVERTISE)
            if offered is not None and not rapid:
                offered = _exchange(card, machine, REQUEST, _named(offered), REPLY)
            if offered is not None:
                return Lease(str(ipaddress.IPv6Address(_leased(offered)[:16])), offered[_SERVER_ID])
    raise AssertionError(f"{machine.short_name} was granted no address in {patience_s} s")


def say_6(machine: Machine, kind: int, lease: Lease, patience_s: float = 30.0) -> None:
    """Renew, release or decline an address, and wait for the answer."""
    address = ipaddress.IPv6Address(lease.address).packed + struct.pack("!II", 0, 0)
    association = struct.pack("!III", 1, 0, 0) + _option(_ADDRESS, address)
    deadline = time.monotonic() + patience_s
    with _bound(machine, deadline) as card:
        while time.monotonic() < deadline:
            named = ((_SERVER_ID, lease.server), (_IA_NA, association))
            if _exchange(card, machine, kind, named, REPLY) is not None:
                return
    raise AssertionError(f"{machine.short_name} was not answered in {patience_s} s")


def granting(server: Machine, client: Machine, address: str, seconds: int) -> bytes:
    """Return the frame of a Reply by which one machine grants another an address."""
    given = ipaddress.IPv6Address(address).packed + struct.pack("!II", seconds, seconds)
    association = struct.pack("!III", 1, 0, 0) + _option(_ADDRESS, given)
    body = _message(REPLY, client, ((_SERVER_ID, b"\x00\x03\x00\x01" + _mac(server)), (_IA_NA, association)))
    udp = struct.pack("!HHHH", 547, 546, 8 + len(body), 0) + body
    header = struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + _link_local(server) + _link_local(client)
    return _mac(client) + _mac(server) + b"\x86\xdd" + header + udp


def _bound(machine: Machine, deadline: float) -> socket.socket:
    """Return a socket at the client's port; the link-local address is there after its own test."""
    card = machine.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    card.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, CARD.encode())
    card.settimeout(0.5)
    while True:
        try:
            card.bind(("::", 546))
            card.sendto(b"", SERVERS)
            return card
        except OSError:
            if time.monotonic() > deadline:
                card.close()
                raise
            time.sleep(0.1)


def _exchange(
    card: socket.socket, machine: Machine, kind: int, options: tuple[tuple[int, bytes], ...], wanted: int
) -> Options | None:
    card.sendto(_message(kind, machine, options), SERVERS)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        try:
            said = card.recv(2048)
        except TimeoutError:
            return None
        if said[0] == wanted:
            return _options(said[4:])
    return None


def _named(offered: Options) -> tuple[tuple[int, bytes], ...]:
    return ((_SERVER_ID, offered[_SERVER_ID]), (_IA_NA, offered[_IA_NA]))


def _leased(answered: Options) -> bytes:
    return _options(answered[_IA_NA][12:])[_ADDRESS]


def _message(kind: int, client: Machine, options: tuple[tuple[int, bytes], ...]) -> bytes:
    who = ((_CLIENT_ID, b"\x00\x03\x00\x01" + _mac(client)), (_ELAPSED, bytes(2)))
    return bytes([kind]) + b"zwl" + b"".join(_option(*one) for one in (*who, *options))


def _option(kind: int, body: bytes) -> bytes:
    return struct.pack("!HH", kind, len(body)) + body


def _options(data: bytes) -> Options:
    found: Options = {}
    while len(data) >= 4:
        kind, length = struct.unpack_from("!HH", data)
        found[kind], data = data[4 : 4 + length], data[4 + length :]
    return found


def _mac(machine: Machine) -> bytes:
    return bytes.fromhex(machine.mac.replace(":", ""))


def _link_local(machine: Machine) -> bytes:
    mac = _mac(machine)
    return b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
