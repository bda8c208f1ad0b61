"""A private Open vSwitch with one bridge, into which frames are put, and out of which they are read."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from support.dummy import STARTING_S, DummySwitch, running_dummy_switch

_BRIDGE = "br0"
_MARKER = bytes.fromhex("0200000000fe0200000000ff88b5") + b"\0" * 46
_MARKER_FLOW = "table=0,priority=65535,dl_type=0x88b5 actions=in_port"
"""Sends a frame of the local experimental type (IEEE 802) back where it came from."""


class InjectedSwitch:
    """The bridge of a switch, with ports 1 to ``ports``."""

    def __init__(self, switch: DummySwitch, ports: int) -> None:
        self._switch = switch
        self.ports = range(1, ports + 1)
        switch.add_bridge(_BRIDGE)
        switch.add_ports(_BRIDGE, self.ports)

    def program(self, flows: list[str], groups: list[str] | None = None) -> None:
        """Make these the bridge's flows and groups, with no connection and no cached decision left.

        Raises:
            AssertionError: the switch refused them; its words are the text.
        """
        self._switch.clear(_BRIDGE)
        if groups:
            self._switch.ofctl("add-groups", _BRIDGE, "-", stdin="\n".join(groups))
        self._switch.load_flows(_BRIDGE, [*flows, _MARKER_FLOW])

    def appctl(self, command: str, *words: str) -> str:
        """Return what ``ovs-vswitchd`` answers to a command of ovs-appctl(8)."""
        return self._switch.appctl(command, *words)

    def inject(self, port: int, frame: bytes) -> list[tuple[int, bytes]]:
        """Put a frame into a port; return (port, frame) of all that left, by port, each port's in order."""
        self.appctl("netdev-dummy/receive", f"p{port}", frame.hex())
        # A port's frames are handled in order: when the marker is back, the frame before it is through.
        self.appctl("netdev-dummy/receive", f"p{port}", _MARKER.hex())
        left: list[tuple[int, bytes]] = []
        until = time.monotonic() + STARTING_S
        while (port, _MARKER) not in left:
            assert time.monotonic() < until, f"port {port} took no frame for {STARTING_S} s"
            self.appctl("version")
            left += self._all_new()
        self.appctl("version")
        left += self._all_new()
        return sorted(((number, sent) for number, sent in left if sent != _MARKER), key=itemgetter(0))

    def _all_new(self) -> list[tuple[int, bytes]]:
        return [(number, sent) for number in self.ports for sent in self._switch.captured(f"p{number}")]

    def connections(self) -> set[str]:
        """Return the lines of the connection table without what depends on time."""
        return self._switch.connections()

    def traced_port(self, flow: str) -> str:
        """Return the datapath actions that ``ofproto/trace`` ends in."""
        return self._switch.datapath_actions(flow, _BRIDGE)


@contextlib.contextmanager
def injected_switch(folder: Path, ports: int = 5) -> Iterator[InjectedSwitch]:
    """Give a running switch and end it afterwards."""
    with running_dummy_switch(folder) as switch:
        yield InjectedSwitch(switch, ports)
