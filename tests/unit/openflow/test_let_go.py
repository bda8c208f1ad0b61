"""A session that has ended is let go of at once: garbage is looked for seldom, and bridges come and go."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress

import pytest

from support.hostile_switch import hostile_switch
from support.openflow_bridge import ListenerUnderTest, listening
from zonewall.flows.wire import message
from zonewall.openflow.channel import Channel
from zonewall.openflow.errors import SessionClosed
from zonewall.openflow.events import BridgeDown, BridgeUp
from zonewall.openflow.session import Session

FLOW_MOD = 14


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Have no garbage looked for: what goes, goes because nothing holds it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def asked_in_vain(session: Session, *, is_many: bool) -> None:
    """Ask what is never answered, or send more than the bridge reads, until the session ends."""
    with suppress(SessionClosed):
        if is_many:
            await session.send_all(message(FLOW_MOD, 1, bytes(60_000)) for _ in range(1000))
        await session.read_flows()


def come_and_go(controller: ListenerUnderTest, *, is_reset: bool) -> list[weakref.ref[Session | Channel]]:
    """Have a bridge connect and leave while it is asked something; return what was there of it."""
    with hostile_switch(("127.0.0.1", controller.listener.port), 0xA1) as switch:
        controller.until(BridgeUp)
        session = controller.session
        asking = controller.loop.create_task(asked_in_vain(session, is_many=is_reset))
        controller.pause(0.01)
        if is_reset:
            switch.reset()
    controller.until(BridgeDown)
    controller.run(asyncio.wait_for(asking, 20.0))
    assert session.end
    return [weakref.ref(session), weakref.ref(session.channel)]


@pytest.mark.parametrize("is_reset", [False, True], ids=["it leaves", "it is reset"])
def test_nothing_holds_what_a_session_was_made_of_when_it_has_ended(*, is_reset: bool) -> None:
    with listening() as controller:
        left = come_and_go(controller, is_reset=is_reset)

        async def until_gone() -> None:
            while any(one() is not None for one in left):
                await asyncio.sleep(0.01)

        controller.run(until_gone())
