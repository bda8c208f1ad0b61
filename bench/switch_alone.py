"""What the switch, its database and ovs-vsctl(8) take by themselves: no controller can be quicker."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from bench.bare_client import BareClient
from bench.ovn_measure import Size
from bench.programming import FREED_S, some_flows
from support.dummy import DummySwitch
from zonewall.flows.wire import encode_program, flow_mod_body

OF_ONE = 25
"""Flows of one endpoint that is plugged, about."""
QUIET_S = 0.7
"""Longer than rows stay for cached decisions (decision 0011): nothing follows what was confirmed before."""


class SwitchAlone:
    """A bridge that holds as many ports as endpoints, to which no controller is connected."""

    def __init__(self, switch: DummySwitch, bridge: str, names: Sequence[str], size: Size, runs: int) -> None:
        """Measure ``runs`` times; ``names``: of all ports, of which the bridge has the first ones."""
        self._switch, self._bridge, self._names = switch, bridge, names
        self._size, self._runs = size, runs

    def measure(self) -> dict[str, list[float]]:
        """Return milliseconds by what they are of; the ports are as they were, and there are no flows."""
        times = range(self._runs)
        return {
            "a port plugged by ovs-vsctl, nobody connected": [self._plugged() for _ in times],
            "the same, ovs-vsctl not waiting for the switch": [self._plugged("--no-wait") for _ in times],
            "ovs-vsctl itself, not waiting for the switch": [self._claimed() for _ in times],
            "a port plugged, database's word to a ready bundle confirmed": self._least(),
        }

    def _plug(self, name: str, *options: str) -> None:
        words = ("set", "interface", name, "type=dummy", f"external_ids:iface-id={name}")
        self._switch.vsctl(*options, "add-port", self._bridge, name, "--", *words)

    def _plugged(self, *options: str) -> float:
        """Return how long one port more takes: the switch, if it is waited for, looks at all of them."""
        name = self._names[self._size.endpoints]
        begin = time.monotonic()
        self._plug(name, *options)
        took = (time.monotonic() - begin) * 1e3
        self._switch.vsctl("wait-until", "interface", name, "ofport>0")
        self._switch.del_port(self._bridge, name)
        time.sleep(QUIET_S)
        return took

    def _claimed(self) -> float:
        """Return how long it takes to write down whose a port is."""
        name = self._names[0]
        begin = time.monotonic()
        self._switch.vsctl("--no-wait", "set", "interface", name, f"external_ids:iface-id={name}")
        took = (time.monotonic() - begin) * 1e3
        time.sleep(QUIET_S)
        return took

    def _least(self) -> list[float]:
        """Return how long the switch takes, holding as many flows, with one bundle for a port."""
        held = 3 * self._size.endpoints + 4 * self._size.rules
        flows = encode_program(some_flows(held + self._runs * OF_ONE)).flows
        bodies = [flow_mod_body(flow) for flow in flows.values()]
        client = BareClient(self._switch.run_dir, self._bridge)
        client.put(bodies[:held])
        found = []
        for number in range(self._runs):
            time.sleep(QUIET_S)
            name = self._names[self._size.endpoints + number]
            plugging = threading.Thread(target=self._plug, args=(name,))
            begin = held + number * OF_ONE
            found.append(client.plugged(plugging.start, 1 + number, bodies[begin : begin + OF_ONE]))
            plugging.join()
            self._switch.del_port(self._bridge, name)
        client.close()
        self._switch.ofctl("del-flows", self._bridge)
        time.sleep(FREED_S)
        return found
