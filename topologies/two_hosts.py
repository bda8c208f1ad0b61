r"""Two hypervisor hosts, s1 and s2, joined by a link, with two virtual machines each; for mn(1):

    mn --custom topologies/two_hosts.py --topo two_hosts \
       --switch ovs,datapath=user,protocols=OpenFlow15 --controller remote

    h1 (web)  10.0.0.1 ── s1-eth1                        s2-eth1 ── h3 (web)   10.0.0.3
                                  s1 s1-eth3 ── s2-eth3 s2
    h2 (db)   10.0.0.2 ── s1-eth2                        s2-eth2 ── h4 (guest) 10.0.0.4

policies/mininet-two-hosts says who may reach whom.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mininet.topo import Topo

# mn executes this file without saying where it is.
sys.path.append(str(Path((lambda: None).__code__.co_filename).resolve().parents[1]))

from topologies import mininet_nodes as parts

MACHINES = (("h1", "s1"), ("h2", "s1"), ("h3", "s2"), ("h4", "s2"))


class TwoHosts(Topo):
    """Machines first, so that a host's ports 1 and 2 are theirs and 3 is the link."""

    def build(self) -> None:
        """Add everything."""
        for number, name in enumerate(("s1", "s2"), 1):
            self.addSwitch(name, dpid=f"{number:016x}")
        for number, (machine, host) in enumerate(MACHINES, 1):
            self.addHost(machine, ip=f"10.0.0.{number}/24", mac=f"52:54:00:00:00:{number:02x}")
            self.addLink(machine, host)
        self.addLink("s1", "s2")


topos = {"two_hosts": TwoHosts}
hosts, switches, cleanup = parts.hosts, parts.switches, parts.cleanup
