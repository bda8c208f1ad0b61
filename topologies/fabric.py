r"""Three hosts' bridges and a core bridge between them, with a loop, for mn(1):

    mn --custom topologies/fabric.py --topo fabric \
       --switch ovs,datapath=user,protocols=OpenFlow15 --controller remote

    h1, h2 ── s1 ─────── s2 ── h3, h4        s1 and s2 are joined directly and over the core,
               \         /                    s3 over the core alone: the links
                \       /                     s1-s2, s1-c9, s2-c9 are a loop.
                 c9 (core)
                  │
                 s3 ── h5, h6

Nothing floods in a circle, and no spanning tree blocks a link: zonewall finds the links and knows
the paths. policies/mininet-fabric says who may reach whom.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mininet.topo import Topo

# mn executes this file without saying where it is.
sys.path.append(str(Path((lambda: None).__code__.co_filename).resolve().parents[1]))

from topologies import mininet_nodes as parts

BRIDGES = {"s1": 1, "s2": 2, "s3": 3, "c9": 9}
# Not LINKS: mn takes every name of this file for one of its own.
CABLES = (("s1", "s2"), ("s1", "c9"), ("s2", "c9"), ("s3", "c9"))


class Fabric(Topo):
    """Machines first: ports 1 and 2 of a host's bridge are theirs, 3 and above are links."""

    def build(self, machines: int = 2) -> None:
        """Add everything.

        Args:
            machines: on each host; ``--topo fabric,4`` for more.
        """
        for name, number in BRIDGES.items():
            self.addSwitch(name, dpid=f"{number:016x}")
        for at, host in enumerate(("s1", "s2", "s3")):
            for one in range(machines):
                number = at * machines + one + 1
                name = self.addHost(
                    f"h{number}", ip=f"10.0.0.{number}/24", mac=f"52:54:00:00:00:{number:02x}"
                )
                self.addLink(name, host)
        for one_end, other_end in CABLES:
            self.addLink(one_end, other_end)


topos = {"fabric": Fabric}
hosts, switches, cleanup = parts.hosts, parts.switches, parts.cleanup
