"""A bridge that says nothing is asked, and cut when it does not answer; not while nobody listens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from zonewall.openflow.channel import Channel
from zonewall.openflow.silence import watch_silence
from zonewall.openflow.waiting import Limits

LIMITS = Limits(echo_after_s=0.01, dead_after_s=0.05)


class Line:
    """A channel on which questions are counted; ``heard_at`` is when something came last."""

    def __init__(self) -> None:
        self.questions = 0
        self.heard_at = 0.0
        self.is_read = True
        self.cut: list[str] = []

    def new_xid(self) -> int:
        return 1

    def answer(self, question: bytes) -> None:
        self.questions += 1

    def watched(self) -> asyncio.Task[None]:
        channel, heard = cast(Channel, self), lambda: self.heard_at
        return asyncio.create_task(
            watch_silence(channel, LIMITS, heard, lambda: self.is_read, self.cut.append)
        )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def test_who_answers_no_question_is_cut() -> None:
    async def scene() -> None:
        line = Line()
        await asyncio.wait_for(line.watched(), 20)
        assert line.questions > 0
        assert [reason.partition(" for ")[0] for reason in line.cut] == ["nothing heard"]

    asyncio.run(scene())


def test_who_is_not_read_is_not_cut_before_it_has_been_asked_while_it_is() -> None:
    async def scene() -> None:
        line = Line()
        line.is_read = False
        watching = line.watched()
        await until(lambda: line.questions > 4 * LIMITS.dead_after_s / LIMITS.echo_after_s)
        assert line.cut == []
        line.is_read, asked = True, line.questions
        await asyncio.wait_for(watching, 20)
        assert line.questions > asked

    asyncio.run(scene())


def test_who_says_something_after_each_question_stays() -> None:
    async def scene() -> None:
        line = Line()
        watching = line.watched()
        for _ in range(10):
            asked = line.questions
            await until(lambda asked=asked: line.questions > asked or bool(line.cut))  # type: ignore[misc]
            line.heard_at = asyncio.get_running_loop().time()
        assert line.cut == []
        watching.cancel()

    asyncio.run(scene())
