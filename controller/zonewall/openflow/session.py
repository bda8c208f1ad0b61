"""One bridge's life: requests with their answers, and what it tells by itself."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from zonewall.flows.encoded import BridgeState, EncodedFlow, EncodedGroup, FlowKey
from zonewall.flows.oxm import canonical_port
from zonewall.flows.shape import Shape
from zonewall.flows.wire import message
from zonewall.openflow import messages, parse
from zonewall.openflow.channel import Channel
from zonewall.openflow.errors import FENCED, Malformed, RequestRefused, SessionClosed, forget_frames
from zonewall.openflow.events import Event, Fenced, FlowCount, FlowsChanged, Port, SwitchError
from zonewall.openflow.fingerprint import Fingerprint, Fingerprinter
from zonewall.openflow.messages import Multipart
from zonewall.openflow.parse import Header
from zonewall.openflow.pause import AT_A_TIME, Pause, Room, take_in_turns
from zonewall.openflow.silence import watch_silence
from zonewall.openflow.waiting import Allowance, Limits, Waiter
from zonewall.pipeline.model import MeterEntry

_Call = Callable[[], object]
_Take = Callable[[bytes], None]

Emit = Callable[[Event], None]
ALIVE_S: Final = 2.0


class Session:
    """A bridge that was let in. All methods are coroutines of the listener's loop."""

    def __init__(
        self, channel: Channel, datapath_id: int, peer: str, emit: Emit, limits: Limits,
        room: Room = lambda _: None,
    ) -> None:  # fmt: skip
        """Take over a connection whose features reply has been read."""
        self.datapath_id = datapath_id
        self.peer_address = peer
        self.channel = channel
        self.limits = limits
        self.most_flows: Callable[[], int] = lambda: limits.max_flows
        """Returns how many flows the bridge may show when it is read."""
        self.taken_shapes = set[Shape]()  # of flows that the bridge has taken
        self.certificate_names: frozenset[str] | None = None
        self.end = ""
        """Why it ended, empty while it lives: no error is kept, which would hold all that it came through."""
        self.emit = emit
        self._pause = Pause(room, datapath_id)
        self._waiters: list[Waiter] = []
        self._last_heard = 0.0
        self.applying = asyncio.Lock()  # keeps one change from mixing with another

    # -- the receiving side -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read until the end; never raises for what the bridge does."""
        clock = asyncio.get_running_loop().time
        self._last_heard = clock()
        watch = asyncio.create_task(
            watch_silence(
                self.channel, self.limits, lambda: self._last_heard, lambda: not self._pause.is_on, self.close
            )
        )
        try:
            await self._pause.wait()
            while not self.end:
                came = await self.channel.read(AT_A_TIME)
                await take_in_turns(came, self._take, lambda: bool(self.end))
                await self._pause.wait()
                self._last_heard = clock()
        except (SessionClosed, Malformed) as error:
            self.close(str(error))
        except (OSError, struct.error) as error:
            self.close(f"connection lost: {error}")
            forget_frames(error)
        finally:
            watch.cancel()
            self.close("closed by the controller")

    def close(self, reason: str) -> None:
        """End the session; ``run`` returns. The first reason counts."""
        self.end = self.end or reason
        self._pause.end()
        for waiter in self._waiters:
            waiter.fail(SessionClosed(self.end))
        self.channel.abort()

    def _take(self, header: Header, body: bytes) -> None:
        kind = header.kind
        if kind == messages.ECHO_REQUEST:
            self.channel.answer(message(messages.ECHO_REPLY, header.xid, body))
        elif kind == messages.EXPERIMENTER:
            self._take_experimenter(body)
        elif kind in parse.TOLD:
            self.emit(parse.TOLD[kind](self.datapath_id, body))
        elif kind == messages.ROLE_STATUS:
            self._take_role(parse.parse_role_status(body))
        else:
            xid = header.xid
            for waiter in self._waiters:
                if waiter.first_xid <= xid <= waiter.last_xid:
                    waiter.on_message(header, body)
                    return
            if kind == messages.MULTIPART_REPLY:
                self._take_unasked(body)
            elif kind == messages.ERROR:
                self.emit(SwitchError(self.datapath_id, *parse.parse_error(body), header.xid))

    def _take_role(self, role: int) -> None:
        if role != messages.MASTER:
            self.emit(Fenced(self.datapath_id))
            raise SessionClosed(FENCED)

    def _take_unasked(self, body: bytes) -> None:
        kind, _, content = parse.parse_multipart(body)
        if kind == Multipart.FLOW_MONITOR:
            updates = tuple(parse.parse_flow_updates(content))
            if updates:
                self.emit(FlowsChanged(self.datapath_id, updates))

    def _take_experimenter(self, body: bytes) -> None:
        if len(body) >= 8 and struct.unpack_from("!II", body) == (messages.NICIRA, messages.PACKET_IN2):
            self.emit(parse.parse_packet_in(self.datapath_id, body[8:]))

    # -- the asking side ----------------------------------------------------------------------------------

    @asynccontextmanager
    async def waiting(self, count: int, on_message: Callable[[Header, bytes], None]) -> AsyncIterator[Waiter]:
        """Take ``count`` xids whose answers go to ``on_message`` until the block ends."""
        if self.end:
            raise SessionClosed(self.end)
        first = self.channel.new_xid(count)
        waiter = Waiter(first, first + count - 1, on_message)
        self._waiters.append(waiter)
        try:
            yield waiter
        finally:
            self._waiters.remove(waiter)
            waiter.let_go()

    async def wait(self, waiter: Waiter, what: str) -> None:
        """Wait until a waiter is done.

        Raises:
            RequestRefused, SessionClosed: as the answer was.
        """
        try:
            await asyncio.wait_for(waiter.done.wait(), self.limits.answer_s)
        except TimeoutError:
            self.close(f"no answer to {what} within {self.limits.answer_s:g} s")
        if waiter.failure is not None:
            raise waiter.take_failure()
        if self.end and not waiter.done.is_set():
            raise SessionClosed(self.end)

    async def request(self, what: str, make: Callable[[int], bytes], barrier: bool = False) -> bytes:
        """Send one message and return the content of its answer; with ``barrier``, of the barrier after it.

        Raises:
            RequestRefused: the bridge answered with an error.
            SessionClosed: it did not answer.
        """
        answers: list[bytes] = []

        def take(header: Header, body: bytes) -> None:
            if header.kind == messages.ERROR:
                waiter.fail(RequestRefused(what, *parse.parse_error(body)))
            elif not barrier or header.kind == messages.BARRIER_REPLY:
                answers.append(body)
                waiter.done.set()

        async with self.waiting(2, take) as waiter:
            parts = [make(waiter.first_xid)]
            if barrier:
                parts.append(message(messages.BARRIER_REQUEST, waiter.last_xid, b""))
            await self._send(parts)
            await self.wait(waiter, what)
        return answers[0]

    async def _send(self, parts: Iterable[bytes]) -> None:
        try:
            await self.channel.send(parts)
        except OSError as error:
            forget_frames(error)
            raise SessionClosed(f"connection lost: {error}") from None

    async def send_all(self, parts: Iterable[bytes]) -> None:
        """Send messages, joined, no faster than the bridge takes them; a bridge that takes none is cut.

        Raises:
            SessionClosed: the connection ended.
        """
        try:
            async with asyncio.timeout(self.limits.answer_s * 4):
                await self._send(parts)
        except TimeoutError:
            self.close("the bridge does not take what is sent")
            raise SessionClosed("the bridge does not take what is sent") from None

    async def _multipart(
        self, what: str, kind: Multipart, body: bytes, take_part: Callable[[bytes], None]
    ) -> None:
        await self._multiparts(what, kind, (body,), take_part)

    async def _multiparts(
        self, what: str, kind: Multipart, bodies: Sequence[bytes], take_part: _Take, sent: _Call | None = None
    ) -> None:
        """Ask several questions at once; their answers are taken as they come.

        Where somebody waits until they are ``sent``, they go along with what he sends then.
        """
        size, left = 0, len(bodies)
        most = self.limits.max_reply_bytes if kind != Multipart.FLOW_DESC else None

        def take(header: Header, content: bytes) -> None:
            nonlocal size, left
            if header.kind == messages.ERROR:
                waiter.fail(RequestRefused(what, *parse.parse_error(content)))
                return
            answered, more, part = parse.parse_multipart(content)
            size += len(part)
            if header.kind != messages.MULTIPART_REPLY or answered != kind:
                raise Malformed(f"the answer to {what} is of another kind")
            if most is not None and size > most:
                raise Malformed(f"the answer to {what} is longer than {most} bytes")
            take_part(part)
            left -= not more
            if not left:
                waiter.done.set()

        async with self.waiting(len(bodies), take) as waiter:
            asked = [messages.multipart(waiter.first_xid + at, kind, body) for at, body in enumerate(bodies)]
            if sent is None:
                await self._send(asked)
            else:
                self.channel.hold(asked)
                sent()
            await self.wait(waiter, what)

    async def read_flows(self, cookie: int = 0, cookie_mask: int = 0) -> dict[FlowKey, EncodedFlow]:
        """Return the flows of all tables whose cookie has the value under the mask; all by default."""
        return await self.read_flows_of((messages.flow_desc_body(cookie, cookie_mask),))

    async def read_flows_of(
        self,
        asked: Sequence[bytes],
        seen: Fingerprinter | None = None,
        allowance: Allowance | None = None,
    ) -> dict[FlowKey, EncodedFlow]:
        """Return the flows that questions (``messages.flow_desc_body``) ask for; show them to ``seen``.

        Several readings may share an ``allowance``.
        """
        flows: dict[FlowKey, EncodedFlow] = {}
        allowed = allowance or self.allowance()

        def take(part: bytes) -> None:
            allowed.spend(parse.take_flows(part, flows), len(part))
            if seen is not None:
                seen.take(part)

        await self._multiparts("flows", Multipart.FLOW_DESC, asked, take)
        return flows

    def allowance(self) -> Allowance:
        """Return how much the bridge may show in one reading."""
        return Allowance(self.most_flows())

    async def fingerprint(self) -> Fingerprint | None:
        """Return that of the flows of all tables; None where one ends by itself."""
        seen, allowed = Fingerprinter(), self.allowance()

        def take(part: bytes) -> None:
            allowed.spend(seen.take(part), len(part))

        await self._multipart("flows", Multipart.FLOW_DESC, messages.flow_desc_body(0, 0), take)
        return seen.result

    async def count_flows(self) -> Counter[int]:
        """Return how many flows each table says that it holds."""
        counts: Counter[int] = Counter()

        def take(part: bytes) -> None:
            counts.update(dict(parse.parse_table_counts(part)))

        await self._multipart("the tables' counts", Multipart.TABLE, b"", take)
        return counts

    async def read_counts(
        self, asked: Sequence[bytes], sent: _Call | None = None, allowance: Allowance | None = None
    ) -> list[FlowCount]:
        """Return the counters of the flows that several questions (``messages.flow_desc_body``) ask for.

        ``sent`` is called once they are on their way: what is sent after that changes no answer. Several
        readings may share an ``allowance``.
        """
        counts: list[FlowCount] = []
        allowed = allowance or self.allowance()

        def take(part: bytes) -> None:
            found = list(parse.parse_counts(part))
            allowed.spend(len(found), len(part))
            counts.extend(found)

        await self._multiparts("counters", Multipart.FLOW_DESC, asked, take, sent)
        return counts

    async def read_groups(self) -> dict[int, EncodedGroup]:
        """Return all groups by number."""
        groups: dict[int, EncodedGroup] = {}

        def take(part: bytes) -> None:
            groups.update((group.number, group) for group in parse.parse_groups(part))

        body = struct.pack("!I4x", messages.ALL_GROUPS)
        await self._multipart("groups", Multipart.GROUP_DESC, body, take)
        return groups

    async def read_meters(self) -> dict[int, MeterEntry]:
        """Return all meters by number."""
        meters: dict[int, MeterEntry] = {}

        def take(part: bytes) -> None:
            meters.update((meter.number, meter) for meter in parse.parse_meters(part))

        await self._multipart("meters", Multipart.METER_DESC, struct.pack("!I4x", messages.ANY), take)
        return meters

    async def read_state(self, cookie: int = 0, cookie_mask: int = 0) -> BridgeState:
        """Return what the bridge holds: flows by cookie, all groups and meters."""
        flows = await self.read_flows(cookie, cookie_mask)
        return BridgeState(flows, await self.read_groups(), await self.read_meters())

    async def read_ports(self) -> tuple[Port, ...]:
        """Return all ports by number; where there is no OVSDB they are found by name here."""
        ports: dict[int, Port] = {}

        def take(part: bytes) -> None:
            ports.update((port.number, port) for port in parse.parse_ports(part))
            if len(ports) > self.limits.max_ports:
                raise Malformed(f"more than {self.limits.max_ports} ports")

        await self._multipart("ports", Multipart.PORT_DESC, struct.pack("!I4x", messages.ANY), take)
        return tuple(port for _, port in sorted(ports.items()))

    async def watch_flows(self) -> bool:
        """Have the bridge tell of flows that others change (``FlowsChanged``); False if it cannot.

        Raises:
            SessionClosed: the session ended.
        """
        try:
            await self._multipart(
                "the flow monitor", Multipart.FLOW_MONITOR, messages.flow_monitor_body(), lambda _: None
            )
        except RequestRefused:
            return False
        return True

    async def barrier(self) -> None:
        """Return when the bridge has done all that was sent before."""
        await self.request("a barrier", lambda xid: message(messages.BARRIER_REQUEST, xid, b""))

    async def is_alive(self, within_s: float = ALIVE_S) -> bool:
        """Say whether the bridge answers an echo in time."""
        try:
            async with asyncio.timeout(within_s):
                await self.request("an echo", lambda xid: message(messages.ECHO_REQUEST, xid, b"?"))
        except (TimeoutError, SessionClosed, RequestRefused):
            return False
        return True

    async def packet_out(self, in_port: int, actions: bytes, frame: bytes) -> None:
        """Have the bridge do encoded actions with a frame; a refusal comes as a ``SwitchError`` event."""
        xid = self.channel.new_xid()
        await self._send([messages.packet_out(xid, canonical_port(in_port), actions, frame)])

    async def become_master(self, generation_id: int) -> None:
        """Take the master's role, and have only those messages sent that are used.

        Raises:
            RequestRefused: another controller has a newer generation, or the bridge lacks something.
        """
        await self.request("the master's role", lambda xid: messages.role_master(xid, generation_id))
        for what, make in _SETUP:
            await self.request(what, make, barrier=True)


_SETUP: Final = (
    ("the handling of fragments", messages.set_config),
    ("NXT_PACKET_IN2", messages.set_packet_in_format),
    ("the choice of messages", messages.set_async),
)
