"""Which bridges are called, as the inventory says, and under whose name they are let in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zonewall.errors import AdmissionError, ZonewallError
from zonewall.openflow.caller import Caller, CallerOptions
from zonewall.openflow.door import Admission, Admit
from zonewall.openflow.events import ConnectionRefused
from zonewall.openflow.waiting import Limits
from zonewall.placement.model import BridgeKey
from zonewall.policy.model import Configuration
from zonewall.reconciler.admission import Admissions
from zonewall.reconciler.gate import Gate
from zonewall.reconciler.world import World
from zonewall.store.options import parse_remote
from zonewall.tls import TlsFiles
from zonewall.values.names import DatapathId


class Calls:
    """A caller for each bridge that listens; confined to the controller's loop."""

    def __init__(
        self,
        tls: TlsFiles | None,
        admissions: Admissions,
        gate: Gate,
        world: Callable[[], World],
        *,
        allow_plain: bool,
        limits: Limits,
    ) -> None:
        """Let in whom ``admissions`` let in, of ``world``; events go through ``gate``."""
        self._limits = limits
        self._tls = tls
        self._admissions = admissions
        self._gate = gate
        self._world = world
        self._allow_plain = allow_plain
        self._callers: dict[BridgeKey, Caller] = {}
        self._wanted: dict[BridgeKey, str] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._generation_id: int | None = None

    def start(self, generation_id: int) -> None:
        """Call from now on; the number is that of the controller's start."""
        self._generation_id = generation_id
        self.follow(self._world().configuration)

    def follow(self, configuration: Configuration) -> None:
        """Call the bridges that say ``openflow:``, those that said otherwise before anew, and no others."""
        if self._generation_id is None:
            return
        wanted = {
            BridgeKey(host.name, bridge.name): bridge.openflow
            for host in configuration.inventory.hosts.values()
            for bridge in host.bridges.values()
            if bridge.openflow is not None
        }
        for key in [key for key, place in self._wanted.items() if wanted.get(key) != place]:
            if (caller := self._callers.pop(key, None)) is not None:
                self._end(caller)
        for key, place in wanted.items():
            if self._wanted.get(key) != place:
                self._call(key, place, self._generation_id)
        self._wanted = wanted

    async def stop(self) -> None:
        """Call nobody any more; the bridges go on enforcing what they hold."""
        callers, self._callers = self._callers, {}
        for caller in callers.values():
            self._end(caller)
        await asyncio.gather(*self._ending)

    def _end(self, caller: Caller) -> None:
        task = asyncio.get_running_loop().create_task(caller.stop())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _call(self, key: BridgeKey, place: str, generation_id: int) -> None:
        kind, address, port = parse_remote(place)
        tls = self._tls if kind == "ssl" else None
        try:
            if kind == "ssl" and tls is None:
                raise AdmissionError(f"{place} needs the controller's certificate and key: give certificates")
            caller = Caller(
                CallerOptions(str(key), address, port, generation_id, tls, self._allow_plain, self._limits),
                self._only(key),
                self._gate.bridge_event,
                self._gate.room_for,
                self._admissions.sessions,
                lambda: self._is_awaited(key),
            )
        except ZonewallError as error:
            self._gate.bridge_event(ConnectionRefused(f"{key} at {place}", None, str(error)))
            return
        self._callers[key] = caller
        caller.start()

    def _only(self, key: BridgeKey) -> Admit:
        """Let in the bridge that was called, as who it is, and no other of the inventory."""

        def admit(datapath_id: int, names: frozenset[str] | None, peer: str) -> Admission:
            world = self._world()
            there = world.bridge_of(world.known_as(DatapathId(datapath_id), names))
            if there is not None and there != key:
                return Admission(False, f"the inventory has {key} there, it is {there}")
            return self._admissions.admit(datapath_id, names, peer)

        return admit

    def _is_awaited(self, key: BridgeKey) -> bool:
        return self._world().datapath_of(key) not in self._admissions.sessions
