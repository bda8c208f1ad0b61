"""Migrations in a fleet of 50 hosts: from the first announcement to the first packet at the destination.

Three hosts are real ones of the lab: namespaces, each with its own Open vSwitch and database. Twenty
endpoints move between two of them, one after the other, while packets for each flow every millisecond from
the third. The others have databases and bridges that take every flow: all on one switch (what zonewall adds),
or each on a switch of its own (what a machine that is 50 hosts at once makes of it). Needs root, as the lab
does.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from topologies.frames import checksum, rarp
from topologies.lab import Host, Lab, Machine

from bench.far_hosts import BRIDGE, FarHosts
from bench.harness import Figure, Options
from bench.timeline import CONFIRMED, HANDLED, READ, read_notes

HOSTS, ENDPOINTS, TENANTS = 50, 5_000, 10
HOSTS_OF_A_TENANT = 10
REAL = ("near0", "near1", "near2")
MOVERS, ROUNDS = 20, 6
READY_S = 900.0
LEAD_S, LAG_S, PATIENCE_S = 0.25, 0.1, 20.0
SO_TIMESTAMPNS = 35


def figures(options: Options) -> Iterator[Figure]:
    """Yield the figures of this group."""
    for apart in (False,) if options.quick else (False, True):
        kind = "each on a switch of its own" if apart else "47 of them on one switch"
        with (
            tempfile.TemporaryDirectory(prefix="zonewall-bench-") as folder,
            Lab() as lab,
            ExitStack() as stack,
        ):
            far = FarHosts(lab, Path(folder), stack, HOSTS - len(REAL), apart=apart)
            site = Site(lab, Path(folder), far)
            site.start()
            moves = [move for round_ in range(1 if options.quick else ROUNDS) for move in site.round(round_)]
        name = f"migration/{HOSTS} hosts ({kind}), {ENDPOINTS:,} endpoints"
        gaps = tuple(move.gap for move in moves)
        note = f"{len(moves)} moves"
        yield Figure(f"{name}: first announcement to first packet there", "ms", gaps, target=10.0, note=note)
        yield Figure(f"{name}: 99th percentile", "ms", (_percentile(gaps, 99),), target=50.0, note=note)
        for stage in ("read", "handled", "destination", "source"):
            samples = tuple(move.after[stage] for move in moves if stage in move.after)
            yield Figure(f"{name}: until {_STAGES[stage]}", "ms", samples)


_STREAM = """
import socket, sys, time
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
card.bind(("eth0", 0))
frame = bytes.fromhex(sys.argv[1])
while True:
    card.send(frame)
    time.sleep(0.001)
"""
"""A packet every millisecond; ping(8) sends them in handfuls every ten."""

_STAGES = {
    "read": "the controller has read it",
    "handled": "the state machine is done",
    "destination": "the destination has confirmed",
    "source": "the source of traffic has confirmed",
}


def _percentile(samples: Sequence[float], percent: int) -> float:
    return sorted(samples)[max(0, math.ceil(len(samples) * percent / 100) - 1)]


@dataclass(frozen=True, slots=True)
class Move:
    """Milliseconds from the announcement: to the first packet there, and to what comes between."""

    gap: float
    after: dict[str, float]


@dataclass(slots=True)
class Card:
    """An endpoint that moves: ports without a machine, whose legs are in the lab's patch panel."""

    number: int
    legs: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return its name, which is its iface-id."""
        return f"mover{self.number:02}"

    @property
    def mac(self) -> str:
        """Return its MAC."""
        return f"52:54:00:ff:01:{self.number:02x}"

    @property
    def ip(self) -> str:
        """Return its address."""
        return f"10.255.1.{self.number + 1}"


class Stamps:
    """What passes at a leg, by the kernel's clock: the announcement goes in, the first packet comes out."""

    def __init__(self, lab: Lab, leg: str) -> None:
        """Begin to listen; a socket does not hear itself, so that another one sends."""
        self._socket, self._sender = (lab.panel.socket(socket.AF_PACKET, socket.SOCK_RAW) for _ in range(2))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind((leg, 3))
        self._socket.settimeout(PATIENCE_S)
        self._sender.bind((leg, 0))

    def announced_and_delivered(self, frame: bytes) -> tuple[float, float]:
        """Send a frame; return when it left, and when the first IPv4 packet after it came.

        Raises:
            TimeoutError: none came.
        """
        self._sender.send(frame)
        left, deadline = 0.0, time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            data, auxiliary, _, address = self._socket.recvmsg(2048, 64)
            seconds, nanoseconds = struct.unpack("=qq", auxiliary[0][2][:16])
            at = seconds + nanoseconds / 1e9
            if address[2] == socket.PACKET_OUTGOING and data[12:14] == frame[12:14]:
                left = at
            elif address[2] != socket.PACKET_OUTGOING and data[12:14] == b"\x08\x00" and left:
                return left, at
        raise TimeoutError

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self._sender.close()


