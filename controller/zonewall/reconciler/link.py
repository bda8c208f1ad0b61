"""A session with a bridge as the keeper and the events see it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from zonewall.flows.diff import Change
from zonewall.flows.encoded import BridgeState
from zonewall.flows.staging import Plan
from zonewall.openflow import bundle
from zonewall.openflow.events import FlowCount
from zonewall.openflow.fingerprint import Fingerprint
from zonewall.openflow.gentle import GentleReader, sizes_of
from zonewall.openflow.messages import flow_desc_body
from zonewall.openflow.session import Session
from zonewall.openflow.settings import keep_settings
from zonewall.pipeline.cookie import OF_A_KIND, Category, cookie
from zonewall.pipeline.tables import VERDICT_TABLE
from zonewall.reconciler.holdings import Reread

ANSWER_S = 10.0
"""A bridge may be at work for so long before it answers."""


class SessionLink:
    """One live session; a new connection of the same bridge is another link."""

    def __init__(self, session: Session) -> None:
        """Speak through ``session``."""
        self.session = session
        self.before_rules_go: Callable[[frozenset[int]], Awaitable[None]] | None = None
        """Called with rules' cookies before flows of theirs, and what those have counted, are removed.

        The change waits until ``read_counts`` has asked for them, not for the answer: the bridge counts until
        it has read the change, which comes after the question.
        """
        self._asked = asyncio.Event()
        self._looking: set[asyncio.Future[None]] = set()
        self.confirmed: Callable[[], BridgeState | None] = lambda: None
        """Returns what the bridge has confirmed, by which its counters are read in pieces."""
        self._reader = GentleReader(session)

    async def read_state(self, expected: Sequence[BridgeState] = ()) -> BridgeState:
        """Return every flow, group and meter of the bridge; many flows in pieces, by what is expected."""
        session = self.session
        flows = await self._reader.read_flows(await asyncio.to_thread(sizes_of, expected))
        return BridgeState(flows, await session.read_groups(), await session.read_meters())

    @property
    def last_read(self) -> Fingerprint | None:
        """Return that of the flows that were read last; None where it says nothing."""
        return self._reader.last_read

    async def reread(self) -> Reread:
        """Return what has to be the same for a bridge to hold what it held when it was read last."""
        session = self.session
        return await session.fingerprint(), await session.read_groups(), await session.read_meters()

    async def read_counts(self, only: frozenset[int] | None = None) -> list[FlowCount]:
        """Return the counters of every flow that decides, or of those with some cookies."""
        if only is not None:
            one_each = dict.fromkeys(((each, VERDICT_TABLE.number) for each in only), 1)
            return await self._reader.read_counts_of(one_each, self._asked.set)
        confirmed = self.confirmed()
        sizes = await asyncio.to_thread(sizes_of, () if confirmed is None else (confirmed,))
        counts = await self._reader.read_counts(cookie(Category.RULE), OF_A_KIND, sizes)
        return [count for count in counts if count.key.table == VERDICT_TABLE.number]

    async def read_rows(self, sent: Callable[[], object] | None = None) -> list[FlowCount]:
        """Return the rows that count connections, and the flows that make them, with their counters.

        ``sent`` is called once they are asked for.
        """
        kinds = (Category.CONNECTION_LOG, Category.CONNECTION)
        return await self.session.read_counts(
            [flow_desc_body(cookie(kind), OF_A_KIND) for kind in kinds], sent
        )

    async def watch(self) -> bool:
        """Have the bridge tell of flows that others change; False if it cannot."""
        return await self.session.watch_flows()

    async def keep_settings(self) -> bool:
        """Set again what somebody has set otherwise on the bridge as a whole; say whether anybody had."""
        return await keep_settings(self.session)

    async def change(
        self,
        change: Change,
        planned: Plan,
        when: asyncio.Event | None = None,
        in_force: Callable[[], None] = lambda: None,
    ) -> None:
        """Change the bridge part by part, nothing in force before ``when``, and wait until it is done.

        ``in_force`` is called before what is left over has gone.

        Raises:
            BridgeError: it refused, or the session ended.
        """
        flows = zip(change.flows.delete, change.flows.cookies, strict=False)
        going = frozenset(cookie for key, cookie in flows if key.table == VERDICT_TABLE.number)
        if self.before_rules_go is not None and going:
            await self._look_first(self.before_rules_go(going))
        await bundle.apply_plan(self.session, change, planned, when, in_force)

    async def _look_first(self, look: Awaitable[None]) -> None:
        """Begin a look at what rules have counted, and wait until the bridge is asked."""
        self._asked.clear()
        asked, looking = asyncio.ensure_future(self._asked.wait()), asyncio.ensure_future(look)
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)
        try:
            await asyncio.wait((asked, looking), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()

    async def packet_out(self, in_port: int, actions: bytes, frame: bytes) -> None:
        """Have the bridge do actions with a frame."""
        await self.session.packet_out(in_port, actions, frame)

    async def is_alive(self) -> bool:
        """Say whether the bridge answers what it is asked now."""
        return await self.session.is_alive(ANSWER_S)
