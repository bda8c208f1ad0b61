"""Many bridges on one controller: connect, program and settle; one rule changes on all; and doing nothing."""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from bench.harness import Figure, Options
from support.dummy import DummySwitch, running_dummy_switch
from zonewall.flows.encoded import BridgeState
from zonewall.flows.wire import encode_program
from zonewall.intent.fleet import Fleet, index_fleet, prepare
from zonewall.intent.numbering import Numbering
from zonewall.openflow.door import Admission
from zonewall.openflow.events import BridgeUp, Event
from zonewall.openflow.listener import Listener, ListenerOptions
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.cookie import Category, cookie
from zonewall.pipeline.model import BridgeProgram, Flow, SetField
from zonewall.pipeline.registers import BANK, RULE, SECTION, SRC_IDENTITY, VERDICT
from zonewall.pipeline.tables import CLASSIFY, VERDICT_TABLE
from zonewall.placement.model import BridgeKey, Placement
from zonewall.policy.findings import Location
from zonewall.policy.inventory import Attachment, BridgeDeclaration, HostDeclaration, Inventory
from zonewall.policy.model import Configuration, Provider
from zonewall.reconciler.compiler import Compiler
from zonewall.reconciler.holdings import WATCHED_AUDIT_S
from zonewall.reconciler.keeper import BridgeKeeper
from zonewall.reconciler.link import SessionLink
from zonewall.values.names import BridgeName, HostName

BRIDGES, FLOWS, IDLE_S = 200, 2_000, 20.0
T = TypeVar("T")
HERE = Location("bench.yaml", 1, 1)


def figures(options: Options) -> Iterator[Figure]:
    """Yield seconds, CPU and memory of the controller."""
    del options
    with tempfile.TemporaryDirectory() as folder, running_dummy_switch(Path(folder) / "switch") as switch:
        measured = asyncio.run(_run(switch))
    name = f"many_bridges/{BRIDGES} bridges, {FLOWS:,} flows each"
    for what, unit, value, target in measured:
        yield Figure(f"{name}: {what}", unit, (value,), target=target)


Measured = list[tuple[str, str, float, float | None]]


class _Given(Compiler):
    """Gives every bridge the same: what is measured is sessions, differences and sending."""

    def __init__(self, state: BridgeState) -> None:
        super().__init__()
        self.state = state

    async def wanted(
        self, fleet: Fleet, key: BridgeKey, then: Callable[[BridgeState], T], *, at_once: bool = False
    ) -> tuple[BridgeState, T]:
        return self.state, then(self.state)


async def _run(switch: DummySwitch) -> Measured:
    keys = [BridgeKey(HostName(f"hv{n}"), BridgeName(f"br{n}")) for n in range(BRIDGES)]
    fleet = _fleet(keys)
    given = _Given(_state())
    events: asyncio.Queue[Event] = asyncio.Queue()
    options = ListenerOptions("127.0.0.1", 0, 1, max_half_open_of_one=BRIDGES)
    listener = Listener(options, lambda *_: Admission(True), events.put_nowait)
    await listener.start()
    keepers = {n + 1: BridgeKeeper(key, lambda: fleet, lambda _: None, given) for n, key in enumerate(keys)}
    tasks = [asyncio.create_task(keeper.run()) for keeper in keepers.values()]
    for number in keepers:
        await asyncio.to_thread(switch.add_bridge, keys[number - 1].bridge, datapath_id=number)
    words: list[str] = []
    for key in keys:
        words += ["--", "set-controller", key.bridge, f"tcp:127.0.0.1:{listener.port}"]
    begin, cpu = time.perf_counter(), _cpu_s()
    pointing = asyncio.create_task(asyncio.to_thread(switch.vsctl, *words))
    await _connected(events, listener, keepers)
    await pointing
    await _settled(keepers)
    result: Measured = [
        ("connect, program, settle", "s", time.perf_counter() - begin, None),
        ("connect, program, settle: CPU", "s", _cpu_s() - cpu, None),
    ]
    given.state = _one_changed(given.state)
    begin, cpu = time.perf_counter(), _cpu_s()
    for keeper in keepers.values():
        keeper.wake()
    await _settled(keepers)
    result.append(("one rule changes on all", "s", time.perf_counter() - begin, None))
    result.append(("one rule changes on all: CPU", "s", _cpu_s() - cpu, None))
    result += await _with_nothing_to_do(keepers)
    result.append(("memory", "MiB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, None))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await listener.stop()
    return result


async def _with_nothing_to_do(keepers: dict[int, BridgeKeeper]) -> Measured:
    """Measure audits, and what is used of a core while nothing changes."""
    result: Measured = []
    cpu = _cpu_s()
    await asyncio.sleep(IDLE_S)
    idle = (_cpu_s() - cpu) / IDLE_S
    # After a change a bridge is read and compared once; from then on it is to be as it was.
    for what in ("the first audit after a change", "one audit of all"):
        cpu = _cpu_s()
        for keeper in keepers.values():
            keeper.holdings.audit_at = 0.0
            keeper.wake()
        await _settled(keepers)
        audit_s = _cpu_s() - cpu
        result.append((f"{what}: CPU", "s", audit_s, None))
    idle += audit_s / WATCHED_AUDIT_S
    result.append(("idle, audits included", "% of a core", idle * 100, 5.0))
    return result


async def _connected(
    events: asyncio.Queue[Event], listener: Listener, keepers: dict[int, BridgeKeeper]
) -> None:
    up: set[int] = set()
    while len(up) < len(keepers):
        event = await asyncio.wait_for(events.get(), 120)
        if isinstance(event, BridgeUp):
            up.add(event.datapath_id)
            keepers[event.datapath_id].connect(SessionLink(listener.sessions[event.datapath_id]))


async def _settled(keepers: dict[int, BridgeKeeper]) -> None:
    done = await asyncio.gather(*(keeper.settled(300.0) for keeper in keepers.values()))
    assert all(done), [keeper.status for keeper in keepers.values() if keeper.is_pending][:3]


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _fleet(keys: list[BridgeKey]) -> Fleet:
    hosts = {
        key.host: HostDeclaration(
            key.host, key.host, key.host,
            {key.bridge: BridgeDeclaration(key.bridge, Attachment.FABRIC, {}, HERE)}, HERE,
        )
        for key in keys
    }  # fmt: skip
    configuration = Configuration(Inventory(hosts, {}, {}, {}), Provider(), {})
    return index_fleet(prepare(configuration, Numbering()), Placement({}, {}))


def _state() -> BridgeState:
    rules = [
        Flow(
            VERDICT_TABLE,
            60_000 - number,
            (
                (BANK, 1, None),
                (SECTION, 0, None),
                (SRC_IDENTITY, number, None),
                (pf.ETH_TYPE, 0x0800, None),
                (pf.TCP_DST, 443, None),
            ),
            (SetField(RULE, number), SetField(VERDICT, 1)),
            cookie(Category.RULE, number),
        )
        for number in range(1, FLOWS)
    ]
    first = Flow(CLASSIFY, 1, ((pf.IN_PORT, 1, None),), (SetField(BANK, 1),), cookie(Category.PORT))
    return encode_program(BridgeProgram((*rules, first)))


def _one_changed(state: BridgeState) -> BridgeState:
    flows = dict(state.flows)
    changed = next(iter(flows.values()))._replace(instructions=b"")
    flows[changed.key] = changed
    return BridgeState(flows, {}, {})