class Site:
    """The real hosts, the controller, and what moves."""

    def __init__(self, lab: Lab, folder: Path, far: FarHosts) -> None:
        """Make the real hosts."""
        self._lab, self._folder, self._far = lab, folder, far
        self._hosts: dict[str, Host] = {name: lab.host(name) for name in REAL}
        near0, near1, near2 = self._hosts.values()
        for one, other in ((near0, near1), (near2, near0), (near2, near1)):
            lab.link(one, other)
        self._cards = [Card(number) for number in range(MOVERS)]
        self._peer: Machine = lab.machine("peer", "52:54:00:ff:00:02", ("10.255.0.2/16",))

    def start(self) -> None:
        """Bring everything into force."""
        endpoints, placed = self._endpoints()
        documents = self._folder / "policies"
        documents.mkdir()
        (documents / "inventory.yaml").write_text(json.dumps(self._inventory(endpoints)))
        for number in range(TENANTS):
            (documents / f"t{number}.yaml").write_text(json.dumps(_policy(f"t{number}")))
        address = self._lab.controller_address
        self._controller = self._lab.controller.start(
            sys.executable, "-m", "bench.timeline", str(self._folder / "notes"),
            "run", str(documents), "--state", str(self._folder / "state"), "--allow-plain",
            "--openflow", f"tcp:{address}:6653", "--ovsdb", f"tcp:{address}:6640",
        )  # fmt: skip
        for host in self._hosts.values():
            host.set_manager(f"tcp:{address}:6640")
            host.set_controller(f"tcp:{address}:6653")
        begun = time.monotonic()
        self._far.join(placed, address)
        self._peer.plug(self._hosts["near2"])
        self._plug("near0")
        self._until({"near0": "active"}, READY_S)
        print(f"in force after {time.monotonic() - begun:.0f} s", flush=True)

    def round(self, number: int) -> Iterator[Move]:
        """Move every card to the other host, one after the other."""
        origin, target = REAL[number % 2], REAL[1 - number % 2]
        self._plug(target)
        self._until({origin: "active", target: "pending"})
        time.sleep(1.0)
        for card in self._cards:
            yield self._move(card, target)
        host = self._hosts[origin]
        host.vsctl(*(word for card in self._cards for word in ("--", "del-port", card.name)))
        self._lab.panel.ip(*(f"link del dev {card.legs.pop(origin)}" for card in self._cards))
        self._until({target: "active"})

    def _plug(self, where: str) -> None:
        host = self._hosts[where]
        words: list[str] = []
        for card in self._cards:
            card.legs[where] = f"l{card.number}.{host.index}"
            self._lab.panel.ip(
                f"link add name {card.legs[where]} type veth peer name {card.name} netns {host.name}",
                f"link set dev {card.legs[where]} up",
            )
            host.ip(f"link set dev {card.name} up")
            words += ["--", "add-port", BRIDGE, card.name, "--", "set", "interface", card.name, "type=system"]
            words += [f"external_ids:iface-id={card.name}"]
        host.vsctl(*words)

    def _move(self, card: Card, target: str) -> Move:
        stamps = Stamps(self._lab, card.legs[target])
        packets = self._peer.start(sys.executable, "-S", "-c", _STREAM, self._echo(card).hex())
        time.sleep(LEAD_S)
        try:
            left, arrived = stamps.announced_and_delivered(rarp(card.mac))
        except TimeoutError:
            raise RuntimeError(
                f"nothing arrived in {PATIENCE_S} s:\n{self._controller.output()[-2000:]}"
            ) from None
        finally:
            packets.stop()
            stamps.close()
        time.sleep(LAG_S)
        return Move((arrived - left) * 1000, self._stages(left, target))

    def _echo(self, card: Card) -> bytes:
        """Return the echo request that the peer sends."""
        message = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + bytes(24)
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        ends = socket.inet_aton(self._peer.ips[0]) + socket.inet_aton(card.ip)
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 1, 0, 64, 1, 0) + ends
        header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
        macs = bytes.fromhex((card.mac + self._peer.mac).replace(":", ""))
        return macs + b"\x08\x00" + header + message

    def _stages(self, left: float, target: str) -> dict[str, float]:
        """Return when what came between happened, in milliseconds from the announcement."""
        destination, source = (
            self._hosts[name].datapath_ids[BRIDGE].lstrip("0") for name in (target, "near2")
        )
        wanted = {
            "read": (READ, destination), "handled": (HANDLED, f"{target}/{BRIDGE}"),
            "destination": (CONFIRMED, destination), "source": (CONFIRMED, source),
        }  # fmt: skip
        notes = [note for note in read_notes(self._folder / "notes") if note[0] > left]
        found: dict[str, float] = {}
        for stage, (what, where) in wanted.items():
            at = next((note[0] for note in notes if note[1:] == (what, where)), None)
            if at is not None:
                found[stage] = (at - left) * 1000
        return found

    def _endpoints(self) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
        """Return all endpoints, and those of the far hosts by host; a tenant is on some hosts, t0 on all."""
        near = [(card.name, card.mac, card.ip) for card in self._cards]
        near.append((self._peer.short_name, self._peer.mac, self._peer.ips[0]))
        endpoints: list[dict[str, Any]] = [
            {
                "name": name,
                "tenant": "t0",
                "iface-id": name,
                "mac": mac,
                "ips": [ip],
                "labels": {"role": "web"},
            }
            for name, mac, ip in near
        ]
        names = self._far.names
        placed: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for number in range(ENDPOINTS - len(endpoints)):
            tenant = number % TENANTS
            mine = names if tenant == 0 else names[tenant * 4 : tenant * 4 + HOSTS_OF_A_TENANT]
            one = {
                "name": f"vm{number}", "tenant": f"t{tenant}", "iface-id": f"vm{number}",
                "mac": f"52:54:01:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
                "ips": [f"10.{number >> 8}.{number & 255}.1"],
                "labels": {"role": ("web", "db")[number // 10 % 2]},
            }  # fmt: skip
            endpoints.append(one)
            placed[mine[number // TENANTS % len(mine)]].append(one)
        return endpoints, placed

    def _inventory(self, endpoints: list[dict[str, Any]]) -> dict[str, Any]:
        hosts: dict[str, Any] = {name: host.inventory() for name, host in self._hosts.items()}
        return {"kind": "inventory", "hosts": {**hosts, **self._far.inventory()}, "endpoints": endpoints}

    def _until(self, places: dict[str, str], patience_s: float = 60.0) -> None:
        """Wait until every card is there and every bridge has what is wanted of it."""
        deadline = time.monotonic() + patience_s
        wanted = {f"{host}/{BRIDGE}": state for host, state in places.items()}
        names = {f"t0/{card.name}" for card in self._cards}
        here: list[Any] = []
        busy: list[Any] = []
        while time.monotonic() < deadline:
            status = _status(self._folder / "state" / "control.sock")
            here = [
                {one["bridge"]: one["state"] for one in known["places"]}
                for known in status.get("endpoints", ())
                if known["endpoint"] in names
            ]
            busy = [one for one in status.get("bridges", ()) if one["state"] != "in-force" or one["pending"]]
            if len(here) == len(names) and all(one == wanted for one in here) and not busy:
                return
            time.sleep(1.0)
        raise RuntimeError(
            f"not in force after {patience_s} s: {here[:3]} {busy[:3]}\n{self._controller.output()[-2000:]}"
        )


def _status(control: Path) -> dict[str, Any]:
    from zonewall.api.control import ask
    from zonewall.errors import ControllerUnreachableError

    with contextlib.suppress(ControllerUnreachableError):
        return ask(control, "/status")
    return {}


def _policy(tenant: str) -> dict[str, Any]:
    rules: list[dict[str, Any]] = [
        {
            "name": f"r{number}",
            "from": "web",
            "to": "db",
            "services": [f"tcp/{5000 + number}"],
            "action": "allow",
        }
        for number in range(20)
    ]
    ping = {"name": "ping", "from": "any", "to": "any", "services": ["icmp/echo-request"], "action": "allow"}
    zones = {role: {"labels": {"role": role}} for role in ("web", "db")}
    tier = {"name": "t", "rules": [*rules, ping]}
    return {"kind": "tenant", "tenant": tenant, "zones": zones, "tiers": [tier]}
