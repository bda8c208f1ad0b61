"""Appliances of every kind around a service site, and what passes through them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from topologies.lab import Appliance, Capture, Namespace

from support.asked import Status
from support.service_frames import transport
from support.service_site import ServiceSite

FUNCTIONS: dict[str, Any] = {
    "waf": {"kind": "bump-in-the-wire"},
    "dpi": {"kind": "bump-in-the-wire", "when-down": "bypass"},
    "arm": {"kind": "one-armed"},
    "fw": {"kind": "vlan-pair", "out": 900, "back": 901},
    "pool": {"kind": "bump-in-the-wire"},
}
POOL = {"one": "hv1", "two": "hv2", "three": "hv1"}
FILTER = "table bridge filter {\n chain pass {\n type filter hook forward priority 0;\n }\n}\n"
PLAIN = {"from": "any", "to": "any", "services": ["tcp/81"], "action": "allow"}


def build_appliances(site: ServiceSite) -> None:
    """Add filters on both hosts, one with a single leg, one behind two VLANs, and three alike."""
    lab, hosts = site.lab, site.hosts
    for name, host in (("waf", "hv1"), ("dpi", "hv2")):
        site.appliances[name] = lab.appliance(name, hosts[host])
    site.appliances["arm"] = one_armed(site, "arm", "hv1")
    for instance, host in POOL.items():
        site.appliances[f"pool/{instance}"] = lab.appliance(
            f"p-{instance}", hosts[host], function="pool", instance=instance
        )
    hosts["hv1"].roles["br-int"]["eth1"]["function"] = "fw"
    outside = site.outsides["lan"]
    site.appliances["fw"] = lab.appliance("fw", outside, tags=(900, 901))
    # A real firewall, and the switches before it, learn where MACs are.
    site.appliances["fw"].ip("link set dev pass type bridge ageing_time 30000")
    intruder = lab.machine("intruder", "52:54:00:00:09:01", [])
    intruder.plug(outside, tag=901, ids=False)
    site.strangers["intruder"] = intruder
    for appliance in site.appliances.values():
        appliance.nft(FILTER)
    site.write_inventory(**{"service-functions": FUNCTIONS})


def one_armed(site: ServiceSite, name: str, host: str) -> Appliance:
    """Return an appliance with one leg: a bridge that sends back out of the port that a frame came in by."""
    made = Appliance(site.lab.ledger, name)
    made.ip(
        "link add name pass type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set dev pass up",
        f"link add name in type veth peer name {name}-leg netns {site.hosts[host].name}",
        "link set dev in master pass up",
    )  # fmt: skip
    made.run("bridge", "link", "set", "dev", "in", "hairpin", "on", "learning", "off", "flood", "on")
    site.hosts[host].add_port(f"{name}-leg", role={"role": "service", "function": name, "leg": "only"})
    return made


def through(*functions: str, services: str = "tcp/80") -> dict[str, Any]:
    """Return a rule that allows everybody to reach everybody through functions."""
    return {"from": "any", "to": "any", "services": [services], "action": "allow", "through": list(functions)}


def away(status: Status) -> set[str]:
    """Return the appliances that the controller takes for away."""
    return {one["appliance"] for one in status["appliances"] if one["state"] == "away"}


def wait_until_away(site: ServiceSite, *names: str) -> Status:
    """Wait until these appliances, and no others, are away and the bridges have followed."""
    return site.wait_for(lambda status: _away_names(status) == set(names) and site.is_settled(status))


def _away_names(status: Mapping[str, Any]) -> set[str]:
    return {name if not name.startswith("fw/") else "fw" for name in away(dict(status))}


def passed(capture: Capture, protocol: int = 6) -> list[bytes]:
    """Return the frames of a protocol that came into an appliance by a leg."""
    return [frame for frame in capture.drain() if transport(frame)[0] == protocol]


def arrived(capture: Capture, wanted: Callable[[bytes], bool]) -> list[bytes]:
    """Return the wanted frames of what comes within half a second: enough for any that is forwarded."""
    time.sleep(0.5)
    return [frame for frame in capture.drain() if wanted(frame)]


def send_from(place: Namespace, card: str, frames: list[bytes]) -> None:
    """Send frames out of a card of a namespace, as they are."""
    with place.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((card, 0))
        for frame in frames:
            raw.send(frame)


@contextmanager
def udp_echo(machine: Namespace, port: int) -> Iterator[None]:
    """Answer datagrams with what is in them."""
    with machine.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", port))
        server.settimeout(0.1)
        stopping = threading.Event()

        def answer() -> None:
            while not stopping.is_set():
                try:
                    data, peer = server.recvfrom(2048)
                    server.sendto(data, peer)
                except TimeoutError:
                    continue

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()


class Talks:
    """Several flows of datagrams that are answered; each numbers its own, so that a loss is seen."""

    EVERY_S = 0.02

    def __init__(self, machine: Namespace, address: str, port: int, count: int, first_port: int) -> None:
        self.ports = [first_port + number for number in range(count)]
        self.sent = dict.fromkeys(self.ports, 0)
        self._sockets = {}
        self._got: dict[int, set[int]] = {number: set() for number in self.ports}
        for number in self.ports:
            made = machine.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind(("0.0.0.0", number))
            made.connect((address, port))
            made.setblocking(False)
            self._sockets[number] = made
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for number, one in self._sockets.items():
                one.send(self.sent[number].to_bytes(4, "big"))
                self.sent[number] += 1
            time.sleep(self.EVERY_S)
            self._drain()

    def _drain(self) -> None:
        for number, one in self._sockets.items():
            try:
                while True:
                    self._got[number].add(int.from_bytes(one.recv(16), "big"))
            except BlockingIOError:
                continue

    def answered(self) -> dict[int, int]:
        """Return how many of each flow's datagrams were answered."""
        return {number: len(got) for number, got in self._got.items()}

    def stop(self) -> dict[int, int]:
        """End, and return how many datagrams of each flow were lost, by its port."""
        self._stopping.set()
        self._thread.join()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and any(self._lost().values()):
            self._drain()
            time.sleep(0.02)
        for one in self._sockets.values():
            one.close()
        return self._lost()

    def _lost(self) -> dict[int, int]:
        return {number: self.sent[number] - len(self._got[number]) for number in self.ports}


@contextmanager
def both_legs(appliance: Appliance) -> Iterator[tuple[Capture, Capture]]:
    """Catch what comes into an appliance by each of its two legs."""
    captures = appliance.capture("in"), appliance.capture("out")
    try:
        yield captures
    finally:
        for capture in captures:
            capture.close()


def ports_seen(legs: tuple[Capture, Capture], server_port: int, protocol: int) -> tuple[set[int], set[int]]:
    """Return the clients' ports of what came for a server by the first leg, and from it by the second."""
    there = {_ports(frame) for frame in passed(legs[0], protocol)}
    back = {_ports(frame) for frame in passed(legs[1], protocol)}
    return (
        {source for source, destination in there if destination == server_port},
        {destination for source, destination in back if source == server_port},
    )


def _ports(frame: bytes) -> tuple[int, int]:
    body = transport(frame)[1]
    return int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
