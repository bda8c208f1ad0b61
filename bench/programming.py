"""Programming one empty bridge: in one bundle, staged, beside ``ovs-ofctl`` and ready bytes."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Figure, Options
from support.dummy import DummySwitch, running_dummy_switch
from support.openflow_bridge import ListenerUnderTest, connected
from zonewall.flows.diff import Change, Delta, diff_state
from zonewall.flows.encoded import BridgeState
from zonewall.flows.render import render_numeric
from zonewall.flows.staging import plan
from zonewall.flows.wire import FLOW_MOD, encode_program, flow_mod_body
from zonewall.openflow import messages
from zonewall.openflow.bundle import apply, apply_plan
from zonewall.openflow.messages import BundleStep
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.cookie import Category, cookie
from zonewall.pipeline.model import BridgeProgram, Flow, SetField
from zonewall.pipeline.registers import BANK, DST_IDENTITY, RULE, SECTION, SRC_IDENTITY, VERDICT
from zonewall.pipeline.tables import CLASSIFY, VERDICT_TABLE

FLOWS = 50_000
FREED_S = 1.5
"""So long the switch frees what was deleted before: meanwhile all ways are half as fast."""
EMPTY = BridgeState({}, {}, {})


def figures(options: Options) -> Iterator[Figure]:
    """Yield flows/s of each way, medians of runs that take turns."""
    program = some_flows(FLOWS)
    wanted = encode_program(program)
    text = "\n".join(render_numeric(flow) for flow in program.flows) + "\n"
    rates: dict[str, list[float]] = {"one bundle": [], "staged": [], "ready bytes": [], "ovs-ofctl": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_dummy_switch(Path(folder) / "switch") as switch,
        connected(switch) as bridge,
    ):
        file = Path(folder) / "flows"
        file.write_text(text)
        for _ in range(options.slow(5)):
            for way in rates:
                switch.ofctl("del-flows", "br-int")
                time.sleep(FREED_S)
                rates[way].append(FLOWS / _seconds(way, switch, bridge, wanted, file))
                held = bridge.run(bridge.session.read_flows())
                assert len(held) == len(wanted.flows), f"{way}: {len(held)} flows arrived"
    peer = sorted(rates["ovs-ofctl"])[len(rates["ovs-ofctl"]) // 2]
    for way, samples in rates.items():
        told = "ovs-ofctl --bundle add-flows" if way != "ovs-ofctl" else ""
        yield Figure(
            f"programming/{FLOWS:,} flows, {way}", "flows/s", tuple(samples), told, peer if told else None
        )


def some_flows(count: int) -> BridgeProgram:
    """Return so many flows as verdicts are made of."""
    rules = [
        Flow(
            VERDICT_TABLE,
            60_000 - number // 50,
            (
                (BANK, 1, None),
                (SECTION, 0, None),
                (SRC_IDENTITY, 1 + number % 40, None),
                (DST_IDENTITY, 2 + number // 40 % 40, None),
                (pf.ETH_TYPE, 0x0800, None),
                (pf.TCP_DST, 1024 + number, None),
            ),
            (SetField(RULE, number // 50), SetField(VERDICT, 1)),
            cookie(Category.RULE, number),
        )
        for number in range(count - 1)
    ]
    return BridgeProgram((*rules, Flow(CLASSIFY, 1, ((pf.IN_PORT, 1, None),), (SetField(BANK, 1),))))


def _seconds(
    way: str, switch: DummySwitch, bridge: ListenerUnderTest, wanted: BridgeState, file: Path
) -> float:
    if way == "ovs-ofctl":
        begin = time.perf_counter()
        command = ["ovs-ofctl", "-O", "OpenFlow15", "--bundle", "add-flows", switch.mgmt("br-int"), str(file)]
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - begin
    work = {"one bundle": _at_once, "staged": _staged, "ready bytes": _ready}[way]
    return bridge.run(work(bridge, wanted))


async def _at_once(bridge: ListenerUnderTest, wanted: BridgeState) -> float:
    begin = time.perf_counter()
    await apply(bridge.session, Change(Delta(tuple(wanted.flows.values()))))
    return time.perf_counter() - begin


async def _staged(bridge: ListenerUnderTest, wanted: BridgeState) -> float:
    begin = time.perf_counter()
    change = diff_state(EMPTY, wanted)
    await apply_plan(bridge.session, change, plan(change, {}, wanted.flows))
    return time.perf_counter() - begin


async def _ready(bridge: ListenerUnderTest, wanted: BridgeState) -> float:
    """Send what was packed before, as fast as the switch takes it."""
    session = bridge.session
    done = asyncio.Event()
    async with session.waiting(4, lambda header, body: done.set()) as waiter:
        xid, number = waiter.first_xid, 77
        parts = [messages.bundle_control(xid, number, BundleStep.OPEN)]
        parts += [
            messages.bundled(xid, number, FLOW_MOD, flow_mod_body(flow)) for flow in wanted.flows.values()
        ]
        parts.append(messages.bundle_control(xid, number, BundleStep.CLOSE))
        joined = b"".join(parts)
        begin = time.perf_counter()
        await session.send_all([joined[at : at + 65536] for at in range(0, len(joined), 65536)])
        await session.send_all([messages.bundle_control(xid + 1, number, BundleStep.COMMIT)])
        await done.wait()
        await session.barrier()
        return time.perf_counter() - begin
