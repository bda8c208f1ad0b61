"""One bridge that tells much leaves room for all else in the loop."""

from __future__ import annotations

import asyncio
import time
from unittest.mock import Mock

from zonewall.flows.wire import message
from zonewall.openflow.channel import Channel
from zonewall.openflow.messages import BARRIER_REPLY
from zonewall.openflow.parse import Header
from zonewall.openflow.pause import AT_A_TIME, Pause, take_in_turns

SLOW_S = 0.002


def messages(count: int) -> list[tuple[Header, bytes]]:
    return [(Header(6, 2, 8, number), b"") for number in range(count)]


def test_what_one_read_brought_is_taken_in_order_with_turns_for_others_in_between() -> None:
    taken: list[int] = []

    def take(header: Header, body: bytes) -> None:
        time.sleep(SLOW_S)
        taken.append(header.xid)

    async def scene() -> int:
        taking = asyncio.create_task(take_in_turns(messages(100), take, lambda: False))
        turns = 0
        while not taking.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(scene()) >= 10
    assert taken == list(range(100))


def test_of_thousands_of_messages_that_are_here_so_many_are_taken_apart_before_others_have_a_turn() -> None:
    said = message(BARRIER_REPLY, 7, b"")

    async def scene() -> int:
        reader = asyncio.StreamReader()
        channel = Channel(reader, Mock())
        reader.feed_data(said * 10 * AT_A_TIME + said[:5])
        turns, left = 0, 10 * AT_A_TIME

        async def read() -> None:
            nonlocal left
            while left:
                came = await channel.read(AT_A_TIME)
                assert len(came) <= AT_A_TIME
                left -= len(came)

        reading = asyncio.create_task(read())
        while not reading.done():
            await asyncio.sleep(0)
            turns += 1
        await reading
        reader.feed_data(said[5:])
        assert len(await channel.read(AT_A_TIME)) == 1
        return turns

    assert asyncio.run(scene()) >= 10


def test_nothing_more_is_taken_of_a_bridge_whose_session_has_ended_meanwhile() -> None:
    taken: list[int] = []

    def take(header: Header, body: bytes) -> None:
        time.sleep(SLOW_S)
        taken.append(header.xid)

    asyncio.run(take_in_turns(messages(100), take, lambda: True))
    assert 0 < len(taken) < 100


def test_a_pause_lasts_until_there_is_room_or_the_session_ends() -> None:
    async def scene() -> None:
        room = asyncio.Event()
        pause = Pause(lambda _: None if room.is_set() else room.wait(), 0xA1)
        for end in (room.set, pause.end):
            room.clear()
            waiting = asyncio.create_task(pause.wait())
            await asyncio.sleep(0)
            assert pause.is_on
            end()
            await asyncio.wait_for(waiting, 20)
            assert not pause.is_on
        room.set()
        await pause.wait()

    asyncio.run(scene())
