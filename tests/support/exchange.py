"""A bridge under steady traffic, on which large policies are programmed, exchanged and read back."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from topologies.lab import Host, Lab, Machine, Process

from support import steady
from support.compiled import HERE
from support.configurations import configure, endpoint, rule, tenant, tier, zone
from support.held_up import not_fetched, not_read
from support.openflow_bridge import admit_all
from zonewall.flows.assembly import Assembler
from zonewall.flows.diff import Change
from zonewall.flows.encoded import BridgeState, EncodedFlow, FlowKey
from zonewall.flows.staging import LARGE, FlowTable, Plan, plan
from zonewall.intent.fleet import Fleet, index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.openflow.events import BridgeUp, Event
from zonewall.openflow.listener import Listener, ListenerOptions
from zonewall.openflow.session import Session
from zonewall.placement.model import Binding, BindingState, BridgeKey, Placement
from zonewall.policy.inventory import Attachment, BridgeDeclaration, HostDeclaration
from zonewall.policy.model import Configuration
from zonewall.reconciler import preparing
from zonewall.reconciler.compiler import Compiler
from zonewall.reconciler.keeper import BridgeKeeper
from zonewall.reconciler.link import SessionLink
from zonewall.values.addresses import parse_mac
from zonewall.values.names import BridgeName, EndpointKey, HostName, OfPort

T = TypeVar("T")
PORTS_OF_A_RULE = 50
PATIENCE_S, PAUSE_S, IDLE_S = 300.0, 0.5, 1.0
KEY = BridgeKey(HostName("hv1"), BridgeName("br-int"))
MACS = {"acme/one": "52:54:00:00:00:01", "acme/two": "52:54:00:00:00:02"}
SIDE_MACS = ("52:54:00:00:00:03", "52:54:00:00:00:04")
SIDE, SIDE_ADDRESS = "br-side", "10.0.0.4"
"""Another bridge of the same switch, an ordinary one: what passes there is other traffic on that host."""
FORBIDDEN_PORT, FORBIDDEN_PER_S = steady.PORT + 1, 200


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
    """What became of the traffic: while nothing happened, and while what is named did.

    Attributes:
        flows: that the bridge holds in the end.
        programmed: of the traffic on the other bridge, while the first one was filled from empty.
        side_idle: of the same, while nothing happened.
        forbidden: datagrams that no policy allows, sent from the beginning to the end.
        leaked: those of them that arrived.
        others: cores that other work on the machine had meanwhile, on average.
        largest_answer: the most flows that the bridge composed at once while it was read in pieces.
    """

    flows: int
    forbidden: int
    leaked: int
    others: float
    largest_answer: int
    programmed: list[steady.Flight]
    side_idle: list[steady.Flight]
    idle: list[steady.Flight]
    exchanged: list[steady.Flight]
    at_once: list[steady.Flight]
    read: list[steady.Flight]
    read_at_once: list[steady.Flight]


class Exchange:
    """Two policies of the same size that a bridge is kept by in turn."""

    def __init__(self, lab: Lab, host: Host, ports: dict[str, int], streams: Streams, rules: int) -> None:
        self.lab, self.host, self.streams = lab, host, streams
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
        work = OtherWork((self.host.switch.pid, *self.streams.processes))
        up: asyncio.Queue[Event] = asyncio.Queue()
        options = ListenerOptions(self.lab.controller_address, 6653, 1, allow_plain=True)
        listener = Listener(options, admit_all, up.put_nowait)
        await listener.start()
        self.host.vsctl("set-controller", KEY.bridge, f"tcp:{self.lab.controller_address}:6653")
        # Nobody connects anew here: a loop that a busy machine holds up for long is not to be given up.
        self.host.vsctl("set", "controller", KEY.bridge, "inactivity_probe=0")
        while not isinstance(await asyncio.wait_for(up.get(), 20), BridgeUp):
            pass
        compiler = CompiledBefore()
        for fleet in self.fleets:
            await compiler.wanted(fleet, KEY, lambda _: None)
        keeper = BridgeKeeper(KEY, lambda: self.present, lambda _: None, compiler)
        task = asyncio.create_task(keeper.run())
        link = SessionLink(next(iter(listener.sessions.values())))
        programmed, side_idle = [], []
        for _ in range(runs):
            self._empty()
            await asyncio.sleep(PAUSE_S)
            side_idle.append(await self._during(partial(asyncio.sleep, IDLE_S), self.streams.side))
            programmed.append(await self._during(partial(self._programmed, keeper, link), self.streams.side))
        flows = keeper.status.flows
        await asyncio.sleep(PAUSE_S)
        idle, exchanged, read = [], [], []
        for _ in range(runs):
            idle.append(await self._during(partial(asyncio.sleep, IDLE_S)))
            exchanged.append(await self._exchanged(keeper))
        with in_one_bundle():
            at_once = [await self._exchanged(keeper)]
        state = keeper.holdings.last_confirmed
        assert state is not None
        with answers() as sizes:
            for _ in range(runs):
                read.append(await self._during(partial(link.read_state, (state,))))
        read_at_once = [await self._during(link.read_state)]
        assert keeper.status.state == "in-force"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await listener.stop()
        leaked = len(steady.rows(self.streams.leaked))
        return Flights(
            flows, self.streams.forbidden(), leaked, work.cores(), max(sizes), programmed, side_idle, idle,
            exchanged, at_once, read, read_at_once,
        )  # fmt: skip

    def _empty(self) -> None:
        """Take all there is from the bridge, as a restart of its switch does."""
        self.host.ofctl("del-flows", KEY.bridge)
        self.host.ofctl("del-groups", KEY.bridge)
        self.host.ofctl("del-meters", KEY.bridge)

    async def _programmed(self, keeper: BridgeKeeper, link: SessionLink) -> None:
        if keeper.link is None:
            keeper.connect(link)
        keeper.holdings.forget()
        keeper.wake()
        assert await keeper.settled(PATIENCE_S), keeper.status

    async def _during(
        self, work: Callable[[], Awaitable[object]], arrivals: Path | None = None
    ) -> steady.Flight:
        arrivals = arrivals or self.streams.allowed
        sender, receiver = self.streams.ends[arrivals]
        before = not_fetched(self.host, sender.short_name), not_read(receiver, steady.PORT)
        with steady.window(arrivals) as measured:
            await work()
            await asyncio.sleep(0.05)
        flight, missed = measured.flight(), not_fetched(self.host, sender.short_name) - before[0]
        arrived = not_read(receiver, steady.PORT) - before[1]
        return replace(flight, lost=max(0, flight.lost - arrived), not_fetched=missed)

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

    with patch.object(preparing, "plan", whole):
        yield


@contextmanager
def answers() -> Iterator[list[int]]:
    """Note how many flows came in each answer."""
    sizes: list[int] = []
    read = Session.read_flows_of

    async def noted(session: Session, *asked: Any, **more: Any) -> dict[FlowKey, EncodedFlow]:
        flows = await read(session, *asked, **more)
        sizes.append(len(flows))
        return flows

    with patch.object(Session, "read_flows_of", noted):
        yield sizes


class Streams:
    """Datagrams from one machine to another, as the policies allow; others that none does; others beside."""

    def __init__(self, lab: Lab, host: Host, one: Machine, two: Machine) -> None:
        """Begin all of them."""
        folder = Path(lab.ledger.folder)
        self.allowed, self.leaked, self.side = (folder / name for name in ("allowed", "leaked", "side"))
        three, four = (lab.machine(f"side-{mac[-1]}", mac, [f"10.0.0.{mac[-1]}/24"]) for mac in SIDE_MACS)
        for machine in (three, four):
            machine.plug(host, SIDE)
        self.ends = {self.allowed: (one, two), self.side: (three, four)}
        host.add_flows(["actions=NORMAL"], SIDE)
        receivers = [
            receive(two, steady.PORT, self.allowed),
            receive(two, FORBIDDEN_PORT, self.leaked),
            receive(four, steady.PORT, self.side),
        ]
        self._begun_at = time.monotonic()
        senders = [
            one.start(sys.executable, steady.__file__, "send", "10.0.0.2", str(steady.PORT), "1000"),
            one.start(
                sys.executable, steady.__file__, "send", "10.0.0.2", str(FORBIDDEN_PORT), str(FORBIDDEN_PER_S)
            ),
            three.start(sys.executable, steady.__file__, "send", SIDE_ADDRESS, str(steady.PORT), "1000"),
        ]
        self.processes = tuple(process.pid for process in (*receivers, *senders))
        steady.at_once(host.switch.pid, 10)
        for sender in senders:
            steady.at_once(sender.pid, 20)

    def forbidden(self) -> int:
        """Return about how many datagrams were sent that no policy allows."""
        return int((time.monotonic() - self._begun_at) * FORBIDDEN_PER_S)


def receive(machine: Machine, port: int, file: Path) -> Process:
    """Have a machine write down what it receives, and wait until it listens."""
    made = machine.start(sys.executable, steady.__file__, "receive", str(port), str(file))
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return made


class OtherWork:
    """How much of the machine's processors goes into what is none of a measurement's own processes."""

    def __init__(self, own: Sequence[int]) -> None:
        """Count from now on; this process is its own, too."""
        self._own = (os.getpid(), *own)
        self._begin = (time.monotonic(), self._others_s())

    def cores(self) -> float:
        """Return how many cores others had on average since."""
        begun_at, before_s = self._begin
        return (self._others_s() - before_s) / (time.monotonic() - begun_at)

    def _others_s(self) -> float:
        tick: int = os.sysconf("SC_CLK_TCK")
        user, nice, system, _idle, _wait, interrupts, soft, stolen = map(
            int, Path("/proc/stat").read_text().split()[1:9]
        )
        busy = user + nice + system + interrupts + soft + stolen
        for pid in self._own:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            busy -= int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
        return busy / tick


def measured(lab: Lab, rules: int, runs: int) -> Flights:
    """Put machines under traffic on a host of the lab, and program and exchange policies of so many rules."""
    host = lab.host("hv1", (KEY.bridge, SIDE))
    one = lab.machine("acme-one", MACS["acme/one"], ["10.0.0.1/24"])
    two = lab.machine("acme-two", MACS["acme/two"], ["10.0.0.2/24"])
    ports = {"acme/one": one.plug(host), "acme/two": two.plug(host)}
    exchange = Exchange(lab, host, ports, Streams(lab, host, one, two), rules)
    return lab.controller.call(lambda: asyncio.run(exchange.run(runs)))
