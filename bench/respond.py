"""What services do, measured on one host: an IDS's alert to the last packet, a rule's limit over a minute.

The host is one of the lab: a namespace with its own Open vSwitch; packets flow between two machines on it.
Needs root, as the lab does.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from topologies.frames import checksum
from topologies.lab import Capture, Lab, Machine
from topologies.machine import CARD

from bench.harness import Figure, Options
from zonewall.api.control import ask
from zonewall.errors import ControllerUnreachableError

ZONEWALL = Path(sys.executable).with_name("zonewall")
LIMIT_PPS = 500
SENT_PPS = 1500
LONG_S, SHORT_S = 60.0, 5.0
PATIENCE_S = 60.0
QUIET_S = 0.4


def figures(options: Options) -> Iterator[Figure]:
    """Yield the figures of this group."""
    with Lab() as lab:
        site = _Site(lab)
        site.put({"respond": [{"name": "isolate", "action": "quarantine", "expires": "1s"}]}, None)
        took = [site.alert_to_silence(number) for number in range(max(options.runs, 5) * 2)]
        yield Figure("respond/alert written to last packet", "ms", tuple(took), target=20.0)
        site.put({}, f"{LIMIT_PPS}pps")
        off = site.off_by(SHORT_S if options.quick else LONG_S)
        yield Figure("respond/limit off by, over a minute", "%", (off,), target=10.0)


class _Site:
    """One host, two machines, a controller that reads events."""

    def __init__(self, lab: Lab) -> None:
        self.folder = Path(lab.ledger.folder)
        self.events = self.folder / "eve.json"
        self.events.touch()
        self.policies = self.folder / "policies"
        self.policies.mkdir()
        self.state = self.folder / "state"
        host = lab.host("hv1")
        self.machines = [
            lab.machine(name, f"52:54:00:00:00:0{number}", [f"10.0.0.{number}/24"])
            for number, name in enumerate(("a1", "a2"), 1)
        ]
        for machine in self.machines:
            machine.plug(host)
        endpoints = [
            {
                "name": m.short_name,
                "tenant": "acme",
                "iface-id": m.short_name,
                "mac": m.mac,
                "ips": list(m.ips),
            }
            for m in self.machines
        ]
        inventory = {"kind": "inventory", "hosts": {"hv1": host.inventory()}, "endpoints": endpoints}
        self._write("inventory", inventory)
        self.put({}, None, wait=False)
        address = lab.controller_address
        self.controller = lab.controller.start(
            str(ZONEWALL), "run", str(self.policies), "--state", str(self.state), "--allow-plain",
            "--openflow", f"tcp:{address}:6653", "--ovsdb", f"tcp:{address}:6640",
            "--events", f"file:{self.events}",
        )  # fmt: skip
        self._until(lambda: "controller_started" in self.controller.output())
        host.set_manager(f"tcp:{address}:6640")
        host.set_controller(f"tcp:{address}:6653")
        self._until(self._settled)

    def put(self, provider: dict[str, Any], limit: str | None, *, wait: bool = True) -> None:
        """Have all traffic allowed, under a limit if one is said."""
        before = self._status().get("configuration", {}).get("revision", 0)
        rule = {"name": "all", "from": "any", "to": "any", "action": "allow"}
        rule |= {"limit": limit} if limit else {}
        self._write("provider", {"kind": "provider", **provider})
        self._write("acme", {"kind": "tenant", "tenant": "acme", "tiers": [{"name": "t", "rules": [rule]}]})
        if wait:
            self._until(lambda: self._status()["configuration"]["revision"] > before and self._settled())

    def alert_to_silence(self, number: int) -> float:
        """Return the milliseconds from an alert's line to the last packet that arrives."""
        one, other = self.machines
        capture = Capture(other, CARD)
        sender = _Sender(one, other, 2000)
        sender.start()
        time.sleep(0.2)
        written = time.monotonic()
        event = {
            "timestamp": datetime.now(UTC).isoformat(), "event_type": "alert", "flow_id": number,
            "src_ip": "10.0.0.1", "dest_ip": "10.0.0.2", "alert": {"signature": "bench", "severity": 1},
        }  # fmt: skip
        with self.events.open("ab", buffering=0) as file:
            file.write(json.dumps(event).encode() + b"\n")
        last, seen = written, len(capture.drain())
        while time.monotonic() < written + QUIET_S:
            now = len(capture.drain())
            if now != seen:
                seen, last = now, time.monotonic()
            time.sleep(0.0002)
        sender.stop()
        capture.close()
        self._until(lambda: not self._status()["events"]["standing"] and self._settled())
        return (last - written) * 1000

    def off_by(self, seconds: float) -> float:
        """Return by how many percent more or less passes than a limit says, once its burst is spent."""
        one, other = self.machines
        capture = Capture(other, CARD)
        sender = _Sender(one, other, SENT_PPS)
        sender.start()
        time.sleep(2.0)
        before, began = len(capture.drain()), time.monotonic()
        while time.monotonic() < began + seconds:
            time.sleep(0.2)
            capture.drain()
        passed = (len(capture.drain()) - before) / (time.monotonic() - began)
        sender.stop()
        capture.close()
        return abs(passed / LIMIT_PPS - 1) * 100

    def _settled(self) -> bool:
        status = self._status()
        return bool(status) and all(
            one["state"] == "in-force" and not one["pending"] for one in status["bridges"]
        ) and all(
            any(place["state"] == "active" for place in one["places"]) for one in status["endpoints"]
        )  # fmt: skip

    def _status(self) -> dict[str, Any]:
        try:
            return ask(self.state / "control.sock", "/status")
        except ControllerUnreachableError:
            return {}

    def _until(self, condition: Any) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not so after {PATIENCE_S} s:\n{self.controller.output()[-3000:]}")
            time.sleep(0.02)

    def _write(self, name: str, document: dict[str, Any]) -> None:
        new = self.folder / f"{name}.new"
        new.write_text(yaml.safe_dump(document))
        new.replace(self.policies / f"{name}.yaml")


class _Sender(threading.Thread):
    """Sends the same datagram at a steady rate."""

    def __init__(self, one: Machine, other: Machine, per_s: int) -> None:
        super().__init__(daemon=True)
        self._card = one.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._card.bind((CARD, 0))
        macs = bytes.fromhex(other.mac.replace(":", "") + one.mac.replace(":", ""))
        head = bytes.fromhex("4500002400000000401100000a0000010a000002")
        head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
        self._frame = macs + b"\x08\x00" + head + bytes.fromhex("9c401e6100100000") + b"zonewall"
        self._every_s = 1 / per_s
        self._stopping = threading.Event()

    def run(self) -> None:
        """Send until stopped."""
        began, sent = time.monotonic(), 0
        while not self._stopping.is_set():
            due = int((time.monotonic() - began) / self._every_s)
            for _ in range(sent, due):
                self._card.send(self._frame)
            sent = due
            time.sleep(self._every_s)

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self.join()
        self._card.close()
