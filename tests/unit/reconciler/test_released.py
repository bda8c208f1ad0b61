"""Of a bridge that an edit takes out of the inventory nothing is held once its session has ended."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from support.compiled import FIRST
from support.kept_in_memory import Bridge, fleet
from support.placement_fleet import bridge
from zonewall.openflow.events import BridgeDown, BridgeUp, PacketIn
from zonewall.reconciler.bridges import BridgeEvents
from zonewall.reconciler.compiler import Compiler
from zonewall.reconciler.controller import Controller
from zonewall.reconciler.hosts import HostEvents
from zonewall.reconciler.keeper import BridgeKeeper
from zonewall.reconciler.reconciler import Reconciler
from zonewall.store.options import Options

LEFT_OUT, OTHER = bridge("hv1"), bridge("hv2")
PATIENCE_S = 20.0
UP, DOWN = BridgeUp(0xA1, "192.0.2.1:1", ()), BridgeDown(0xA1, "gone")


def say(folder: Path, *hosts: str) -> None:
    """Have documents name these hosts, of which each has a bridge, and one machine."""
    folder.mkdir(exist_ok=True)
    ids = {"hv1": 0xA1, "hv2": 0xA2}
    named = {
        host: {"bridges": {"br-int": {"attachment": "fabric", "datapath-id": f"{ids[host]:016x}"}}}
        for host in hosts
    }
    end = {"name": "vm", "tenant": "acme", "mac": "52:54:00:00:00:01", "ips": ["10.0.0.1"], "iface-id": "vm"}
    documents: list[Any] = [
        {"kind": "inventory", "hosts": named, "endpoints": [end]},
        {"kind": "tenant", "tenant": "acme"},
    ]
    (folder / "all.yaml").write_text(yaml.safe_dump_all(documents))


class Scene:
    """A reconciler at work, whose bridge hv1 is one in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        say(folder / "policies", "hv1", "hv2")
        self.reconciler = Reconciler(folder / "policies", folder / "state", b"k" * 32)
        self.session: Bridge | None = Bridge()
        hosts = HostEvents(self.reconciler)
        nobody: Any = None
        self.events = BridgeEvents(self.reconciler, hosts, self.session_of, False, nobody)

    def session_of(self, _: int) -> Any:
        return self.session

    @property
    def keeper(self) -> BridgeKeeper | None:
        return self.reconciler.keepers.get(LEFT_OUT)

    async def has(self, *hosts: str) -> None:
        """Have an edit leave these hosts."""
        say(self.folder / "policies", *hosts)
        await self.reconciler.reload()
        assert self.reconciler.refused_configuration == ""

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.005)

    async def in_force(self) -> None:
        keeper = self.keeper
        assert keeper is not None
        await self.until(lambda: keeper.status.state == "in-force" and not keeper.is_pending)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    made = Scene(folder)
    work = asyncio.create_task(made.reconciler.run())
    try:
        await asyncio.sleep(0)
        made.events.take(UP)
        await made.in_force()
        yield made
        assert not work.done(), "the controller would end"
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def test_its_keeper_ends_with_its_session_and_another_finds_the_flows_when_it_is_back(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as now:
            held = now.session
            assert held is not None
            sent = len(held.bundles)
            before: Any = weakref.ref(now.keeper)
            await now.has("hv2")
            now.session = None
            now.events.take(DOWN)
            assert LEFT_OUT not in now.reconciler.keepers

            def is_gone() -> bool:
                gc.collect()
                return before() is None

            await now.until(is_gone)
            await now.has("hv1", "hv2")
            now.session = held
            now.events.take(UP)
            await now.in_force()
            assert len(held.bundles) == sent, "what it has already was sent again"

    asyncio.run(play())


def test_one_that_is_back_before_its_session_has_ended_goes_on(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as now:
            before = now.keeper
            await now.has("hv2")
            assert now.keeper is before
            await now.has("hv1", "hv2")
            now.session = None
            now.events.take(DOWN)
            assert now.keeper is before
            assert before is not None
            assert before.status.state == "away"

    asyncio.run(play())


def test_one_that_was_away_is_let_go_of_by_the_edit(tmp_path: Path) -> None:
    async def play() -> None:
        async with scene(tmp_path) as now:
            assert OTHER in now.reconciler.keepers
            await now.has("hv1")
            assert OTHER not in now.reconciler.keepers

    asyncio.run(play())


def test_the_pieces_of_its_flows_are_forgotten() -> None:
    async def play() -> None:
        compiler, world = Compiler(), fleet()
        made = [(await compiler.wanted(world, FIRST, lambda _: None))[0].flows for _ in range(2)]
        compiler.forget(FIRST)
        made.append((await compiler.wanted(world, FIRST, lambda _: None))[0].flows)
        assert made[1] is made[0]
        assert made[2] is not made[0]

    asyncio.run(play())


def test_what_its_ports_have_sent_is_told_no_more(tmp_path: Path) -> None:
    say(tmp_path / "policies", "hv1", "hv2")
    controller = Controller(tmp_path / "policies", Options(state=tmp_path / "state"))
    seen = controller.bridges.intruders
    for at in (LEFT_OUT, OTHER):
        seen.take(at, "7", PacketIn(1, 0, 0, b"\x04", 7, (), 0, 60, bytes(60)))
    for released in controller.reconciler.kept_bridges.on_release:
        released(LEFT_OUT)
    assert [row["port"] for row in seen.status()] == [f"{OTHER}/7"]
