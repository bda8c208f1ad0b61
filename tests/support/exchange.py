"""A bridge under steady traffic, on which large policies are exchanged and read back."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

from topologies.lab import Host, Lab

from support import steady
from support.compiled import HERE
from support.configurations import configure, endpoint, rule, tenant, tier, zone
from support.openflow_bridge import admit_all
from zonewall.flows.assembly import Assembler
from zonewall.flows.diff import Change
from zonewall.flows.encoded import BridgeState
from zonewall.flows.staging import LARGE, FlowTable, Plan, plan
from zonewall.intent.fleet import Fleet, index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.openflow.events import BridgeUp, Event
from zonewall.openflow.listener import Listener, ListenerOptions
from zonewall.placement.model import Binding, BindingState, BridgeKey, Placement
from zonewall.policy.inventory import Attachment, BridgeDeclaration, HostDeclaration
from zonewall.policy.model import Configuration
from zonewall.reconciler import keeper as keeper_module
from zonewall.reconciler.compiler import Compiler
from zonewall.reconciler.keeper import BridgeKeeper
from zonewall.reconciler.link import SessionLink
from zonewall.values.addresses import parse_mac
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort

T = TypeVar("T")
PORTS_OF_A_RULE = 50
PATIENCE_S = 300.0
KEY = BridgeKey(HostName("hv1"), BridgeName("br-int"))
MACS = {"acme/one": "52:54:00:00:00:01", "acme/two": "52:54:00:00:00:02"}


def configuration(first_port: int, rules: int) -> Configuration:
    """Return 50 service matches a rule in one tenant, all others than those of another first port."""
    ports = ",".join(str(first_port + 2 * n) for n in range(PORTS_OF_A_RULE))
    made = [rule(f"r{n}", "one", "two", services=f"tcp/{ports} from {1024 + n}") for n in range(rules)]
    own = tenant(
        "acme",
        tier("t", *made, rule("steady", "one", "two", services=f"udp/{steady.PORT}")),
        zones=[zone(name, labels={"role": name}) for name in ("one", "two")],
    )
    ends = [
        endpoint(key, f"10.0.0.{n}", mac=parse_mac(MACS[key]), labels={"role": key.split("/")[1]})
        for n, key in enumerate(sorted(MACS), 1)
    ]
    bridge = BridgeDeclaration(KEY.bridge, Attachment.FABRIC, {}, HERE)
    host = HostDeclaration(KEY.host, "hv1", "hv1", {KEY.bridge: bridge}, HERE)
    return configure(*ends, own, hosts={KEY.host: host})


class CompiledBefore(Compiler):
    """Compiles each policy once: what is measured is the exchange."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, BridgeState] = {}

    async def wanted(
        self, fleet: Fleet, key: BridgeKey, then: Callable[[BridgeState], T], *, at_once: bool = False
    ) -> tuple[BridgeState, T]:
        if id(fleet) not in self._made:
            self._made[id(fleet)] = await asyncio.to_thread(Assembler().state, fleet, key)
        state = self._made[id(fleet)]
        return state, then(state)


@dataclass(slots=True)
class Flights:
    """What became of the traffic: while nothing happened, and while what is named did."""

    flows: int
    idle: list[steady.Flight]
    exchanged: list[steady.Flight]
    at_once: list[steady.Flight]
    read: list[steady.Flight]
    read_at_once: list[steady.Flight]


