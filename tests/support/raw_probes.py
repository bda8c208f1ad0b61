"""Crafted frames between machines of a lab: sent out of one card, and whether they came out of another."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from topologies.lab import Capture, Machine
from topologies.machine import CARD

from support.packets import build
from zonewall.flows.simulate import Packet, packet

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
NUMBERS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "icmpv6": ICMPV6}
SYN, ACK, RST, SYN_ACK = 0x002, 0x010, 0x004, 0x012
MARKER_PORT = 49999
"""Policies of tests let UDP to this port pass between all: where it has arrived, so has all before it."""

BATCH = 48
MARKER_S = 30.0
_numbers = itertools.count(20000)


@dataclass(frozen=True, slots=True)
class Knock:
    """The first packet of a connection that may or may not be allowed."""

    source: Machine
    destination: Machine
    proto: str
    port: int = 0
    family: int = 4

    def probe(self) -> dict[str, object]:
        """Return it as ``zonewall check`` reads it."""
        one: dict[str, object] = {
            "src": self.source.short_name.replace("-", "/", 1),
            "dst": self.destination.short_name.replace("-", "/", 1),
            "proto": self.proto,
            "src_ip": address_of(self.source, self.family),
            "dst_ip": address_of(self.destination, self.family),
        }
        if self.proto in ("icmp", "icmpv6"):
            return one | {"icmp": [self.port, 0]}
        return one | {"dport": self.port}

    def frame(self) -> bytes:
        """Return its frame; its source port or identifier is one that no other has."""
        return build(ip_packet(self.source, self.destination, self.proto, self.port, family=self.family))


def address_of(machine: Machine, family: int) -> str:
    """Return a machine's address of a family."""
    return next(ip for ip in machine.ips if ip_address(ip).version == family)


def mac_of(machine: Machine) -> int:
    """Return a machine's MAC as a number."""
    return int(machine.mac.replace(":", ""), 16)


def ip_packet(
    source: Machine,
    destination: Machine,
    proto: str,
    port: int = 0,
    *,
    family: int = 4,
    sport: int | None = None,
    flags: int = SYN,
) -> Packet:
    """Return a packet between two machines; ``port`` is ICMP's type, ``sport`` its identifier."""
    sport = next(_numbers) if sport is None else sport
    ends: dict[str, Any] = {
        f"ipv{family}_src": int(ip_address(address_of(source, family))),
        f"ipv{family}_dst": int(ip_address(address_of(destination, family))),
    }
    base = packet(
        eth_src=mac_of(source),
        eth_dst=mac_of(destination),
        eth_type=0x0800 if family == 4 else 0x86DD,
        ip_proto=NUMBERS[proto],
        **ends,
    )
    if proto in ("icmp", "icmpv6"):
        return Packet(base.but(icmpv4_type=port).values, icmp_id=sport)
    made = base.but(**{f"{proto}_src": sport, f"{proto}_dst": port})
    return made.but(tcp_flags=flags) if proto == "tcp" else made


def send(machine: Machine, frames: Iterable[bytes]) -> None:
    """Send frames out of a machine's card."""
    with machine.socket(socket.AF_PACKET, socket.SOCK_RAW) as card:
        card.bind((CARD, 0))
        for frame in frames:
            card.send(frame)


@contextmanager
def captures(*machines: Machine) -> Iterator[dict[str, Capture]]:
    """Catch what arrives at machines, by their names."""
    made = {machine.short_name: machine.capture() for machine in machines}
    try:
        yield made
    finally:
        for capture in made.values():
            capture.close()


def mark(source: Machine, destination: Machine, capture: Capture) -> None:
    """Return once all that the source has sent has either arrived at the capture's card or never will.

    Raises:
        AssertionError: not even what is always allowed arrives.
    """
    deadline = time.monotonic() + MARKER_S
    while time.monotonic() < deadline:
        marker = Knock(source, destination, "udp", MARKER_PORT).frame()
        send(source, [marker])
        if capture.wait_for(lambda frame, marker=marker: frame == marker, 0.5) is not None:
            return
    raise AssertionError(f"nothing arrives at {destination.short_name} from {source.short_name}")


def arrived(source: Machine, destination: Machine, frames: Sequence[bytes]) -> list[bool]:
    """Send frames from one machine and say which came out at another, byte for byte."""
    with captures(destination) as caught:
        capture = caught[destination.short_name]
        mark(source, destination, capture)
        for start in range(0, len(frames), BATCH):
            batch = frames[start : start + BATCH]
            send(source, batch)
            mark(source, destination, capture)
        there = set(capture.drain())
        return [frame in there for frame in frames]


def outcome(knocks: Sequence[Knock]) -> list[bool]:
    """Say which knocks arrived, whatever machines they are between."""
    found: dict[Knock, bool] = {}
    pairs = dict.fromkeys((knock.source, knock.destination) for knock in knocks)
    for source, destination in pairs:
        mine = [knock for knock in knocks if (knock.source, knock.destination) == (source, destination)]
        frames = [knock.frame() for knock in mine]
        found.update(zip(mine, arrived(source, destination, frames), strict=True))
    return [found[knock] for knock in knocks]
