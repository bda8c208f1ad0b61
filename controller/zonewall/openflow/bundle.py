"""A change of flows, groups and meters, made whole or not at all (OpenFlow 1.5.1, 6.9 and 7.3.9)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from zonewall.flows.diff import Change
from zonewall.flows.encoded import EncodedFlow
from zonewall.flows.shape import shape_of
from zonewall.flows.staging import Plan
from zonewall.flows.wire import message
from zonewall.openflow import messages, parse
from zonewall.openflow.errors import BundleRefused, MeterRefused, Refusal, RequestRefused
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
FEW = 64
"""A bundle of so few steps is committed at once, if the bridge has taken flows of their shapes before."""
MOST_SHAPES = 4096
"""So many shapes are remembered of a bridge."""
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
        await _bundle_of_known(session, steps, when, meters)


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


async def _bundle_of_known(
    session: Session, steps: Sequence[Step], when: asyncio.Event | None, meters: Sequence[MeterStep]
) -> None:
    """Send one bundle; a small one, of flows such as the bridge has taken before, is committed at once.

    Should it not take these, the rest is in force (``BundleRefused.is_partly_done``).
    """
    is_small = len(steps) <= FEW
    shapes = {shape_of(step) for step in steps if is_small and isinstance(step, EncodedFlow)}
    at_once = is_small and when is None and shapes <= session.taken_shapes
    try:
        await _bundle(session, steps, when, meters, at_once=at_once)
    except RequestRefused:
        session.taken_shapes.clear()
        raise
    if len(session.taken_shapes) < MOST_SHAPES:
        session.taken_shapes |= shapes


async def _bundle(
    session: Session,
    steps: Sequence[Step],
    when: asyncio.Event | None = None,
    meters: Sequence[MeterStep] = (),
    *,
    at_once: bool = False,
) -> None:
    """Send one bundle: opened, filled and closed at once; committed ``at_once``, or if nothing was refused.

    Meters that its flows use go before it, on the same way: the bridge has done them when it has the bundle.
    """
    answers = _Answers(steps, meters)
    # The steps' xids come first, so that an index is an xid; then open, close, commit, discard; then meters'.
    async with session.waiting(len(steps) + 4 + len(meters), answers.take) as waiter:
        bundle_id, open_xid = waiter.first_xid, waiter.first_xid + len(steps)
        answers.expect(waiter, BundleStep.COMMIT if at_once else BundleStep.CLOSE)
        end = messages.bundle_control(open_xid + 2, bundle_id, BundleStep.COMMIT)
        before = (meter.sent(xid) for xid, meter in enumerate(meters, open_xid + 4))
        filled = _filled(steps, waiter, bundle_id, open_xid)
        await session.send_all(chain(before, filled, (end,) if at_once else ()))
        await session.wait(waiter, "a bundle")
        if not at_once:
            if answers.is_refused:
                answers.expect(waiter, BundleStep.DISCARD)
                end = messages.bundle_control(open_xid + 3, bundle_id, BundleStep.DISCARD)
            else:
                await _reached(when)
                answers.expect(waiter, BundleStep.COMMIT)
            await session.send_all([end])
            await session.wait(waiter, "the end of a bundle")
    if answers.is_refused:
        raise answers.refused(is_partly_done=at_once)


class _Answers:
    """What a bridge answers to a bundle."""

    def __init__(self, steps: Sequence[Step], meters: Sequence[MeterStep]) -> None:
        self._steps = steps
        self._meters = meters
        self._refusals: list[Refusal] = []
        self._refused_meters: list[MeterRefused] = []

    def expect(self, waiter: Waiter, step: BundleStep) -> None:
        """Wait for the answer to this step of the bundle, from now on."""
        self._waiter, self._expected = waiter, step
        waiter.done.clear()

    @property
    def is_refused(self) -> bool:
        """Say whether anything was."""
        return bool(self._refusals or self._refused_meters)

    def refused(self, *, is_partly_done: bool = False) -> RequestRefused:
        """Return what was refused: a meter, without which its flows are, too; or steps."""
        if self._refused_meters:
            return self._refused_meters[0]
        return BundleRefused(tuple(self._refusals), is_partly_done=is_partly_done)

    def take(self, header: Header, body: bytes) -> None:
        """Take one answer."""
        if header.kind == messages.ERROR:
            self._take_error(header.xid - self._waiter.first_xid, body)
        elif header.kind == messages.BUNDLE_CONTROL and body[4:6] == (self._expected + 1).to_bytes(2, "big"):
            self._waiter.done.set()

    def _take_error(self, index: int, body: bytes) -> None:
        count = len(self._steps)
        if index >= count + 4:
            self._refused_meters.append(self._meters[index - count - 4].refused(body))
        elif index < count:
            self._refusals.append(refused_step(self._steps[index], body))
        else:
            if not self.is_refused:
                self._refusals.append(Refusal("the bundle", *parse.parse_error(body), None))
            self._waiter.fail(self.refused())


def _filled(steps: Sequence[Step], waiter: Waiter, bundle_id: int, open_xid: int) -> Iterator[bytes]:
    """Yield a bundle's messages; each is packed when it is its turn, while the bridge takes those before."""
    yield messages.bundle_control(open_xid, bundle_id, BundleStep.OPEN)
    for xid, step in enumerate(steps, waiter.first_xid):
        yield messages.bundled(xid, bundle_id, *packed(step))
    yield messages.bundle_control(open_xid + 1, bundle_id, BundleStep.CLOSE)
