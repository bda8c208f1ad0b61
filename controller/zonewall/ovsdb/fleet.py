"""All hosts together: who is admitted, who is connected, and what was last known of each."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping

from zonewall.errors import AdmissionError, ZonewallError
from zonewall.ovsdb.admission import HostSet, admitted_host
from zonewall.ovsdb.connection import HostConnection
from zonewall.ovsdb.dialer import Dialer, connecting_socket, parse_remote
from zonewall.ovsdb.half_open import HalfOpen
from zonewall.ovsdb.handshake import Handshake, Newcomer
from zonewall.ovsdb.known_host import KnownHost
from zonewall.ovsdb.listener import Listener
from zonewall.ovsdb.loop import Loop
from zonewall.ovsdb.patience import Patience
from zonewall.ovsdb.refusals import Refusals
from zonewall.ovsdb.setup import BridgeSetup
from zonewall.ovsdb.view import HostView, gone
from zonewall.placement.observations import (
    BridgeReady,
    BridgeSetupFailed,
    HostLost,
    HostRefused,
    HostSeen,
    HostUnreachable,
    Observation,
)
from zonewall.policy.inventory import HostDeclaration
from zonewall.tls import Renewed
from zonewall.values.names import BridgeName, HostName

_ANEW = "the inventory changed what it must show; it is admitted anew"


class Fleet:
    """Belongs to the loop's thread; tells everything through ``emit``."""

    def __init__(
        self,
        loop: Loop,
        emit: Callable[[Observation], None],
        client_tls: Renewed | None,
        patience: Patience,
        is_full: Callable[[HostName], bool] = lambda _: False,
        have_shown: HostSet | None = None,
    ) -> None:
        """Admit nobody yet.

        Args:
            loop, emit: who runs all this, and who is told.
            client_tls: for hosts that are connected out to with ``ssl:``.
            patience: how long others are waited for.
            is_full: who is not read.
            have_shown: hosts whose database has ever shown a certificate; whose does is added.
        """
        self._loop, self._emit = loop, emit
        self._client_tls, self._patience, self._is_full = client_tls, patience, is_full
        self._have_shown: HostSet = set() if have_shown is None else have_shown
        self._probe_s = patience.probe_s
        self._hosts: dict[HostName, KnownHost] = {}
        self._listeners: list[Listener] = []
        self._half_open = HalfOpen(patience.half_open, patience.half_open_of_one)
        self._refusals = Refusals()

    def listen(self, listening: socket.socket, context: Renewed | None) -> None:
        """Let hosts connect in there; ``context`` None: without TLS."""
        listener = Listener(
            listening, lambda sock, peer: self._accepted(sock, peer, context.current() if context else None)
        )
        self._listeners.append(listener)
        self._loop.add(listener)

    def set_hosts(self, declared: Mapping[HostName, HostDeclaration]) -> None:
        """Follow these hosts from now on; whom nothing changed for keeps the connection."""
        for name, before in tuple(self._hosts.items()):
            now = declared.get(name)
            if now is None:
                self._cut(before, "it is no longer in the inventory")
                del self._hosts[name]
            elif now.system_id != before.declaration.system_id:  # another machine has its name
                self._cut(before, _ANEW)
                del self._hosts[name]
                for observation in gone(name, before.view, HostView(), time.monotonic()):
                    self._emit(observation)
        for name, declaration in declared.items():
            known = self._hosts.get(name)
            if known is None:
                known = self._hosts[name] = KnownHost(declaration)
                self._prepare_to_dial(known)
                continue
            last, known.declaration = known.declaration, declaration
            come = declaration.bridges.keys() - last.bridges.keys()
            for bridge in known.wishes.keys() - declaration.bridges.keys():
                self._wish(known, bridge, None)
                known.awaited.discard(bridge)
            if _identity(last) != _identity(declaration):
                self._cut(known, _ANEW)
                self._prepare_to_dial(known)
            if come:
                known.tell_again(come, self._emit, time.monotonic())
                if known.connection is not None:
                    self._loop.rouse(known.connection)

    def ensure_bridge(self, host: HostName, bridge: BridgeName, wanted: BridgeSetup) -> None:
        """Keep the bridge's records so; only for bridges of the inventory."""
        known = self._hosts.get(host)
        if known is None or bridge not in known.declaration.bridges:
            reason = "it is no managed bridge; add it to the host's bridges: in the inventory"
            self._emit(BridgeSetupFailed(host, bridge, reason, time.monotonic()))
            return
        self._wish(known, bridge, wanted)

    def await_bridge(self, host: HostName, bridge: BridgeName, *, awaited: bool) -> None:
        """Have the host's switch look for the bridge's controller, now and when the host connects; or not."""
        known = self._hosts.get(host)
        if known is None or (bridge in known.awaited) == awaited:
            return
        (known.awaited.add if awaited else known.awaited.discard)(bridge)
        if known.connection is not None:
            rouser = known.connection.rouser
            (rouser.call if awaited else rouser.rest)(bridge)
            self._loop.rouse(known.connection)

    def watch_closely(self, *, closely: bool) -> None:
        """Find sooner that a host is lost, or no longer so."""
        self._probe_s = self._patience.short_probe_s if closely else self._patience.probe_s
        for known in self._hosts.values():
            if known.connection is not None:
                known.connection.probe_after(self._probe_s)
                self._loop.rouse(known.connection)

    def close(self) -> None:
        """End everything, saying nothing."""
        for listener in self._listeners:
            self._loop.drop(listener)
            listener.close()
        for handshake in self._half_open.all():
            self._forget(handshake)
            handshake.close()
        for known in self._hosts.values():
            self._hang_up(known)

    def _wish(self, known: KnownHost, bridge: BridgeName, wanted: BridgeSetup | None) -> None:
        known.wishes.pop(bridge, None)
        if wanted is not None:
            known.wishes[bridge] = wanted
        if known.connection is not None:
            known.connection.keeper.wish(bridge, wanted)
            self._loop.rouse(known.connection)

    # Connecting

    def _prepare_to_dial(self, known: KnownHost) -> None:
        if known.declaration.ovsdb is None:
            return
        try:
            remote = parse_remote(known.declaration.ovsdb)
            if remote.kind == "ssl" and self._client_tls is None:
                raise ZonewallError(
                    f"ovsdb: {known.declaration.ovsdb!r} needs the controller's TLS files; give them"
                )
        except ZonewallError as problem:
            self._unreachable(known, str(problem))
            return
        known.dialer = Dialer(known.declaration.name, remote, self._dial)
        self._loop.add(known.dialer)

    def _dial(self, dialer: Dialer) -> None:
        remote = dialer.remote
        try:
            connecting = connecting_socket(remote)
        except OSError as problem:
            dialer.again()
            self._unreachable(self._hosts[dialer.host], f"connecting failed: {problem.strerror}")
            return
        context = self._client_tls.current() if remote.kind == "ssl" and self._client_tls else None
        self._shake_hands(connecting, str(remote), context, dialer.host)

    def _accepted(self, connected: socket.socket, peer: str, context: ssl.SSLContext | None) -> None:
        if (oldest := self._half_open.in_the_way(_address(peer))) is not None:
            oldest.fail("too many connections have not said who they are; it was the oldest")
        self._shake_hands(connected, peer, context, None)

    def _shake_hands(
        self, sock: socket.socket, peer: str, context: ssl.SSLContext | None, dialled: HostName | None
    ) -> None:
        handshake = Handshake(
            sock,
            peer,
            context,
            dialled=dialled,
            deadline_s=self._patience.handshake_s,
            done=self._introduced,
            failed=self._not_introduced,
        )
        self._half_open.add(handshake, _address(peer))
        self._loop.add(handshake)

    def _forget(self, handshake: Handshake) -> None:
        self._half_open.discard(handshake)
        self._loop.drop(handshake)

    def _not_introduced(self, handshake: Handshake, reason: str) -> None:
        self._forget(handshake)
        if handshake.dialled is None:
            self._refuse(_address(handshake.peer), reason)
        else:
            self._missed(handshake.dialled, reason)

    def _introduced(self, handshake: Handshake, newcomer: Newcomer) -> None:
        self._forget(handshake)
        declared = {name: known.declaration for name, known in self._hosts.items()}
        connected = {
            name
            for name, known in self._hosts.items()
            if known.connection is not None and not known.connection.gives_way(newcomer)
        }
        try:
            host = admitted_host(
                declared, connected, newcomer.system_id, newcomer.certificate_names, newcomer.dialled,
                self._have_shown,
            )  # fmt: skip
        except AdmissionError as problem:
            newcomer.session.close()
            if newcomer.dialled is None:
                self._refuse(_address(newcomer.peer), str(problem))
            else:
                self._refuse(newcomer.peer, str(problem))
                self._missed(newcomer.dialled, str(problem))
            return
        if newcomer.certificate_names is not None:
            self._have_shown.add(host)
        self._admit(self._hosts[host], newcomer)

    def _admit(self, known: KnownHost, newcomer: Newcomer) -> None:
        if known.connection is not None:
            self._cut(known, "replaced: the host has shown a certificate")
        known.connection = HostConnection(
            known.declaration.name,
            newcomer,
            probe_s=self._probe_s,
            snapshot_deadline_s=self._patience.snapshot_s,
            most_ports=self._patience.ports,
            changed=self._changed,
            lost=self._lost,
            setup_report=self._setup_report,
            is_full=self._is_full,
        )
        for bridge, wanted in known.wishes.items():
            known.connection.keeper.wish(bridge, wanted)
        for bridge in known.awaited:
            known.connection.rouser.call(bridge)
        self._loop.add(known.connection)

    # Following

    def _changed(self, connection: HostConnection, first: bool) -> Iterator[None] | None:
        """Take that a host has something else now; give what tells of it, None if it is let go."""
        known = self._hosts[connection.host]
        root, now = connection.root(), time.monotonic()
        if root is None or root.system_id != known.declaration.system_id:
            shown = repr(root.system_id) if root is not None and root.system_id else "none"
            reason = f"its system-id is {shown} now, host {connection.host} must show " + repr(
                known.declaration.system_id
            )
            connection.fail(reason)
            self._refuse(connection.peer if connection.dialled else _address(connection.peer), reason)
            return None
        if first:
            known.unreachable = ""
            if known.dialer is not None:
                known.dialer.succeeded()
        said = HostSeen(connection.host, root.system_id, root.ovs_version, connection.peer, now)
        if first or said != known.said:
            known.said = said
            self._emit(said)
        return known.telling(connection.joining(), self._emit, now, first=first)

    def _setup_report(
        self, connection: HostConnection, bridge: BridgeName, changed: bool, problem: str | None
    ) -> None:
        now = time.monotonic()
        if problem is None:
            self._emit(BridgeReady(connection.host, bridge, changed, now))
        else:
            self._emit(BridgeSetupFailed(connection.host, bridge, problem, now))

    # Parting

    def _lost(self, connection: HostConnection, reason: str) -> None:
        self._loop.drop(connection)
        known = self._hosts.get(connection.host)
        if known is None or known.connection is not connection:
            return
        known.connection = None
        known.interrupted()
        if connection.has_too_many:
            self._unreachable(known, reason)
        if connection.in_step:
            self._emit(HostLost(connection.host, reason, time.monotonic()))
            self._redial(known)
        elif connection.dialled:
            self._missed(connection.host, reason)
        else:
            self._refuse(_address(connection.peer), reason)

    def _cut(self, known: KnownHost, reason: str) -> None:
        told = known.connection is not None and known.connection.in_step
        self._hang_up(known)
        if told:
            self._emit(HostLost(known.declaration.name, reason, time.monotonic()))

    def _hang_up(self, known: KnownHost) -> None:
        if known.dialer is not None:
            self._loop.drop(known.dialer)
            known.dialer = None
        for handshake in self._half_open.dialled(known.declaration.name):
            self._forget(handshake)
            handshake.close()
        if known.connection is not None:
            self._loop.drop(known.connection)
            known.connection.close()
            known.connection = None
            known.interrupted()

    def _missed(self, host: HostName, reason: str) -> None:
        known = self._hosts.get(host)
        if known is not None:
            self._unreachable(known, reason)
            self._redial(known)

    def _redial(self, known: KnownHost) -> None:
        if known.dialer is not None:
            known.dialer.again()
            self._loop.rouse(known.dialer)

    def _unreachable(self, known: KnownHost, reason: str) -> None:
        if known.unreachable != reason:
            known.unreachable = reason
            self._emit(HostUnreachable(known.declaration.name, reason, time.monotonic()))

    def _refuse(self, peer: str, reason: str) -> None:
        now = time.monotonic()
        if self._refusals.worth_saying(peer, reason, now):
            self._emit(HostRefused(peer, reason, now))


def _address(peer: str) -> str:
    """Return who connected in without the port, which is another one at each attempt."""
    return peer.rpartition(":")[0]


def _identity(declaration: HostDeclaration) -> tuple[str, str, str | None, bool]:
    return declaration.system_id, declaration.certificate, declaration.ovsdb, declaration.must_show
