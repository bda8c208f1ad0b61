"""A real bridge connected to a listener of ours, driven step by step from a test."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from support.dummy import DummySwitch
from zonewall.flows.encoded import BridgeState
from zonewall.flows.wire import encode_program
from zonewall.openflow.door import Admission, Admit
from zonewall.openflow.events import BridgeUp, Event
from zonewall.openflow.listener import Listener, ListenerOptions
from zonewall.openflow.parse import Header
from zonewall.openflow.session import Session
from zonewall.openflow.waiting import Limits
from zonewall.pipeline import packet_fields as pf
from zonewall.pipeline.model import BridgeProgram, Flow, Goto, SetField
from zonewall.pipeline.registers import BANK, RULE, SRC_IDENTITY, VERDICT
from zonewall.pipeline.tables import ACT, VERDICT_TABLE

T = TypeVar("T")
WAIT_S = 20.0
EMPTY = BridgeState({}, {}, {})


def admit_all(datapath_id: int, names: frozenset[str] | None, peer: str) -> Admission:
    return Admission(True)


@dataclass
class ListenerUnderTest:
    """A listener on its own loop, and what it told."""

    listener: Listener
    loop: asyncio.AbstractEventLoop
    events: list[Event] = field(default_factory=list)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the loop until the work is done."""
        return self.loop.run_until_complete(asyncio.wait_for(work, WAIT_S * 2))

    def until(self, kind: type[T], where: Callable[[T], bool] = lambda _: True) -> T:
        """Run the loop until an event came, and take it (and those before it) off the list."""

        async def look() -> T:
            deadline = time.monotonic() + WAIT_S
            while True:
                for position, event in enumerate(self.events):
                    if isinstance(event, kind) and where(event):
                        del self.events[: position + 1]
                        return event
                assert time.monotonic() < deadline, f"no {kind.__name__} among {self.events}"
                await asyncio.sleep(0.01)

        return self.run(look())

    def until_so(self, condition: Callable[[], object]) -> None:
        """Run the loop until a condition holds."""

        async def look() -> None:
            async with asyncio.timeout(WAIT_S):
                while not condition():
                    await asyncio.sleep(0.01)

        self.run(look())

    def until_alive(self) -> None:
        """Run the loop until the only session's bridge answers, be it one that came after another."""

        async def look() -> None:
            async with asyncio.timeout(WAIT_S):
                while not [one for one in tuple(self.listener.sessions.values()) if await one.is_alive()]:
                    await asyncio.sleep(0.01)

        self.run(look())

    def pause(self, seconds: float) -> None:
        """Run the loop for a while."""
        self.run(asyncio.sleep(seconds))

    @property
    def session(self) -> Session:
        """Return the only session."""
        (session,) = self.listener.sessions.values()
        return session

    @property
    def remote(self) -> str:
        """Return the address for a bridge's controller."""
        return f"{'ssl' if self.listener.options.tls else 'tcp'}:127.0.0.1:{self.listener.port}"


def heard(bridge: ListenerUnderTest) -> Counter[int]:
    """Return, and go on to count, the kinds of all messages that the session takes."""
    kinds: Counter[int] = Counter()
    session = bridge.session
    take = session._take

    def counted(header: Header, body: bytes) -> None:
        kinds[header.kind] += 1
        take(header, body)

    session._take = counted  # type: ignore[method-assign]
    return kinds


_generation = 0


@contextlib.contextmanager
def listening(admit: Admit = admit_all, port: int = 0, **options: Any) -> Iterator[ListenerUnderTest]:
    """A listener on loopback, of a newer generation than the one before."""
    global _generation
    _generation += 1
    options.setdefault("limits", Limits(handshake_s=WAIT_S))
    events: list[Event] = []
    loop = asyncio.new_event_loop()
    listener = Listener(ListenerOptions("127.0.0.1", port, _generation, **options), admit, events.append)
    under_test = ListenerUnderTest(listener, loop, events)
    try:
        under_test.run(listener.start())
        yield under_test
    finally:
        under_test.run(listener.stop())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@contextlib.contextmanager
def connected(switch: DummySwitch, ports: int = 0, datapath_id: int = 0xA1) -> Iterator[ListenerUnderTest]:
    """A listener and the bridge ``br-int`` connected to it."""
    with listening() as under_test:
        if "br-int" not in switch.vsctl("list-br").split():
            switch.add_bridge("br-int", datapath_id=datapath_id)
        if ports:
            switch.add_ports("br-int", range(1, ports + 1))
        switch.vsctl("set-controller", "br-int", under_test.remote)
        under_test.until(BridgeUp)
        # The loop stands still between a test's steps, when nobody answers the bridge's echoes.
        switch.vsctl("set", "controller", "br-int", "inactivity_probe=0")
        yield under_test


def rules(count: int, bank: int = 5) -> BridgeState:
    """Return as many flows of the verdicts' table, each with its rule's number for a cookie."""
    return encode_program(
        BridgeProgram(
            tuple(
                Flow(
                    VERDICT_TABLE,
                    900,
                    (
                        (BANK, bank, None),
                        (SRC_IDENTITY, rule, None),
                        (pf.ETH_TYPE, 0x800, None),
                        (pf.TCP_DST, 80, None),
                    ),
                    (SetField(RULE, rule), SetField(VERDICT, 1), Goto(ACT)),
                    rule,
                )
                for rule in range(count)
            )
        )
    )
