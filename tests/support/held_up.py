"""Where datagrams were lost that a switch did not drop: before it fetched them, or after they had arrived.

Open vSwitch fetches a port's frames from a packet socket of the kernel's default size, which holds 256 short
ones (212,992 bytes, 832 for each): 0.2 s of a thousand a second. What comes while that is full is dropped,
and no counter of the switch tells of it.
"""

from __future__ import annotations

import re

from topologies.lab import Host
from topologies.machine import Machine

_QUEUE = re.compile(r"\*:(\S+)\s.*skmem:\(.*\bd(\d+)\)")


def queues(host: Host) -> dict[str, int]:
    """Return how many frames of each port a switch that was held up has not fetched so far (ss(8), skmem)."""
    found = _QUEUE.findall(host.run("ss", "--packet", "--all", "--memory", "--numeric"))
    return {port: int(dropped) for port, dropped in found}


def not_fetched(host: Host, port: str) -> int:
    """Return how many there are of one port."""
    return queues(host)[port]


def not_read(machine: Machine, port: int) -> int:
    """Return how many datagrams came to a machine's UDP port and found no room at their reader (proc(5))."""
    rows = [line.split() for line in machine.run("cat", "/proc/net/udp").splitlines()[1:]]
    return sum(int(row[-1]) for row in rows if row[1].endswith(f":{port:04X}"))
