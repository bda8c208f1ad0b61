"""Whether a bridge is still there: one that says nothing is asked, and cut when it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zonewall.flows.wire import message
from zonewall.openflow import messages
from zonewall.openflow.channel import Channel
from zonewall.openflow.errors import Malformed
from zonewall.openflow.waiting import Limits


async def watch_silence(
    channel: Channel,
    limits: Limits,
    last_heard: Callable[[], float],
    is_read: Callable[[], bool],
    cut: Callable[[str], None],
) -> None:
    """Ask a silent bridge for a sign of life, and ``cut`` it when there is none; then return.

    Silence counts from the question on, so that a pause of the controller itself cuts nobody, and not while
    the bridge is not read. ``last_heard`` returns the loop's time (s) at which something came last.
    """
    loop = asyncio.get_running_loop()
    asked_at: float | None = None
    while True:
        now = loop.time()
        if asked_at is not None and (last_heard() >= asked_at or not is_read()):
            asked_at = None
        if asked_at is not None and now - asked_at >= limits.dead_after_s - limits.echo_after_s:
            cut(f"nothing heard for {now - last_heard():.0f} s")
            return
        if now - last_heard() >= limits.echo_after_s:
            try:
                channel.answer(message(messages.ECHO_REQUEST, channel.new_xid(), b""))
            except Malformed as error:
                cut(str(error))
                return
            asked_at = now if asked_at is None else asked_at
        await asyncio.sleep(min(limits.echo_after_s, limits.dead_after_s) / 2)
