"""A keeper at work on a real bridge, on the loop of a test."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from support.dummy import DummySwitch
from support.openflow_bridge import ListenerUnderTest, connected
from zonewall.intent.fleet import Fleet
from zonewall.openflow.events import FlowsChanged, RequestForwarded
from zonewall.placement.model import BridgeKey
from zonewall.reconciler.keeper import BridgeKeeper, InForce
from zonewall.reconciler.link import SessionLink


class KeptBridge:
    """``br-int`` of a switch, kept as ``fleet`` says; change that and call ``settle``."""

    def __init__(self, bridge: ListenerUnderTest, key: BridgeKey, fleet: Fleet) -> None:
        self.bridge = bridge
        self.fleet = fleet
        self.reports: list[InForce] = []
        self.keeper = BridgeKeeper(key, lambda: self.fleet, self.reports.append)
        self.task = bridge.loop.create_task(self.keeper.run())

    def connect(self) -> None:
        """Hand the present session to the keeper and wait until the bridge is as it should be."""

        async def begin() -> None:
            self.keeper.connect(SessionLink(self.bridge.session))
            assert await self.keeper.settled(20.0), self.keeper.status

        self.bridge.run(begin())

    def settle(self) -> None:
        """Have the keeper look, and wait until what is wanted is in force."""

        async def look() -> None:
            self.keeper.wake()
            assert await self.keeper.settled(20.0), self.keeper.status

        self.bridge.run(look())

    def pump(self) -> None:
        """Hand the keeper what the bridge told of others' changes."""
        told = [event for event in self.bridge.events if isinstance(event, FlowsChanged | RequestForwarded)]
        self.bridge.events[:] = [event for event in self.bridge.events if event not in told]
        for event in told:
            if isinstance(event, FlowsChanged):
                self.keeper.told(event.updates)
            else:
                self.keeper.forwarded(event)

    def until(self, condition: Callable[[], bool], what: str, within_s: float = 20.0) -> None:
        """Run the loop until a condition holds."""

        async def watch() -> None:
            deadline = time.monotonic() + within_s
            while not condition():
                self.pump()
                assert time.monotonic() < deadline, f"not within {within_s} s: {what}; {self.keeper.status}"
                await asyncio.sleep(0.01)

        self.bridge.run(watch())


@contextlib.contextmanager
def kept(switch: DummySwitch, key: BridgeKey, fleet: Fleet, ports: int = 0) -> Iterator[KeptBridge]:
    """A bridge with a keeper that has brought it about."""
    with connected(switch, ports) as bridge:
        kept_bridge = KeptBridge(bridge, key, fleet)
        try:
            kept_bridge.connect()
            yield kept_bridge
        finally:
            kept_bridge.task.cancel()
            bridge.loop.run_until_complete(asyncio.gather(kept_bridge.task, return_exceptions=True))
