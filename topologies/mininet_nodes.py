"""What Mininet's own hosts and switches lack for zonewall; for topologies of one's own, too.

A topology file takes what it needs into its own names, where mn(1) finds it (``two_hosts.py`` shows how)::

    hosts, switches, cleanup = parts.hosts, parts.switches, parts.cleanup
"""

from __future__ import annotations

import signal
import subprocess
from typing import Any, ClassVar

from mininet.link import Intf
from mininet.node import Host, Node, OVSSwitch

MACHINE_MTU = 1500
TAGS_BYTES = 8
"""A frame on a link between bridges carries two VLAN tags more than a machine sent."""


class VirtualMachine(Host):
    """A Mininet host that finishes its own checksums: user space forwards frames as they are."""

    running: ClassVar[list[Node]] = []

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.running.append(self)

    def config(self, **params: Any) -> dict[str, Any]:
        """Set the addresses as Mininet does, and leave no checksum to a card that does not exist."""
        result: dict[str, Any] = super().config(**params)
        for interface in self.intfList():
            said = self.cmd(f"ethtool -K {interface} tx off 2>&1")
            if self.cmd("echo $?").strip() != "0":
                raise RuntimeError(f"ethtool -K {interface} tx off, on {self}: {said.strip()}")
        return result


class Bridge(OVSSwitch):
    """Mininet's Open vSwitch (secure, no in-band control), ready for links that carry two VLAN tags."""

    running: ClassVar[list[Node]] = []

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.running.append(self)

    def start(self, controllers: list[Any]) -> None:
        """Start; the switch looks at both tags, and links to other switches have room for them."""
        # First, so that the bridge never forwards by one tag alone.
        self.cmd("ovs-vsctl set Open_vSwitch . other_config:vlan-limit=2")
        for interface in self.intfList():
            if interface.link and all(isinstance(end.node, Bridge) for end in ends(interface)):
                self.cmd(f"ip link set dev {interface} mtu {MACHINE_MTU + TAGS_BYTES}")
        super().start(controllers)


def ends(interface: Intf) -> tuple[Intf, Intf]:
    """Return both ends of an interface's link."""
    return interface.link.intf1, interface.link.intf2


def cleanup() -> None:
    """Undo what an interrupted mn began, and nothing else: its own clean-up ends others' processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for bridge in Bridge.running:
        subprocess.run(["ovs-vsctl", "--if-exists", "del-br", bridge.name], check=False)
    for node in (*VirtualMachine.running, *Bridge.running):
        for interface in node.intfList():
            subprocess.run(["ip", "link", "del", str(interface)], check=False, stderr=subprocess.DEVNULL)
        node.terminate()


hosts = {"proc": VirtualMachine}
switches = {"ovs": Bridge, "ovsk": Bridge, "default": Bridge}
