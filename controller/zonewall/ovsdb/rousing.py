"""Has a host's switch look for its controller now, not when it happens to turn again.

Until a bridge is connected, Open vSwitch (2.13 at least to 3.1: ``ofservice_wait`` in ``connmgr.c``) takes
each step towards its controller only when its main loop turns for something else, twice a second on a host
where nothing happens: a bridge came half a second to a second later than its own pause asks for. A change of
the bridge's ``status`` turns the loop and has nothing looked at anew, as that column is the switch's own to
write (``ovsdb_idl_omit_alert`` in ``bridge.c``); it is kept in memory alone, not in the database's file.
"""

from __future__ import annotations

from typing import Any

from ovs import jsonrpc, timeval
from zonewall.ovsdb.loop import Wants
from zonewall.ovsdb.schema import DATABASE
from zonewall.values.names import BridgeName

KEY = "zonewall-awaits"
FIRST_MS, GROWTH, UNTIL_MS = 20.0, 1.2, 3000.0
"""A bridge pauses for a second at least; whoever has not come after three is called no more."""


class Rouser:
    """Calls the bridges of one connected host; a call that fails is missed, nothing else."""

    def __init__(self, session: Any) -> None:
        """Speak through the session; answers are left to whoever reads it."""
        self._session = session
        self._begun: dict[BridgeName, float] = {}
        self._next: dict[BridgeName, float] = {}
        self._calls = 0

    def call(self, bridge: BridgeName) -> None:
        """Call the bridge from now on, less and less often."""
        self._begun[bridge] = self._next[bridge] = timeval.msec()

    def rest(self, bridge: BridgeName) -> None:
        """Call it no more, and leave nothing behind."""
        if self._begun.pop(bridge, None) is not None:
            del self._next[bridge]
            self._write(bridge, None)

    def run(self) -> None:
        """Call whoever is to be called now."""
        now = timeval.msec()
        for bridge in [bridge for bridge, at in self._next.items() if at <= now]:
            passed = now - self._begun[bridge]
            if passed >= UNTIL_MS:
                self.rest(bridge)
                continue
            self._next[bridge] = now + max(FIRST_MS, passed * (GROWTH - 1))
            self._calls += 1
            self._write(bridge, str(self._calls))

    def wait(self, wants: Wants) -> None:
        """Wait until somebody is to be called."""
        for at in self._next.values():
            wants.timer_wait_until(at)

    def _write(self, bridge: BridgeName, value: str | None) -> None:
        mutations: list[Any] = [["status", "delete", ["set", [KEY]]]]
        if value is not None:
            mutations.append(["status", "insert", ["map", [[KEY, value]]]])
        change = {
            "op": "mutate",
            "table": "Bridge",
            "where": [["name", "==", bridge]],
            "mutations": mutations,
        }
        if self._session.is_connected():
            self._session.send(jsonrpc.Message.create_request("transact", [DATABASE, change]))
