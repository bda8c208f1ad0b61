"""A transparent proxy that filters URLs: squid in a machine, with a leg that connections are sent into.

What comes in by the leg is for others; the machine takes it all the same and hands what is for one port to
squid, which answers in the server's place. What it fetches it fetches by its own card, under its own address.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path

from topologies.lab import Host
from topologies.machine import Machine
from topologies.namespace import LabError, Process, checked_name

LEG = "leg0"
PORT = 3129
START_S = 20.0
_RULES = """\
table netdev leg {{
  chain take {{
    type filter hook ingress device {leg} priority 0
    ether type ip meta pkttype set host
  }}
}}
table ip proxy {{
  chain divert {{
    type nat hook prerouting priority -100
    iifname {leg} tcp dport {port} redirect to :{own}
  }}
  chain closed {{
    type filter hook input priority 0
    iifname {leg} tcp dport != {own} drop
  }}
}}
"""
_SQUID = """\
http_port 127.0.0.1:3128
http_port 0.0.0.0:{port} intercept
acl refused urlpath_regex {refused}
http_access deny refused
http_access allow all
cache deny all
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
netdb_filename none
visible_hostname {name}
host_verify_strict off
shutdown_lifetime 0 seconds
"""


class UrlFilter:
    """Refuses URLs whose path matches a pattern, with squid's own page (403)."""

    def __init__(
        self,
        machine: Machine,
        host: Host,
        function: str,
        address: str,
        clients: Sequence[Machine],
        refused: str,
        port: int = 80,
    ) -> None:
        """Give a plugged machine a leg on a host, with an address of its own, and start squid in it.

        Args:
            machine: an endpoint; by its card it fetches what it lets through.
            host: where the leg is.
            function: what the inventory calls it.
            address: an IPv4 address that answers ARP on the leg.
            clients: whom it answers: machines on the same subnet.
            refused: an extended regular expression for paths.
            port: of the servers.

        Raises:
            LabError: squid did not start.
        """
        self.machine = machine
        self._host = host
        self.leg = checked_name(f"{function}-leg")
        machine.ip(f"link add name {LEG} type veth peer name {self.leg} netns {host.name}")
        machine.run("ethtool", "-K", LEG, "tx", "off")
        for scope in ("all", LEG):
            machine.sysctl(f"net.ipv4.conf.{scope}.rp_filter", 0)
        machine.sysctl(f"net.ipv6.conf.{LEG}.disable_ipv6", 1)
        subnet = ".".join(address.split(".")[:3]) + ".0/24"
        machine.ip(
            f"link set dev {LEG} promisc on up",
            f"address add {address}/32 dev {LEG}",
            f"route add {subnet} dev {LEG} table 100",
            f"rule add from {address} lookup 100",
            *(f"neighbour add {one.ips[0]} lladdr {one.mac} dev {LEG} nud permanent" for one in clients),
        )
        machine.run("nft", "-f", "-", stdin=_RULES.format(leg=LEG, port=port, own=PORT))
        host.add_port(self.leg, role={"role": "service", "function": function, "leg": "only"})
        name = machine.name.replace("-", "")
        file = Path(machine.ledger.folder) / f"{function}-squid.conf"
        file.write_text(_SQUID.format(port=PORT, refused=refused, name=machine.short_name))
        self._words = ("squid", "-N", "-n", name, "-f", str(file))
        self.squid: Process
        self.start()

    def start(self) -> None:
        """Start squid and wait until it listens.

        Raises:
            LabError: it did not.
        """
        self.squid = self.machine.start(*self._words)
        deadline = time.monotonic() + START_S
        listening = f":{PORT} "
        while self.squid.running() and time.monotonic() < deadline:
            if listening in self.machine.run("ss", "-Hltn"):
                return
            time.sleep(0.05)
        raise LabError(f"squid did not start: {self.squid.output()[-500:]}")

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames out of the leg, as a hostile appliance would."""
        with self.machine.socket(socket.AF_PACKET, socket.SOCK_RAW) as card:
            card.bind((LEG, 0))
            for frame in frames:
                card.send(frame)

    def set_alive(self, *, alive: bool) -> None:
        """Pull the leg's cable at its host's end, or plug it in again."""
        self._host.ip(f"link set dev {self.leg} {'up' if alive else 'down'}")
