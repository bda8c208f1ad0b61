"""Reading a bridge of many flows in pieces: one answer of all of them stops a user-space datapath.

An answer of 100,000 flows is composed by the thread that forwards packets, in 160 ms. Asking by part of a
cookie does not help, as all flows are gone through for each part (8 ms); by a whole cookie it does, since the
switch finds those in an index. So the cookies that are expected are asked for, few at a time, and the tables'
own counts say in which tables that was not all: these are read whole.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from zonewall.flows.encoded import BridgeState, EncodedFlow, FlowKey
from zonewall.openflow.events import FlowCount
from zonewall.openflow.fingerprint import Fingerprint, Fingerprinter
from zonewall.openflow.messages import ALL_TABLES, flow_desc_body
from zonewall.openflow.session import Session

MANY = 3000
"""A bridge of fewer flows is read in one answer, which takes it about 5 ms."""
PIECE = 500
"""So many flows are asked for at a time."""
MOST_COOKIES = 50
"""So many cookies are asked for at a time: as many messages as Open vSwitch takes of a bridge in one turn."""
AHEAD: Final = 2
"""So many pieces are asked for before the first of them has come."""
EXACTLY: Final = 0xFFFFFFFF_FFFFFFFF

Sizes = Mapping[tuple[int, int], int]
"""How many flows are expected, by cookie and table."""


def sizes_of(states: Iterable[BridgeState]) -> Sizes:
    """Return the most flows that one of the states has of each cookie in each table; none for few flows."""
    most: dict[tuple[int, int], int] = {}
    different = {id(state): state for state in states}.values()
    if sum(len(state.flows) for state in different) < MANY:
        return most
    for state in different:
        for key, count in Counter((flow.cookie, flow.table) for flow in state.flows.values()).items():
            most[key] = max(count, most.get(key, 0))
    return most


def pieces(sizes: Sizes) -> Iterator[list[tuple[int, int]]]:
    """Yield cookies and tables that are asked for together; a cookie of few flows in all tables at once."""
    tables: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for (cookie, table), count in sizes.items():
        tables[cookie][table] = count
    batch: list[tuple[int, int]] = []
    size = 0
    for cookie, counts in sorted(tables.items()):
        total = sum(counts.values())
        for table, count in {ALL_TABLES: total}.items() if total <= PIECE else sorted(counts.items()):
            if batch and (size + count > PIECE or len(batch) == MOST_COOKIES):
                yield batch
                batch, size = [], 0
            batch.append((cookie, table))
            size += count
    if batch:
        yield batch


class GentleReader:
    """Reads one session's bridge in pieces where it is expected to hold many flows."""

    def __init__(self, session: Session) -> None:
        """Read through ``session``."""
        self._session = session
        self.last_read: Fingerprint | None = None
        """Of the flows that were read last, if those came in one answer."""
        self._hidden: Counter[int] = Counter()
        """Flows, by table, that it counts and that no answer shows, such as those of in-band control."""

    async def read_flows(self, sizes: Sizes) -> dict[FlowKey, EncodedFlow]:
        """Return all flows: in pieces, and whole those tables that do not hold what is expected.

        Raises:
            RequestRefused, SessionClosed: as the session does.
        """
        session = self._session
        self.last_read = None
        if sum(sizes.values()) < MANY or (before := await session.count_flows()).total() < MANY:
            seen = Fingerprinter()
            few = await session.read_flows_of((flow_desc_body(0, 0),), seen)
            self.last_read = seen.result
            return few
        flows, after, odd = await self._expected(sizes)
        if sum(after[table] for table in odd if after[table] != before[table]) >= MANY:
            # Something came or went meanwhile: that is no reason to have so many composed at once.
            flows, after, odd = await self._expected(sizes)
        if not odd:
            return flows
        whole = await session.read_flows_of([flow_desc_body(0, 0, table) for table in odd])
        # What others put meanwhile is not hidden: taken for that, it would not be found by any later reading.
        later, shown = await session.count_flows(), Counter(key.table for key in whole)
        for table in odd:
            self._hidden[table] = max(0, min(after[table], later[table]) - shown[table])
        return {key: flow for key, flow in flows.items() if key.table not in odd} | whole

    async def _expected(self, sizes: Sizes) -> tuple[dict[FlowKey, EncodedFlow], Counter[int], list[int]]:
        """Return the flows that are expected, the tables' counts then, and which have others or fewer."""
        flows = await self._in_pieces(sizes)
        counts = await self._session.count_flows()
        found = Counter(key.table for key in flows) + self._hidden
        return flows, counts, sorted(table for table in counts | found if counts[table] != found[table])

    async def _in_pieces(self, sizes: Sizes) -> dict[FlowKey, EncodedFlow]:
        """Return the flows that are expected; while one answer is taken apart the next is being composed."""
        flows: dict[FlowKey, EncodedFlow] = {}
        session, allowance = self._session, self._session.allowance()
        asked: deque[asyncio.Task[dict[FlowKey, EncodedFlow]]] = deque()
        try:
            for batch in pieces(sizes):
                reading = session.read_flows_of(_asking(batch), allowance=allowance)
                asked.append(asyncio.create_task(reading))
                if len(asked) == AHEAD:
                    flows.update(await asked.popleft())
            while asked:
                flows.update(await asked.popleft())
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return flows

    async def read_counts(self, cookie: int, mask: int, sizes: Sizes) -> list[FlowCount]:
        """Return the counters of flows whose cookie has the value under the mask; of many, those expected.

        Raises:
            RequestRefused, SessionClosed: as the session does.
        """
        session = self._session
        if sum(sizes.values()) < MANY:
            return await session.read_counts((flow_desc_body(cookie, mask),))
        return await self.read_counts_of({key: n for key, n in sizes.items() if key[0] & mask == cookie})

    async def read_counts_of(
        self, sizes: Sizes, sent: Callable[[], object] = lambda: None
    ) -> list[FlowCount]:
        """Return the counters of the flows of these cookies; ``sent`` is called when all are asked for.

        Raises:
            RequestRefused, SessionClosed: as the session does.
        """
        counts: list[FlowCount] = []
        session, allowance = self._session, self._session.allowance()
        *batches, last = list(pieces(sizes)) or [[]]
        for batch in batches:
            counts.extend(await session.read_counts(_asking(batch), allowance=allowance))
        return counts + (await session.read_counts(_asking(last), sent, allowance) if last else [])


def _asking(batch: Iterable[tuple[int, int]]) -> list[bytes]:
    return [flow_desc_body(cookie, EXACTLY, table) for cookie, table in batch]
