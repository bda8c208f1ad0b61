"""Whatever a bridge answers under the number that it was asked by ends as an error of the bridge."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from zonewall.errors import BridgeError
from zonewall.flows.diff import Change, Delta
from zonewall.flows.encoded import EncodedFlow
from zonewall.openflow import messages
from zonewall.openflow.bundle import apply
from zonewall.openflow.channel import Channel
from zonewall.openflow.events import Event
from zonewall.openflow.gentle import GentleReader
from zonewall.openflow.messages import Multipart, flow_desc_body
from zonewall.openflow.session import Session
from zonewall.openflow.waiting import Limits
from zonewall.pipeline.model import MeterEntry, MeterUnit

FLOW = EncodedFlow(3, 7, b"", b"", 9)
METER = MeterEntry(4, MeterUnit.PPS, 10, 20)
Ask = Callable[[Session], Coroutine[Any, Any, object]]
ASKED: tuple[Ask, ...] = (
    lambda session: session.read_state(),
    lambda session: session.read_groups(),
    lambda session: session.read_meters(),
    lambda session: session.read_ports(),
    lambda session: session.count_flows(),
    lambda session: session.fingerprint(),
    lambda session: session.read_counts((flow_desc_body(0, 0), flow_desc_body(1, 1))),
    lambda session: GentleReader(session).read_flows({(9, 3): 5000}),
    lambda session: session.watch_flows(),
    lambda session: session.barrier(),
    lambda session: session.become_master(1),
    lambda session: apply(session, Change(Delta((FLOW,), (FLOW.key,)), put_meters=(METER,))),
    lambda session: apply(session, Change(Delta((FLOW,)), delete_groups=(1,), delete_meters=(4,))),
)

_MATCH = struct.pack("!HHIH6x", 1, 10, 0x80000A02, 0x0800)
_STATS = struct.pack("!HHIQ", 0, 16, 0x80020408, 5)
_ACTION = struct.pack("!HHIH6x", 0, 16, 5, 0xFFFF)
_DOES = struct.pack("!HH4x", 4, 24) + _ACTION
_FLOW = struct.pack("!HxxBxHHHHHQ", 24 + 48 + 8, 3, 7, 0, 9, 0, 0, 9) + _MATCH + _STATS + _DOES
_BUCKET = struct.pack("!HHI", 24, 16, 1) + _ACTION
_GROUP = struct.pack("!HBxIHH4x", 40, 0, 7, 24, 0) + _BUCKET
_METER = struct.pack("!HHI", 24, 6, 4) + struct.pack("!HHII", 1, 16, 10, 20)
_PORT = struct.pack("!IH2x6s2x16sII", 1, 72, b"\x52\x54\0\0\0\1", b"p1", 0, 0) + struct.pack("!HH28x", 0, 32)
_UPDATE = struct.pack("!HHBBHHHQ", 40, 0, 0, 3, 0, 0, 7, 9) + _MATCH + struct.pack("!HH4x", 2, 8)
ENTRIES = (_FLOW, _GROUP, _METER, _PORT, _UPDATE, bytes(24), struct.pack("!HHI", 8, 3, 1))
TOLD = (
    (messages.EXPERIMENTER, struct.pack("!IIHH4sHH4x", 0x2320, 30, 7, 5, b"\1", 0, 8)),
    (messages.PORT_STATUS, bytes(8) + _PORT),
    (messages.FLOW_REMOVED, struct.pack("!BBHHHQ", 3, 0, 7, 0, 0, 9) + _MATCH + _STATS),
    (messages.REQUEST_FORWARD, struct.pack("!BBHIHBxI", 6, 15, 16, 0, 0, 0, 7)),
    (messages.REQUEST_FORWARD, struct.pack("!BBHIHHI", 6, 29, 16, 0, 2, 0, 3)),
    (messages.ROLE_STATUS, struct.pack("!IB3xQ", 2, 0, 5)),
    (messages.ROLE_REPLY, struct.pack("!IHxxQ", 2, 0, 5)),
    (messages.BARRIER_REPLY, b""),
    (messages.ERROR, struct.pack("!HH", 5, 1) + bytes(64)),
    (messages.ECHO_REQUEST, b"?"),
    (messages.BUNDLE_CONTROL, struct.pack("!IHH", 1, 3, 3)),
    (messages.BUNDLE_CONTROL, struct.pack("!IHH", 1, 5, 3)),
)
KINDS = [kind for kind, _ in TOLD] + [messages.MULTIPART_REPLY, 10, 31, 35, 99]

AS_ASKED = 0xFFFF
"""As the kind of a multipart answer: that of the question."""

Answer = tuple[int, int, bytes]
"""Kind of the message, how far its number is from the one that was asked by, and its content."""


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return content of which some bytes are others, or the end is missing."""
    content = bytearray(whole)
    for at, value in draw(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3)):
        if content:
            content[at % len(content)] = value
    return bytes(content[: draw(st.sampled_from([len(content)] * 4 + [len(content) // 2, 7]))])


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Return an answer: something that is right, something damaged, or anything."""
    apart = draw(st.sampled_from([0] * 6 + [1, 2, 3, -1]))
    form = draw(st.integers(0, 5))
    if form == 0:
        return draw(st.sampled_from(KINDS)), apart, draw(st.binary(max_size=80))
    if form <= 2:
        kind, content = draw(st.sampled_from(TOLD))
        return kind, apart, draw(damaged(content))
    entry = draw(st.sampled_from(ENTRIES))
    entries = draw(damaged(entry * draw(st.integers(0, 3))))
    kind = draw(st.sampled_from([AS_ASKED] * 12 + [int(one) for one in Multipart]))
    head = struct.pack("!HH4x", kind, draw(st.booleans()))
    return messages.MULTIPART_REPLY, apart, head + entries


class Wire:
    """Both ends of a connection: each message that is sent is answered by the next answers."""

    def __init__(self, script: list[list[Answer]]) -> None:
        self.reader = asyncio.StreamReader()
        self.transport = self
        self._script = script
        self._is_over = False

    def write(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            _, kind, size, xid = struct.unpack_from("!BBHI", data, at)
            at += size
            if kind not in (messages.ECHO_REPLY, messages.BUNDLE_ADD):
                self._answer(xid, data[at - size + 8 : at - size + 10])

    def _answer(self, asked_by: int, asked: bytes) -> None:
        if self._is_over:
            return
        for kind, apart, content in self._script.pop(0) if self._script else []:
            if content[:2] == AS_ASKED.to_bytes(2, "big"):
                content = asked + content[2:]
            head = struct.pack("!BBHI", 6, kind, 8 + len(content), max(0, asked_by + apart))
            self.reader.feed_data(head + content)
        if not self._script:
            self.abort()

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self._is_over = True
        self.reader.feed_eof()


@given(st.sampled_from(ASKED), st.lists(st.lists(answers(), max_size=3), min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_what_is_answered_under_a_pending_number_is_taken_or_ends_the_session(
    ask: Ask, script: list[list[Answer]]
) -> None:
    async def scene() -> None:
        wire, told = Wire(list(script)), list[Event]()
        channel = Channel(wire.reader, cast(asyncio.StreamWriter, wire))
        session = Session(channel, 0xA1, "fuzz", told.append, Limits(answer_s=0.02, max_flows=1000))
        running = asyncio.create_task(session.run())
        try:
            await asyncio.wait_for(ask(session), 20.0)
        except BridgeError:
            pass
        finally:
            session.close("the test is over")
            await running  # raises nothing, whatever came
        assert session._waiters == []

    asyncio.run(scene())
