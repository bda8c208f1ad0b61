"""From a socket that is being connected to one whose other side has shown who it is, within a deadline."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ovs import jsonrpc, poller, timeval
from zonewall.ovsdb.facts import system_id_of
from zonewall.ovsdb.framing import Room
from zonewall.ovsdb.loop import Wants
from zonewall.ovsdb.schema import DATABASE
from zonewall.ovsdb.transport import BoundedConnection, CheckedStream, session_on
from zonewall.tls import certificate_names
from zonewall.values.names import HostName

_QUESTION = {"op": "select", "table": DATABASE, "where": [], "columns": ["external_ids"]}


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody who has said who they are; not yet admitted.

    Attributes:
        certificate_names: None without TLS.
        dialled: the host that was connected out to; None when it connected in.
    """

    session: Any
    connection: BoundedConnection
    peer: str
    certificate_names: frozenset[str] | None
    system_id: str | None
    dialled: HostName | None


class Handshake:
    """Connects, negotiates TLS and asks for the system-id; ends in exactly one of its two callbacks."""

    def __init__(
        self,
        connecting: socket.socket,
        peer: str,
        context: ssl.SSLContext | None,
        *,
        dialled: HostName | None,
        deadline_s: float,
        done: Callable[[Handshake, Newcomer], None],
        failed: Callable[[Handshake, str], None],
    ) -> None:
        """Take over the non-blocking socket; ``context`` None: no TLS."""
        self.peer = peer
        self.dialled = dialled
        self._socket = connecting
        self._context = context
        self._deadline_ms = timeval.msec() + deadline_s * 1000
        self._done, self._failed = done, failed
        self._events = poller.POLLOUT if dialled is not None else poller.POLLIN
        self._connected = dialled is None
        self._names: frozenset[str] | None = None
        self._session: Any = None
        self._connection: BoundedConnection | None = None
        self._request_id: object = None

    def run(self) -> None:
        """Go on as far as the other side has answered."""
        if timeval.msec() >= self._deadline_ms:
            self.fail(f"no answer: {self._stage()}")
            return
        try:
            if self._session is None and not self._secured():
                return
        except OSError as problem:
            self.fail(f"{self._stage()} failed: {_words(problem)}")
            return
        self._converse()

    def wait(self, wants: Wants) -> None:
        """Wait for the other side or the deadline."""
        wants.timer_wait_until(self._deadline_ms)
        if self._session is None:
            wants.fd_wait(self._socket, self._events)
        else:
            self._session.wait(wants)
            self._session.recv_wait(wants)

    def fail(self, reason: str) -> None:
        """Close the socket and say why."""
        self._socket.close()
        self._failed(self, reason)

    def close(self) -> None:
        """Close the socket and say nothing."""
        self._socket.close()

    def _secured(self) -> bool:
        """Go on with TCP and TLS; return whether both are done."""
        if not self._connected:
            error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            try:
                self._socket.getpeername()
            except OSError as problem:
                if problem.errno == errno.ENOTCONN:
                    return False
                raise
            self._connected = True
        if self._context is not None and not self._tls_done(self._context):
            return False
        self._ask()
        return True

    def _tls_done(self, context: ssl.SSLContext) -> bool:
        if not isinstance(self._socket, ssl.SSLSocket):
            self._socket = context.wrap_socket(
                self._socket, server_side=self.dialled is None, do_handshake_on_connect=False
            )
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self._events = poller.POLLIN
            return False
        except ssl.SSLWantWriteError:
            self._events = poller.POLLOUT
            return False
        self._names = certificate_names(self._socket.getpeercert())
        return True

    def _ask(self) -> None:
        self._connection = BoundedConnection(CheckedStream(self._socket, self.peer), Room.for_ports(0))
        self._session = session_on(self._connection)
        question = jsonrpc.Message.create_request("transact", [DATABASE, _QUESTION])
        self._request_id = question.id
        self._session.send(question)

    def _converse(self) -> None:
        # One message a turn: whatever else it sends first cannot hold up others.
        self._session.run()
        message = self._session.recv()
        if message is not None and message.id == self._request_id and self._connection is not None:
            newcomer = Newcomer(
                self._session, self._connection, self.peer, self._names, _system_id(message), self.dialled
            )
            self._done(self, newcomer)
        elif self._connection is None or self._connection.status:
            self.fail(self._connection.reason() if self._connection else "it ended")

    def _stage(self) -> str:
        if not self._connected:
            return "connecting"
        if self._context is not None and self._names is None:
            return "TLS handshake"
        return "asking for the system-id"


def _system_id(reply: Any) -> str | None:
    """Return the system-id of a ``select``'s answer (RFC 7047, sections 4.1.3 and 5.2.2), or None."""
    try:
        kind, pairs = reply.result[0]["rows"][0]["external_ids"]
        return system_id_of(dict(pairs)) if kind == "map" else None
    except (TypeError, KeyError, IndexError, ValueError):
        return None


def _words(problem: OSError) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {problem.verify_message}"
    if isinstance(problem, ssl.SSLError):
        return problem.reason or str(problem)
    return problem.strerror or str(problem)
