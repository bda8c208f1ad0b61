"""What is asked right before a change goes along with it, in one write; alone if nothing follows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from zonewall.openflow import channel as channels
from zonewall.openflow.channel import Channel


class Written:
    """Stands for the writing end of a connection."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.transport: Any = self
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def is_closing(self) -> bool:
        return self.is_closed

    def abort(self) -> None:
        self.is_closed = True


def test_a_question_goes_before_what_is_sent_next_in_one_write() -> None:
    async def scene() -> list[bytes]:
        written: Any = Written()
        channel = Channel(asyncio.StreamReader(), written)
        channel.hold([b"count", b"?"])
        channel.hold([b"rows?"])
        assert written.writes == []
        await channel.send([b"change"])
        await channel.send([b"next"])
        return list(written.writes)

    assert asyncio.run(scene()) == [b"count?rows?change", b"next"]


def test_a_question_that_nothing_follows_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "HELD_S", 0.0)

    async def scene() -> list[bytes]:
        written: Any = Written()
        channel = Channel(asyncio.StreamReader(), written)
        channel.hold([b"count?"])
        while not written.writes:
            await asyncio.sleep(0)
        await channel.send([b"change"])
        return list(written.writes)

    assert asyncio.run(scene()) == [b"count?", b"change"]


def test_a_question_of_a_connection_that_is_cut_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "HELD_S", 0.0)

    async def scene() -> list[bytes]:
        written: Any = Written()
        channel = Channel(asyncio.StreamReader(), written)
        channel.hold([b"count?"])
        channel.abort()
        await asyncio.sleep(0.01)
        return list(written.writes)

    assert asyncio.run(scene()) == []
