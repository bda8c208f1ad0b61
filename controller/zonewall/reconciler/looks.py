"""When bridges' counters are looked at: all now and then, and one bridge's before rules of it go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from zonewall.placement.model import BridgeKey
from zonewall.reconciler.connection_log import ConnectionLog
from zonewall.reconciler.counters import Counters
from zonewall.reconciler.link import SessionLink
from zonewall.reconciler.reconciler import Reconciler
from zonewall.values.names import DatapathId


class Looks:
    """Confined to the controller's loop; ``links`` are the sessions by datapath id."""

    def __init__(
        self,
        reconciler: Reconciler,
        links: Mapping[int, SessionLink],
        connections: ConnectionLog,
        counters: Counters,
    ) -> None:
        """Look through ``links``; what is found goes to ``connections`` and ``counters``."""
        self._reconciler = reconciler
        self._links = links
        self._connections = connections
        self._counters = counters

    async def everywhere(self) -> None:
        """Look at every bridge's rows and counters, few at a time."""
        self._follow()
        await self._connections.look(self._sessions())
        await self._counters.look()

    async def before_rules_go(self, datapath_id: DatapathId, cookies: frozenset[int]) -> None:
        """Look at one bridge alone, so that no other holds up its change: rows first, then rules' counters.

        Its rows' answer is not waited for before the counters are asked for: there may be many.
        """
        key, link = self._reconciler.world.bridge_of(datapath_id), self._links.get(datapath_id)
        if key is None or link is None:
            return
        asked = asyncio.Event()
        rows = asyncio.ensure_future(self._connections.look_at(key, link, asked.set))
        waiting = asyncio.ensure_future(asked.wait())
        try:
            await asyncio.wait((rows, waiting), return_when=asyncio.FIRST_COMPLETED)
            self._follow()
            await asyncio.gather(rows, self._counters.look(key, cookies))
        finally:
            waiting.cancel()
            rows.cancel()

    def _follow(self) -> None:
        policy, keepers = self._reconciler.world.policy, list(self._reconciler.keepers)
        self._counters.follow(policy, self._sessions(), keepers)

    def _sessions(self) -> dict[BridgeKey, SessionLink]:
        bridge_of = self._reconciler.world.bridge_of
        named = ((bridge_of(DatapathId(number)), link) for number, link in self._links.items())
        return {key: link for key, link in named if key is not None}
