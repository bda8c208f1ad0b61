"""Events are taken in order, whatever each does, and a flood of them starves nobody."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from zonewall.errors import ZonewallError
from zonewall.reconciler.faults import MOST_KINDS, Faults, in_one_line
from zonewall.reconciler.inbox import Inbox, begun

SLOW_S = 0.002


async def worked(inbox: Inbox, *, until: Callable[[], bool]) -> int:
    """Work until something holds; return how many turns another task had meanwhile."""
    working = asyncio.create_task(inbox.work())
    turns = 0
    while not until():
        await asyncio.sleep(0)
        turns += 1
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return turns


def test_a_flood_of_events_leaves_every_other_task_its_turns() -> None:
    async def scene() -> int:
        inbox = Inbox(Faults())
        done: list[int] = []

        def slow(number: int) -> None:
            time.sleep(SLOW_S)
            done.append(number)

        for number in range(200):
            inbox.put(partial(slow, number))
        turns = await worked(inbox, until=lambda: len(done) == 200)
        assert done == sorted(done)
        return turns

    assert asyncio.run(scene()) >= 20


def test_what_other_threads_tell_before_the_work_begins_waits_and_is_done_in_order() -> None:
    async def scene(inbox: Inbox, done: list[int]) -> list[int]:
        working = asyncio.create_task(worked(inbox, until=lambda: len(done) == 4))
        await asyncio.to_thread(inbox.post, lambda: done.append(3))
        await asyncio.to_thread(inbox.post, lambda: done.append(4))
        await working
        return done

    inbox, done = Inbox(Faults()), list[int]()
    for number in (1, 2):
        told = threading.Thread(target=inbox.post, args=(lambda number=number: done.append(number),))
        told.start()
        told.join()

    assert asyncio.run(scene(inbox, done)) == [1, 2, 3, 4]


def test_who_has_little_to_be_done_does_not_wait_behind_who_has_much() -> None:
    async def scene() -> list[str]:
        inbox, done = Inbox(Faults()), list[str]()
        for number in range(1000):
            inbox.put(partial(done.append, f"much {number}"), "much")
        for number in range(2):
            inbox.put(partial(done.append, f"little {number}"), "little")
        await worked(inbox, until=lambda: len(done) == 1002)
        return done

    done = asyncio.run(scene())
    assert done[:5] == ["much 0", "little 0", "much 1", "little 1", "much 2"]
    assert done[5:] == [f"much {number}" for number in range(3, 1000)]


def test_the_loop_is_called_once_for_all_that_another_thread_posts_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done, calls = list[int](), list[object]()

    def tell(inbox: Inbox) -> None:
        for number in range(1000):
            inbox.post(partial(done.append, number))

    async def scene() -> None:
        inbox, loop = Inbox(Faults()), asyncio.get_running_loop()
        working = asyncio.create_task(inbox.work())
        await asyncio.sleep(0)
        call = loop.call_soon_threadsafe

        def counted(action: Callable[..., object], *what: object) -> object:
            calls.append(action)
            return call(action, *what)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        teller = threading.Thread(target=tell, args=(inbox,))
        teller.start()
        teller.join()  # the loop stands still
        while len(done) < 1000:
            await asyncio.sleep(0)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    asyncio.run(scene())
    assert done == list(range(1000))
    assert len(calls) == 1


def test_an_event_that_is_refused_does_not_end_the_work() -> None:
    def refused() -> None:
        raise ZonewallError("no")

    async def scene() -> list[int]:
        inbox, done = Inbox(Faults()), list[int]()
        inbox.put(refused)
        inbox.put(lambda: done.append(1))
        await worked(inbox, until=lambda: bool(done))
        return done

    assert asyncio.run(scene()) == [1]


def test_an_event_that_fails_as_nobody_foresaw_is_told_and_does_not_end_the_work() -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    async def scene() -> list[int]:
        inbox, done = Inbox(faults), list[int]()
        for _ in range(3):
            inbox.put(full)
        inbox.put(lambda: done.append(1))
        await worked(inbox, until=lambda: bool(done))
        return done

    faults = Faults()
    assert asyncio.run(scene()) == [1]
    (told,) = faults.status()
    assert told["times"] == 3
    assert "No space left on device" in told["fault"]
    assert "test_inbox.py" in told["fault"]


def test_faults_of_many_kinds_are_counted_and_not_all_kept() -> None:
    faults = Faults()
    for number in range(1000):
        faults.note("event", ValueError(str(number)))
    told = faults.status()
    assert len(told) <= MOST_KINDS + 1
    assert sum(one["times"] for one in told) == 1000


def test_a_fault_is_one_line_whatever_it_says() -> None:
    assert in_one_line(ValueError("a\nb" * 1000)).startswith("ValueError: a ba b")
    assert len(in_one_line(ValueError("x" * 10_000))) <= 300


def test_what_an_action_leaves_is_done_before_all_else_of_its_source_and_others_go_between() -> None:
    async def scene() -> list[str]:
        inbox, done = Inbox(Faults()), list[str]()

        def pieces() -> Iterator[None]:
            for number in range(3):
                done.append(f"a{number}")
                yield

        inbox.put(lambda: begun(pieces()), "a")
        inbox.put(lambda: done.append("a after"), "a")
        for number in range(3):
            inbox.put(partial(done.append, f"b{number}"), "b")
        await worked(inbox, until=lambda: "a after" in done)
        return done

    done = asyncio.run(scene())
    assert [word for word in done if word[0] == "a"] == ["a0", "a1", "a2", "a after"]
    assert done.index("b2") < done.index("a after")


def test_something_that_fails_half_way_is_told_and_what_follows_is_done() -> None:
    async def scene(faults: Faults) -> None:
        inbox, done = Inbox(faults), list[str]()

        def pieces() -> Iterator[None]:
            yield
            raise ValueError("half way")

        inbox.put(lambda: begun(pieces()), "a")
        inbox.put(lambda: done.append("after"), "a")
        await worked(inbox, until=lambda: bool(done))

    faults = Faults()
    asyncio.run(scene(faults))
    assert "half way" in faults.status()[0]["fault"]