class Exchange:
    """Two policies of the same size that a bridge is kept by in turn."""

    def __init__(self, lab: Lab, host: Host, ports: dict[str, int], arrivals: Path, rules: int) -> None:
        self.lab, self.host, self.arrivals = lab, host, arrivals
        bindings = {
            EndpointKey(key): (Binding(EndpointKey(key), KEY, OfPort(port), BindingState.ACTIVE),)
            for key, port in ports.items()
        }
        placement = Placement(bindings, {})
        numbering = Numbering()
        self.fleets: list[Fleet] = []
        for first_port in (1000, 20001):
            policy = prepare(configuration(first_port, rules), numbering)
            numbering = policy.numbering
            self.fleets.append(index_fleet(policy, placement))
        self.present = self.fleets[0]

    async def run(self, runs: int) -> Flights:
        """Connect the bridge, and measure."""
        up: asyncio.Queue[Event] = asyncio.Queue()
        options = ListenerOptions(self.lab.controller_address, 6653, 1, allow_plain=True)
        listener = Listener(options, admit_all, up.put_nowait)
        await listener.start()
        self.host.set_controller(f"tcp:{self.lab.controller_address}:6653")
        while not isinstance(await asyncio.wait_for(up.get(), 20), BridgeUp):
            pass
        keeper = BridgeKeeper(KEY, lambda: self.present, lambda _: None, CompiledBefore())
        task = asyncio.create_task(keeper.run())
        link = SessionLink(next(iter(listener.sessions.values())))
        keeper.connect(link)
        assert await keeper.settled(PATIENCE_S), keeper.status
        flows = keeper.status.flows
        await asyncio.sleep(1.0)
        idle = [await self._during(partial(asyncio.sleep, 1.5)) for _ in range(runs)]
        exchanged = [await self._exchanged(keeper) for _ in range(runs)]
        with in_one_bundle():
            at_once = [await self._exchanged(keeper)]
        state = keeper.holdings.last_confirmed
        assert state is not None
        read = [await self._during(partial(link.read_state, (state,))) for _ in range(runs)]
        read_at_once = [await self._during(link.read_state)]
        assert keeper.status.state == "in-force"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await listener.stop()
        return Flights(flows, idle, exchanged, at_once, read, read_at_once)

    async def _during(self, work: Callable[[], Awaitable[object]]) -> steady.Flight:
        with steady.window(self.arrivals) as measured:
            await work()
            await asyncio.sleep(0.05)
        return measured.flight()

    async def _exchanged(self, keeper: BridgeKeeper) -> steady.Flight:
        self.present = self.fleets[self.present is self.fleets[0]]

        async def exchange() -> None:
            keeper.wake()
            assert await keeper.settled(PATIENCE_S), keeper.status

        return await self._during(exchange)


@contextmanager
def in_one_bundle() -> Iterator[None]:
    """Have keepers make every change in one bundle, however large."""

    def whole(
        change: Change,
        installed: FlowTable,
        wanted: FlowTable,
        turned: frozenset[int] = frozenset(),
        large: int = LARGE,
    ) -> Plan:
        return plan(change, installed, wanted, turned, large=max(large, 1_000_000))

    with patch.object(keeper_module, "plan", whole):
        yield


def measured(lab: Lab, rules: int, runs: int) -> Flights:
    """Put two machines under traffic on a host of the lab, and exchange policies of so many rules."""
    host = lab.host("hv1")
    one = lab.machine("acme-one", MACS["acme/one"], ["10.0.0.1/24"])
    two = lab.machine("acme-two", MACS["acme/two"], ["10.0.0.2/24"])
    ports = {"acme/one": one.plug(host), "acme/two": two.plug(host)}
    arrivals = Path(lab.ledger.folder) / "arrivals"
    two.start(sys.executable, steady.__file__, "receive", str(steady.PORT), str(arrivals))
    sender = one.start(sys.executable, steady.__file__, "send", "10.0.0.2", str(steady.PORT), "1000")
    # Other work on the machine is not to be measured: the switch and the sender go before it.
    switch = int((host.switch.folder / "ovs-vswitchd.pid").read_text())
    for process in (switch, sender.pid):
        os.setpriority(os.PRIO_PROCESS, process, -20)
    time.sleep(0.2)
    exchange = Exchange(lab, host, ports, arrivals, rules)
    return lab.controller.call(lambda: asyncio.run(exchange.run(runs)))
