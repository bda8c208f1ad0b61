"""Who connects says who it is at once, or is not listened to any longer."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from zonewall.errors import AdmissionError
from zonewall.flows.wire import message
from zonewall.openflow import messages
from zonewall.openflow.channel import Channel
from zonewall.openflow.handshake import MOST_BEFORE, greet


async def _greeted(said: bytes) -> int:
    reader, writer = asyncio.StreamReader(), Mock()
    writer.transport.get_write_buffer_size.return_value = 0
    reader.feed_data(said)
    reader.feed_eof()
    return await greet(Channel(reader, writer))


def _hello_and(messages_before: int) -> bytes:
    features = message(messages.FEATURES_REPLY, 2, (0xA1).to_bytes(8, "big") + bytes(16))
    return messages.hello(1) + message(messages.BARRIER_REPLY, 7, b"") * messages_before + features


def test_what_a_bridge_tells_by_itself_may_come_before_it_says_who_it_is() -> None:
    assert asyncio.run(_greeted(_hello_and(MOST_BEFORE - 1))) == 0xA1


def test_who_sends_without_end_and_does_not_say_who_it_is_is_refused() -> None:
    """All of it is here at once: as long as that is looked through, no other bridge is."""
    with pytest.raises(AdmissionError, match="not said who it is"):
        asyncio.run(_greeted(_hello_and(4 * MOST_BEFORE)))
