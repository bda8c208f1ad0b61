"""A lab's virtual machines: a namespace with one network card whose cable can be moved between hosts.

The card's other end is a port of a small Linux bridge, the *cable*, in the lab's patch panel. Each host that
the machine is plugged into has a leg to that panel; only the leg in the cable carries frames. Moving the
cable is what a hypervisor does when the copy of the machine starts on the other host: the machine, its
addresses and its connections notice nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from topologies import frames
from topologies.namespace import LabError, Namespace, checked_name

if TYPE_CHECKING:
    from topologies.lab import Host, Lab

CARD = "eth0"


@dataclass(frozen=True, slots=True)
class Migration:
    """When the stages of a migration were over, as readings of ``time.monotonic()``."""

    appeared_at: float
    handed_over_at: float
    removed_at: float
    announcer: frames.Announcer | None


class Machine(Namespace):
    """A virtual machine; plugged into no host until ``plug``."""

    def __init__(
        self, lab: Lab, index: int, name: str, mac: str, ips: Sequence[str], gateways: Sequence[str]
    ):
        super().__init__(lab.ledger, checked_name(name), ipv6=True)
        self.lab = lab
        self.mac = mac
        self.ips = tuple(str(ipaddress.ip_interface(ip).ip) for ip in ips)
        self._index = index
        self._cable = f"cable{index}"
        self._legs: dict[Host, str] = {}
        self._ports: dict[Host, str] = {}
        self._identity: dict[str, Any] = {}
        self.at: Host | None = None
        panel = lab.panel
        panel.ip(
            # Without ageing it learns nothing: a cable carries every frame, whoever it says it is from.
            f"link add name {self._cable} type bridge stp_state 0 ageing_time 0 mcast_snooping 0",
            f"link add name card{index} type veth peer name {CARD} address {mac} netns {self.name}",
            f"link set dev card{index} master {self._cable} up",
            f"link set dev {self._cable} up",
        )
        # Without it a checksum is left to a card that does not exist, and user space forwards it wrong.
        self.run("ethtool", "-K", CARD, "tx", "off")
        addresses = [f"address add {ip} dev {CARD}{' nodad' if ':' in ip else ''}" for ip in ips]
        routes = [f"route add default via {gateway} dev {CARD}" for gateway in gateways]
        self.ip(*addresses, f"link set dev {CARD} up", *routes)

    def plug(
        self,
        host: Host,
        bridge: str | None = None,
        *,
        port: str | None = None,
        iface_id: str | None = None,
        vm_id: str | None = None,
        tag: int | None = None,
        ids: bool = True,
    ) -> int:
        """Give the machine a port on a host and return its OpenFlow number; the first one gets the cable.

        Args:
            host: where.
            bridge: one of the host's; its first unless said.
            port: the interface's name on the host; the machine's own name unless said.
            iface_id: ``external_ids:iface-id``; the machine's own name unless said.
            vm_id: ``external_ids:vm-id``; the same as iface_id unless said.
            tag: makes it an access port of that VLAN.
            ids: False writes no external ids at all, as plain Mininet does.
        """
        if host in self._legs:
            raise LabError(f"{self.short_name} already has a port on {host.short_name}")
        port = checked_name(port or self.short_name)
        leg = f"leg{self._index}.{host.index}"
        self.lab.panel.ip(
            f"link add name {leg} type veth peer name {port} netns {host.name}", f"link set dev {leg} up"
        )
        self._legs[host] = leg
        self._ports[host] = port
        self._identity = {"iface_id": iface_id, "vm_id": vm_id, "tag": tag, "ids": ids}
        iface_id = iface_id or self.short_name
        words = {"iface-id": iface_id, "attached-mac": self.mac, "vm-id": vm_id or iface_id}
        ofport = host.add_port(port, bridge, external_ids=words if ids else {}, tag=tag)
        if self.at is None:
            self.hand_over(host)
        return ofport

    def unplug(self, host: Host | None = None) -> None:
        """Remove the machine's port on a host (where its cable is, unless said)."""
        host = host or self.at
        if host is None or host not in self._legs:
            raise LabError(f"{self.short_name} has no port there")
        host.del_port(self._ports.pop(host))
        self.lab.panel.ip(f"link del dev {self._legs.pop(host)}")
        if self.at is host:
            self.at = None

    def hand_over(self, host: Host, pause_s: float = 0.0) -> None:
        """Move the cable to a host that has a port for the machine; for the pause it is nowhere."""
        away = [] if self.at is None else [f"link set dev {self._legs[self.at]} nomaster"]
        there = [f"link set dev {self._legs[host]} master {self._cable}"]
        if pause_s > 0 and away:
            self.lab.panel.ip(*away)
            time.sleep(pause_s)
            away = []
        self.lab.panel.ip(*away, *there)
        self.at = host

    def leg(self, host: Host) -> str:
        """Return the interface in the patch panel that ends at the machine's port on a host."""
        return self._legs[host]

    def is_plugged(self, host: Host) -> bool:
        """Say whether the machine has a port on a host."""
        return host in self._legs

    def send_at(self, host: Host, sent: Sequence[bytes]) -> None:
        """Send frames into the machine's port on a host, wherever its cable is."""
        with self.lab.panel.socket(socket.AF_PACKET, socket.SOCK_RAW) as leg:
            leg.bind((self._legs[host], 0))
            for frame in sent:
                leg.send(frame)

    def announce(
        self, host: Host | None = None, kind: str = "rarp", times_s: Sequence[float] = frames.QEMU_TIMES_S
    ) -> frames.Announcer:
        """Send announcements into the machine's port on a host, as its hypervisor would, and go on.

        Args:
            host: where; the machine's present one unless said.
            kind: ``rarp``, or ``arp`` for gratuitous ARP and unsolicited neighbour advertisements.
            times_s: seconds after now at which each round is sent.
        """
        host = host or self.at
        if host is None or host not in self._legs:
            raise LabError(f"{self.short_name} has no port there to announce itself from")
        announcer = frames.Announcer(self.lab.panel, self._legs[host], self._announcements(kind), times_s)
        self.lab.running.append(announcer)
        announcer.start()
        return announcer

    def migrate(
        self,
        to: Host,
        bridge: str | None = None,
        *,
        copy_s: float = 0.3,
        ready: Callable[[], object] | None = None,
        pause_s: float = 0.0,
        linger_s: float = 1.0,
        kind: str | None = "rarp",
    ) -> Migration:
        """Move the machine live, and return when its old port is gone.

        The port on the new host appears with the same ids while the machine still runs on the old one
        (``copy_s``, and until ``ready`` returns); then the cable moves and the announcements begin; the old
        port goes ``linger_s`` later. ``kind`` None announces nothing.
        """
        origin = self.at
        if origin is None or origin is to:
            raise LabError(f"{self.short_name} cannot move from where it is to {to.short_name}")
        self.plug(to, bridge, port=self._ports[origin], **self._identity)
        appeared_at = time.monotonic()
        time.sleep(copy_s)
        if ready is not None:
            ready()
        self.hand_over(to, pause_s)
        handed_over_at = time.monotonic()
        announcer = None if kind is None else self.announce(to, kind)
        time.sleep(linger_s)
        self.unplug(origin)
        return Migration(appeared_at, handed_over_at, time.monotonic(), announcer)

    def ping(self, address: str, count: int = 1, timeout_s: float = 1.0, interval_s: float = 0.2) -> int:
        """Return how many of so many echo requests were answered."""
        words = ["ping", "-n", "-q", "-c", str(count), "-i", str(interval_s), "-W", str(timeout_s), address]
        done = self.run(
            "sh", "-c", '"$@" || true', "sh", *words, timeout_s=count * (timeout_s + interval_s) + 10
        )
        for line in done.splitlines():
            if " received" in line:
                return int(line.split(",")[1].split()[0])
        raise LabError(f"ping from {self.short_name} to {address}: {done.strip()}")

    def capture(self) -> frames.Capture:
        """Begin to catch what arrives at the machine's card."""
        return frames.Capture(self, CARD)

    def _announcements(self, kind: str) -> list[bytes]:
        if kind == "rarp":
            return [frames.rarp(self.mac)]
        if kind == "arp":
            make = {4: frames.gratuitous_arp, 6: frames.unsolicited_advertisement}
            return [make[ipaddress.ip_address(ip).version](self.mac, ip) for ip in self.ips]
        raise LabError(f"an announcement is 'rarp' or 'arp', not {kind!r}")
