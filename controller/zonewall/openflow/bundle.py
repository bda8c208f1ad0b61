"""A change of flows, groups and meters, made whole or not at all (OpenFlow 1.5.1, 6.9 and 7.3.9)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from zonewall.flows.diff import Change
from zonewall.flows.staging import Plan
from zonewall.flows.wire import message
from zonewall.openflow import messages, parse
from zonewall.openflow.errors import BundleRefused, MeterRefused, Refusal
from zonewall.openflow.messages import BundleStep
from zonewall.openflow.meters import MeterStep, meters_after, meters_before, put_meters
from zonewall.openflow.parse import Header
from zonewall.openflow.session import Session
from zonewall.openflow.steps import Step, described, packed, refused_step, steps_of
from zonewall.openflow.waiting import Waiter

CHUNK = 200
"""Messages in one bundle of a change that need not be atomic: more at once stalls the datapath."""
AHEAD = 2
"""So many of them are on their way at once."""
WAITING_S = 0.05
"""So long a bundle waits, all but committed, for another bridge's."""
GENTLE_CHUNK = 50
"""The same while packets pass: 100,000 flows put so hold no packet up for longer than 1.1 ms (200: 8 ms)."""
REVALIDATION_S = 0.5
"""After so long no decision cached in the datapath is older than the bundle before (no barrier waits)."""
SLOWNESS, LONGEST_REVALIDATION_S = 20, 10.0
"""A bridge that was slow to answer is slow to go through its cache, too: so many times its slowest answer."""


async def apply(session: Session, change: Change, *, atomic: bool = True) -> None:
    """Make a change on a bridge and return when it is in force.

    New meters are made first and old ones removed last, since meters cannot be in a bundle. When ``atomic``,
    all the rest is one bundle: a refused one changes nothing but for the meters already made. Otherwise
    bundles of ``CHUNK`` in the same order, of which those before the refused one stay.

    Raises:
        BundleRefused: the bridge refused something, and what.
        MeterRefused: it refused a meter.
        SessionClosed: the session ended; how much was done is to be read back.
    """
    async with session.applying:
        await put_meters(session, meters_before(change))
        steps = steps_of(change)
        size = max(1, len(steps)) if atomic else CHUNK
        for chunk in _chunks(steps, size):
            await _bundle(session, chunk)
        await put_meters(session, meters_after(change))


async def apply_plan(
    session: Session,
    change: Change,
    planned: Plan,
    when: asyncio.Event | None = None,
    in_force: Callable[[], None] = lambda: None,
) -> None:
    """Make a change of groups and meters, and of flows part by part as planned.

    With ``when`` what is put in force by one bundle is sent at once, and committed after that. As soon as it
    is confirmed, ``in_force`` is called: what is removed afterwards is of no use any more.

    Raises:
        BundleRefused, MeterRefused, SessionClosed: as ``apply``; what was done before is to be read back.
    """
    async with session.applying:
        meters = meters_before(change)
        if change.put_groups or not planned.stages or not planned.stages[0].is_whole:
            await put_meters(session, meters)
            meters = ()
        if change.put_groups:
            await _bundle(session, change.put_groups)
        slowest_s = 0.0
        for stage in planned.stages:
            if stage.waits:
                wait_s = max(REVALIDATION_S, SLOWNESS * slowest_s)
                await asyncio.sleep(min(wait_s, LONGEST_REVALIDATION_S))
            steps = steps_of(Change(stage.delta))
            if stage.is_whole:
                await _whole(session, steps, when, meters)
                meters = ()
                in_force()
            elif stage.is_gentle:
                slowest_s = max(slowest_s, await _trickle(session, steps))
            else:
                await _stream(session, steps)
        if change.delete_groups:
            await _bundle(session, change.delete_groups)
        await put_meters(session, meters_after(change))


def _chunks(steps: Sequence[Step], size: int) -> Iterator[Sequence[Step]]:
    """Yield bundles' worth of steps."""
    for start in range(0, len(steps), size):
        yield steps[start : start + size]


async def _trickle(session: Session, steps: Sequence[Step]) -> float:
    """Send small bundles one by one, and leave the bridge as much time between them as it takes for them.

    Returns:
        The longest time that it took for one (seconds).
    """
    slowest_s = 0.0
    for chunk in _chunks(steps, GENTLE_CHUNK):
        begin = time.monotonic()
        await _bundle(session, chunk)
        took_s = time.monotonic() - begin
        slowest_s = max(slowest_s, took_s)
        await asyncio.sleep(took_s)
    return slowest_s


