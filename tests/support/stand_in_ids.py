"""A stand-in for an IDS: tshark reads the mirror target's port, and what it finds is written as EVE JSON.

It is no Suricata: the schema is Suricata's, the detection is a display filter of Wireshark's.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from topologies.lab import Namespace

FIELDS = ("frame.time_epoch", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "eth.src", "eth.dst", "tcp.srcport")
SIGNATURE = "STAND-IN request for a password file"
FILTER = 'tcp.dstport == 80 and http.request.uri contains "etc/passwd"'


def alert(source: str, destination: str, *, at: datetime | None = None, **more: Any) -> dict[str, Any]:
    """Return an alert as Suricata writes it."""
    moment = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
    said = {"action": "allowed", "gid": 1, "signature_id": 1000001, "rev": 1, "signature": SIGNATURE}
    return {
        "timestamp": moment, "flow_id": 1, "in_iface": "eth0", "event_type": "alert", "src_ip": source,
        "src_port": 40000, "dest_ip": destination, "dest_port": 80, "proto": "TCP",
        "alert": {**said, "category": "", "severity": 1}, **more,
    }  # fmt: skip


def write(path: Path, *events: dict[str, Any]) -> None:
    """Append events, one a line, as one write."""
    with path.open("ab", buffering=0) as file:
        file.write(b"".join(json.dumps(event).encode() + b"\n" for event in events))


class StandIn:
    """Reads a sink's port until stopped, and writes an alert for each packet that its filter finds."""

    def __init__(self, sink: Namespace, path: Path) -> None:
        words = ["tshark", "-n", "-l", "-i", "eth0", "-Y", FILTER, "-T", "fields"]
        self._process = sink.start(*words, *(word for name in FIELDS for word in ("-e", name)))
        self._path = path
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def is_listening(self) -> bool:
        """Say whether it has opened the port."""
        return "Capture started" in self._process.output()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()
        self._process.stop()

    def _work(self) -> None:
        done = 0
        while not self._stopping.wait(0.01):
            lines = [
                line for line in self._process.output().splitlines() if line.count("\t") == len(FIELDS) - 1
            ]
            for line in lines[done:]:
                found = dict(zip(FIELDS, line.split("\t"), strict=True))
                ends = (found["ip.src"] or found["ipv6.src"], found["ip.dst"] or found["ipv6.dst"])
                ether = {"src_mac": found["eth.src"], "dest_mac": found["eth.dst"]}
                at = datetime.fromtimestamp(float(found["frame.time_epoch"]), UTC)
                write(self._path, alert(*ends, at=at, ether=ether))
            done = len(lines)
