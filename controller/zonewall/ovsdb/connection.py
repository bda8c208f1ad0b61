"""An admitted host: its database followed by python-ovs' IDL, each real change said once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ovs.db import error as ovs_error
from ovs.db import idl

from ovs import jsonrpc, timeval
from zonewall.errors import BridgeError
from zonewall.ovsdb.facts import RootFacts
from zonewall.ovsdb.handshake import Newcomer
from zonewall.ovsdb.loop import Wants
from zonewall.ovsdb.rousing import Rouser
from zonewall.ovsdb.schema import MAX_PORTS, MAX_SNAPSHOT_BYTES, schema_helper
from zonewall.ovsdb.setup import BridgeKeeper
from zonewall.ovsdb.view import HostView, Rows
from zonewall.values.names import BridgeName, HostName

_HELD_MS = 50.0
"""A host of which too much waits is looked at again so soon."""


class FollowedDatabase(idl.Idl):  # type: ignore[misc]  # python-ovs has no types
    """An IDL on a session that exists already; what it cannot follow ends it instead of being left out."""

    def __init__(self, session: Any, rows: Rows) -> None:
        """``rows`` is kept in step with the database."""
        super().__init__("unix:admitted", schema_helper(), leader_only=False)
        self._session = session
        self._rows = rows
        self.view_changed = False

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        """Take a row's change over."""
        del updates
        if self._rows.take(row._table.name, row, gone=event == idl.ROW_DELETE):
            self.view_changed = True

    def handle_monitor_canceled(self, msg: Any) -> bool:
        """The schema was converted: the IDL would start anew without saying what went."""
        if msg.type == jsonrpc.Message.T_NOTIFY and msg.method == "monitor_canceled":
            raise BridgeError("the database was converted; it is read anew on the next connection")
        return False

    def _Idl__parse_update(self, update: Any, version: str, tables: Any = None) -> None:  # noqa: N802
        # The original logs a malformed update and goes on with half of it, however long that takes.
        for table, rows in update.items() if isinstance(update, dict) else ():
            if isinstance(rows, dict) and len(rows) > MAX_PORTS:
                raise BridgeError(
                    f"an update has more than {MAX_PORTS} rows in {table}; that is not believed"
                )
        try:
            self._Idl__do_parse_update(update, version, tables or self.tables)
        except ovs_error.Error as problem:
            raise BridgeError(f"an update is malformed: {str(problem)[:200]}") from problem


class HostConnection:
    """One live connection; says when it is in step, when something changed, and when it ended."""

    def __init__(
        self,
        host: HostName,
        newcomer: Newcomer,
        *,
        probe_s: float,
        snapshot_deadline_s: float,
        changed: Callable[[HostConnection, bool], None],
        lost: Callable[[HostConnection, str], None],
        setup_report: Callable[[HostConnection, BridgeName, bool, str | None], None],
        is_full: Callable[[HostName], bool] = lambda _: False,
    ) -> None:
        """Take the session over.

        Args:
            host: as whom it was admitted.
            newcomer: what the handshake ended in.
            probe_s: silence after which the host is asked whether it is there; as long again, and it is lost.
            snapshot_deadline_s: the first snapshot must be whole by then.
            changed: called with True for the first snapshot, False for each change afterwards.
            lost: called once, when nothing more will come.
            setup_report: what came of a wish for a bridge.
            is_full: while it says so, nothing more is read of the host, and TCP tells it.
        """
        self.host = host
        self.peer = newcomer.peer
        self.dialled = newcomer.dialled is not None
        self.certificate_names = newcomer.certificate_names
        self.in_step = False
        self._connection = newcomer.connection
        self._session = newcomer.session
        self._connection.allow_bytes(MAX_SNAPSHOT_BYTES)
        self.probe_after(probe_s)
        self._rows = Rows()
        self._database = FollowedDatabase(self._session, self._rows)
        self._deadline_ms = timeval.msec() + snapshot_deadline_s * 1000
        self._changed, self._lost, self._is_full = changed, lost, is_full
        self.rouser = Rouser(self._session)
        self.keeper = BridgeKeeper(
            self._database, lambda bridge, done, why: setup_report(self, bridge, done, why)
        )

    def probe_after(self, probe_s: float) -> None:
        """Ask the host whether it is there after this silence from now on."""
        self._probe_s = probe_s
        self._session.reconnect.set_probe_interval(int(probe_s * 1000))

    def run(self) -> None:
        """Take in what came, send what is due."""
        self.rouser.run()
        if self._is_held():
            return
        try:
            moved = self._database.run()
        except BridgeError as problem:
            self.fail(str(problem))
            return
        if not self._session.is_alive() or not self._session.is_connected():
            self.fail(self._ended())
        elif self._database.state == idl.Idl.IDL_S_MONITORING:
            self._follow(moved)
        elif timeval.msec() >= self._deadline_ms:
            self.fail("it did not send its contents in time")

    def wait(self, wants: Wants) -> None:
        """Wait for the host, or for the next probe or retry."""
        if self._is_held():
            wants.timer_wait(_HELD_MS)
            self.rouser.wait(wants)
            return
        self._database.wait(wants)
        self.rouser.wait(wants)
        if self.in_step:
            self.keeper.wait(wants)
        else:
            wants.timer_wait_until(self._deadline_ms)

    def fail(self, reason: str) -> None:
        """End the connection and say why."""
        self.close()
        self._lost(self, reason)

    def close(self) -> None:
        """End the connection and say nothing."""
        self._database.close()

    def gives_way(self, newcomer: Newcomer) -> bool:
        """Say whether the newcomer alone has proven who it is: anybody may say a system-id without TLS."""
        is_proven = self.dialled or self.certificate_names is not None
        return newcomer.certificate_names is not None and not is_proven

    def view(self) -> HostView:
        """Return what the host has now."""
        return self._rows.view()

    def root(self) -> RootFacts | None:
        """Return what the host says of itself now."""
        return self._rows.root

    def _is_held(self) -> bool:
        return self.in_step and self._is_full(self.host)

    def _follow(self, moved: bool) -> None:
        if not self.in_step:
            self._database.view_changed = False
            self._changed(self, True)
            self.in_step = True
        elif self._database.view_changed:
            self._database.view_changed = False
            self._changed(self, False)
        if moved:
            self.keeper.changed()
        if self._session.is_connected():
            self.keeper.run()

    def _ended(self) -> str:
        return self._connection.reason() or f"it did not answer a probe within {self._probe_s:g} s"