async def _stream(session: Session, steps: Sequence[Step]) -> None:
    """Send small bundles, the next ones on their way while the bridge carries out those before.

    They are committed in their order; of those behind one that is refused some may be in force, too.
    """
    waiting: deque[asyncio.Task[None]] = deque()
    try:
        for chunk in _chunks(steps, CHUNK):
            if len(waiting) == AHEAD:
                await waiting.popleft()
            waiting.append(asyncio.create_task(_bundle(session, chunk)))
            await asyncio.sleep(0)
        while waiting:
            await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _whole(
    session: Session, steps: Sequence[Step], when: asyncio.Event | None, meters: Sequence[MeterStep]
) -> None:
    """Carry out all steps or none: in a bundle, but for a single one, which is whole by itself."""
    if len(steps) == 1 and not meters:
        await _reached(when)
        await _single(session, steps[0])
    else:
        await _bundle(session, steps, when, meters)


async def _reached(when: asyncio.Event | None) -> None:
    """Wait for something else to be done, but not for long."""
    if when is not None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(when.wait(), WAITING_S)


async def _single(session: Session, step: Step) -> None:
    """Send one message and a barrier: half the way of a bundle, which is opened, closed and committed."""
    refusals: list[Refusal] = []

    def take(header: Header, body: bytes) -> None:
        if header.kind == messages.ERROR:
            refusals.append(refused_step(step, body))
        elif header.kind == messages.BARRIER_REPLY:
            waiter.done.set()

    async with session.waiting(2, take) as waiter:
        barrier = message(messages.BARRIER_REQUEST, waiter.last_xid, b"")
        kind, content = packed(step)
        await session.send_all([message(kind, waiter.first_xid, content), barrier])
        await session.wait(waiter, described(step))
    if refusals:
        raise BundleRefused(tuple(refusals))


async def _bundle(
    session: Session,
    steps: Sequence[Step],
    when: asyncio.Event | None = None,
    meters: Sequence[MeterStep] = (),
) -> None:
    """Send one bundle: opened, filled and closed at once; committed only if nothing was refused.

    Meters that its flows use go before it, on the same way: the bridge has done them when it has the bundle.
    """
    count = len(steps)
    refusals: list[Refusal] = []
    refused: list[MeterRefused] = []
    wanted_reply = BundleStep.CLOSE

    def take(header: Header, body: bytes) -> None:
        if header.kind == messages.ERROR:
            index = header.xid - waiter.first_xid
            if index >= count + 4:
                refused.append(meters[index - count - 4].refused(body))
                return
            if 0 <= index < count:
                refusals.append(refused_step(steps[index], body))
                return
            found = tuple(refusals) or (Refusal("the bundle", *parse.parse_error(body), None),)
            waiter.fail(BundleRefused(found))
        elif header.kind == messages.BUNDLE_CONTROL and int.from_bytes(body[4:6], "big") == wanted_reply + 1:
            waiter.done.set()

    # The steps' xids come first, so that an index is an xid; then open, close, commit, discard; then meters'.
    async with session.waiting(count + 4 + len(meters), take) as waiter:
        bundle_id = waiter.first_xid
        open_xid = waiter.first_xid + count
        before = (meter.sent(xid) for xid, meter in enumerate(meters, open_xid + 4))
        await session.send_all(chain(before, _filled(steps, waiter, bundle_id, open_xid)))
        await session.wait(waiter, "a bundle")
        waiter.done.clear()
        if not refusals and not refused:
            await _reached(when)
            wanted_reply = BundleStep.COMMIT
            await session.send_all([messages.bundle_control(open_xid + 2, bundle_id, wanted_reply)])
        else:
            wanted_reply = BundleStep.DISCARD
            await session.send_all([messages.bundle_control(open_xid + 3, bundle_id, wanted_reply)])
        await session.wait(waiter, "the end of a bundle")
    if refused:
        raise refused[0]
    if refusals:
        raise BundleRefused(tuple(refusals))


def _filled(steps: Sequence[Step], waiter: Waiter, bundle_id: int, open_xid: int) -> Iterator[bytes]:
    """Yield a bundle's messages; each is packed when it is its turn, while the bridge takes those before."""
    yield messages.bundle_control(open_xid, bundle_id, BundleStep.OPEN)
    for xid, step in enumerate(steps, waiter.first_xid):
        yield messages.bundled(xid, bundle_id, *packed(step))
    yield messages.bundle_control(open_xid + 1, bundle_id, BundleStep.CLOSE)
