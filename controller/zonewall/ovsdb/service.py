"""The hosts' databases as one service: a thread of its own, told by messages, telling by ``emit``."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping

from zonewall.ovsdb.admission import HostSet
from zonewall.ovsdb.fleet import Fleet
from zonewall.ovsdb.listener import listening_socket
from zonewall.ovsdb.loop import Loop
from zonewall.ovsdb.patience import Patience
from zonewall.ovsdb.setup import BridgeSetup
from zonewall.placement.observations import Observation
from zonewall.policy.inventory import BridgeDeclaration, HostDeclaration
from zonewall.tls import Renewed, TlsFiles, client_context, server_context
from zonewall.values.names import BridgeName, DatapathId, HostName

_STOPPING_S = 10.0
_LOOK_S = 1.0


class OvsdbService:
    """Follows the databases of all hosts of the inventory; every method may be called from any thread."""

    def __init__(
        self,
        emit: Callable[[Observation], None],
        *,
        client_tls: TlsFiles | None = None,
        patience: Patience | None = None,
        is_full: Callable[[HostName], bool] = lambda _: False,
        have_shown: HostSet | None = None,
    ) -> None:
        """Prepare; nothing happens before ``start``.

        Args:
            emit: called in the service's thread with each observation; must not block.
            client_tls: for hosts that are connected out to with ``ssl:``.
            patience: how long others are waited for.
            is_full: asked before more is read of a host's database; called in the service's thread.
            have_shown: hosts whose database has ever shown a certificate; added to in the service's thread.

        Raises:
            ZonewallError: the TLS files cannot be used.
        """
        self._loop = Loop()
        context = Renewed(client_tls, client_context) if client_tls is not None else None
        self._fleet = Fleet(self._loop, emit, context, patience or Patience(), is_full, have_shown)
        self._thread = threading.Thread(target=self._loop.run, name="zonewall-ovsdb", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and end the thread; the hosts' bridges go on as they are."""
        self._loop.post(self._fleet.close)
        self._loop.post(self._loop.stop)
        if self._thread.is_alive():
            self._thread.join(_STOPPING_S)

    async def lasts(self) -> None:
        """Return when the thread has ended."""
        while self._thread.is_alive():
            await asyncio.sleep(_LOOK_S)

    def listen(self, address: str, port: int, tls: TlsFiles | None) -> int:
        """Let hosts connect in (``ovs-vsctl set-manager``); return the port, which is chosen for 0.

        Raises:
            ZonewallError: the address or port cannot be had, or the TLS files cannot be used.
        """
        listening = listening_socket(address, port)
        self.listen_on(listening, tls)
        chosen: int = listening.getsockname()[1]
        return chosen

    def listen_on(self, listening: socket.socket, tls: TlsFiles | None) -> None:
        """Let hosts connect in at a socket that listens already and does not block.

        Raises:
            ZonewallError: the TLS files cannot be used.
        """
        context = Renewed(tls, server_context) if tls is not None else None
        self._loop.post(lambda: self._fleet.listen(listening, context))

    def set_hosts(self, hosts: Mapping[HostName, HostDeclaration]) -> None:
        """Follow these hosts from now on, and no others."""
        declared = dict(hosts)
        self._loop.post(lambda: self._fleet.set_hosts(declared))

    def ensure_bridge(
        self,
        host: HostName,
        declaration: BridgeDeclaration,
        controller_target: str | None = None,
        prefixes: Mapping[int, tuple[str, ...]] | None = None,
        collectors: tuple[int, tuple[str, ...]] = (0, ()),
    ) -> None:
        """Have the bridge's records as a firewall needs them, now and whenever the host is connected.

        Answered by ``BridgeReady`` or ``BridgeSetupFailed``. See ``BridgeSetup`` for what is set.

        Args:
            host: the bridge's host.
            declaration: must be among the host's bridges in ``set_hosts``.
            controller_target: added to the bridge's controllers; None leaves them alone.
            prefixes: by OpenFlow table number, fields looked up by longest prefix, at most three a table.
            collectors: the number of the bridge's set of IPFIX collectors, and those.
        """
        number = declaration.datapath_id
        wanted = BridgeSetup(
            controller_target=controller_target,
            datapath_id=None if number is None else DatapathId(number),
            prefixes=dict(prefixes or {}),
            collector_set=collectors[0],
            collectors=collectors[1],
        )
        self._loop.post(lambda: self._fleet.ensure_bridge(host, declaration.name, wanted))

    def await_bridge(self, host: HostName, bridge: BridgeName, *, awaited: bool) -> None:
        """Say whether a bridge of ``set_hosts`` is awaited: its switch is told so, and comes sooner."""
        self._loop.post(lambda: self._fleet.await_bridge(host, bridge, awaited=awaited))

    def watch_closely(self, *, closely: bool) -> None:
        """Ask silent hosts sooner whether they are there (``Patience.short_probe_s``), or as before."""
        self._loop.post(lambda: self._fleet.watch_closely(closely=closely))
