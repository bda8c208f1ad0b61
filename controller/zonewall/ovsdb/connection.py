"""An admitted host: its database followed by python-ovs' IDL, each real change said once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from ovs.db import idl

from ovs import timeval
from zonewall.errors import BridgeError, TooManyError
from zonewall.ovsdb.facts import RootFacts
from zonewall.ovsdb.followed import FollowedDatabase
from zonewall.ovsdb.framing import Room
from zonewall.ovsdb.handshake import Newcomer
from zonewall.ovsdb.loop import Wants
from zonewall.ovsdb.rousing import Rouser
from zonewall.ovsdb.setup import BridgeKeeper
from zonewall.ovsdb.view import HostView, Rows
from zonewall.values.names import BridgeName, HostName

_HELD_MS = 10.0
"""A host of which too much waits is looked at again so soon."""


class HostConnection:
    """One live connection; says when it is in step, when something changed, and when it ended."""

    def __init__(
        self,
        host: HostName,
        newcomer: Newcomer,
        *,
        probe_s: float,
        snapshot_deadline_s: float,
        most_ports: int,
        changed: Callable[[HostConnection, bool], Iterator[None] | None],
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
            most_ports: as many are believed of the host.
            changed: called with True for the first snapshot, False for each change afterwards; gives what
                tells of it, a piece at a time, None where the host is refused.
            lost: called once, when nothing more will come.
            setup_report: what came of a wish for a bridge.
            is_full: while it says so, nothing more is read of the host, and TCP tells it.
        """
        self.host = host
        self.peer = newcomer.peer
        self.dialled = newcomer.dialled is not None
        self.certificate_names = newcomer.certificate_names
        self.in_step = False
        self.has_too_many = False
        """It was ended because of more than is believed of a host."""
        self._telling: Iterator[None] | None = None
        """What is yet to be told; until then nothing more is read."""
        self._connection = newcomer.connection
        self._session = newcomer.session
        self._connection.allow(Room.for_ports(most_ports))
        self.probe_after(probe_s)
        self._rows = Rows(most=most_ports)
        self._most_ports = most_ports
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
        """Take in what came, send what is due; of much a piece, so that other hosts have their turn."""
        self.rouser.run()
        if self._is_held():
            return
        try:
            self._run()
        except BridgeError as problem:
            self.has_too_many = isinstance(problem, TooManyError)
            self.fail(str(problem))

    def _run(self) -> None:
        moved = False
        if self._database.is_behind:
            self._database.take_piece()
            moved = True
        elif self._telling is None:
            moved = self._database.run()
        if not self._session.is_alive() or not self._session.is_connected():
            self.fail(self._ended())
        elif self._telling is not None:
            self._tell()
        elif self._database.state == idl.Idl.IDL_S_MONITORING:
            if not self._database.is_behind:
                self._follow(moved)
        elif timeval.msec() >= self._deadline_ms:
            self.fail("it did not send its contents in time")

    def wait(self, wants: Wants) -> None:
        """Wait for the host, or for the next probe or retry."""
        self.rouser.wait(wants)
        if self._is_held():
            wants.timer_wait(_HELD_MS)
            return
        if self._database.is_behind or self._telling is not None:
            wants.immediate_wake()
            return
        self._database.wait(wants)
        if self.in_step:
            self.keeper.wait(wants)
        else:
            wants.timer_wait_until(self._deadline_ms)

    def tell(self, telling: Iterator[None]) -> None:
        """Tell this from the next turn on, in place of what is yet to be told."""
        self._telling = telling

    @property
    def is_telling(self) -> bool:
        """Say whether something is yet to be told; no row changes until then."""
        return self._telling is not None

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

    def joining(self) -> Generator[None, None, HostView]:
        """Find what the host has now, a piece at a time; ``TooManyError`` where that is not believed."""
        return self._rows.joining()

    def root(self) -> RootFacts | None:
        """Return what the host says of itself now."""
        return self._rows.root

    def _is_held(self) -> bool:
        return self.in_step and self._is_full(self.host)

    def _follow(self, moved: bool) -> None:
        if not self.in_step or self._database.view_changed:
            self._database.view_changed = False
            telling = self._changed(self, not self.in_step)
            if telling is None:
                return
            self.in_step = True
            self._telling = telling
            self._tell()
        if moved:
            self.keeper.changed()
        if self._session.is_connected():
            self.keeper.run()

    def _tell(self) -> None:
        if self._telling is not None and next(self._telling, self) is self:
            self._telling = None

    def _ended(self) -> str:
        if self._connection.has_outgrown:
            self.has_too_many = True
            return f"{self._connection.reason()}: more than {self._most_ports} ports need; see most-ports"
        return self._connection.reason() or f"it did not answer a probe within {self._probe_s:g} s"
