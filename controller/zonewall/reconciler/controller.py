"""The whole controller: listeners and services around one reconciler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from zonewall.errors import ZonewallError
from zonewall.flows.encoded import BridgeState
from zonewall.openflow.events import BridgeDown, BridgeUp, Event
from zonewall.openflow.listener import Listener, ListenerOptions
from zonewall.openflow.session import Session
from zonewall.openflow.waiting import Limits
from zonewall.ovsdb.patience import Patience
from zonewall.ovsdb.service import OvsdbService
from zonewall.pipeline.stages.connection_log import COLLECTORS
from zonewall.pipeline.tables import RESOLVE, SOURCE
from zonewall.placement.model import BridgeKey
from zonewall.placement.observations import BridgeGone, BridgeSeen, HostLost, Observation
from zonewall.policy.model import Configuration
from zonewall.policy.reread import be_ready
from zonewall.reconciler import actions, views
from zonewall.reconciler.added import AddedEndpoints
from zonewall.reconciler.admission import Admissions
from zonewall.reconciler.bridges import BridgeEvents
from zonewall.reconciler.budget import most_shown
from zonewall.reconciler.calls import Calls
from zonewall.reconciler.connection_log import ConnectionLog
from zonewall.reconciler.counters import EVERY_S, Counters
from zonewall.reconciler.doors import Doors, open_doors
from zonewall.reconciler.garbage import Garbage
from zonewall.reconciler.gate import Gate, bridge_source, host_source
from zonewall.reconciler.have_shown import Certificates
from zonewall.reconciler.hosts import HostEvents
from zonewall.reconciler.intake import Intake
from zonewall.reconciler.keeper import BridgeKeeper
from zonewall.reconciler.link import SessionLink
from zonewall.reconciler.looks import Looks
from zonewall.reconciler.reconciler import Reconciler
from zonewall.reconciler.status import status_document
from zonewall.reconciler.stops import Stops
from zonewall.reconciler.tasks import Tasks
from zonewall.reconciler.trial import Trials
from zonewall.reconciler.watching import watch
from zonewall.store.applied_file import read_applied, undone_by
from zonewall.store.descriptors import a_quarter
from zonewall.store.generation_file import next_generation
from zonewall.store.journal_writer import JournalWriter
from zonewall.store.key_file import discovery_key
from zonewall.store.options import JOURNAL_FILE, Options, TlsOptions, parse_remote
from zonewall.store.watch import Hurry
from zonewall.telemetry.outputs import Outputs
from zonewall.tls import TlsFiles
from zonewall.values.names import DatapathId, HostName

PREFIXES = {table.number: ("nw_dst", "nw_src", "ipv6_dst") for table in (RESOLVE, SOURCE)}
"""Fields looked up by longest prefix, so that megaflows stay wide (ovs-vswitchd.conf.db(5), Flow_Table)."""

SWEEP_S = 2.0
"""How often what is there by now is taken out of the garbage collector's sight."""

LAST_LOOK_S = 2.0
"""How long the end waits for what bridges have counted until then."""

JOURNAL_S = 3.0
"""How long an operator's answer waits for the journal; what is asked for is done at once."""

_log = structlog.get_logger()


class Controller:
    """Owns every listener and task; ``run`` works until told to stop."""

    def __init__(self, directory: Path, options: Options, doors: Doors | None = None) -> None:
        """Read the configuration; where there are no ``doors`` yet, ``run`` opens them.

        Raises:
            ZonewallError: the configuration, the options or the state folder cannot be used.
        """
        self.options = options
        self._doors = doors
        key = discovery_key(options.state / "discovery.key")
        self.journal = JournalWriter(options.state / JOURNAL_FILE)
        applied = options.state / "applied.json"
        in_force = read_applied(applied, directory)
        if in_force != directory:
            _log.info("directory_applied_before", directory=str(in_force), given=str(directory))
        self.records = Outputs(self.journal, options.records)
        with undone_by(applied, in_force, directory):
            self.reconciler = Reconciler(in_force, options.state, key, self.records)
        self.hurry = Hurry()
        self.stops = Stops(options.state / "stopped.json")
        self.hosts = HostEvents(self.reconciler)
        self.trials = Trials(
            self.reconciler,
            self.hosts.connected.keys,
            self._is_alive,
            applied,
            directory,
            lambda closely: self.databases.watch_closely(closely=closely),
        )
        self.added = AddedEndpoints(self.reconciler, lambda: self.trials.trial is not None)
        self.certificates = Certificates(options.state / "certificates.json")
        self.admissions = Admissions(lambda: self.reconciler.world, self.certificates.bridges)
        self._listeners: list[Listener] = []
        self._links: dict[int, SessionLink] = {}
        self._known_as: dict[BridgeKey, int] = {}
        """Datapath ids that bridges have connected with last."""
        self.bridges = BridgeEvents(
            self.reconciler,
            self.hosts,
            self._link_of,
            databases_connect_in=bool(options.ovsdb),
            connections=ConnectionLog(self.reconciler, options.state / "connections.json"),
        )
        self.counters = Counters(options.state / "counters.json", self.reconciler.recorder)
        self.reconciler.kept_bridges.on_release.append(self._forget)
        self.looks = Looks(self.reconciler, self._links, self.bridges.connections, self.counters)
        self.intake = Intake(self.reconciler, options.events, options.state)
        self._prepare_to_connect(options)

    def _prepare_to_connect(self, options: Options) -> None:
        """Make what bridges and databases will connect to; nobody is heard, or called, before ``run``."""
        self.gate = Gate(self.reconciler, self._took, self._took_host)
        self.hosts.early.is_behind = self.gate.is_behind
        tls = _tls(options.tls)
        self.databases = OvsdbService(
            self._observed,
            client_tls=tls,
            patience=Patience(half_open=a_quarter(Patience().half_open), ports=options.most_ports),
            is_full=self.gate.is_full,
            have_shown=self.certificates.databases,
        )
        self.calls = Calls(
            tls,
            self.admissions,
            self.gate,
            lambda: self.reconciler.world,
            allow_plain=options.allow_plain,
            limits=Limits(max_ports=options.most_ports),
        )
        self.reconciler.on_hosts += [self._follow_hosts, lambda _: self.admissions.again(), self.calls.follow]

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; the bridges then go on enforcing what they have.

        Raises:
            ZonewallError: something cannot be listened on, or has ended that must not.
        """
        self.journal.start()
        self.records.start()
        self.reconciler.recorder.started(self.journal.present())
        self.bridges.connections.remember(self.journal.reader())
        looked = asyncio.Event()
        tasks = Tasks(self.reconciler.faults)
        tasks.begin()
        for work in (
            self.reconciler.run(),
            _sweep(),
            watch(self.reconciler, self.trials, stop, self.hurry, looked),
            self.bridges.discover(),
            self.bridges.probe(),
            self.intake.run(),
            self._count_always(),
        ):
            tasks.start(work, is_needed=True)
        try:
            if self.reconciler.are_others_on_disk:
                await looked.wait()  # nobody is served by what an edit since the last stop is to replace
            await self._open()
            _log.info("controller_started", directory=str(self.reconciler.directory))
            for work in (self.databases.lasts(), *(listener.accepting() for listener in self._listeners)):
                tasks.start(work, is_needed=True)
            await tasks.until(stop)
        finally:
            _log.info("controller_stopping")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._count_once(), LAST_LOOK_S)
            await self.trials.stop()
            for listener in self._listeners:
                await listener.stop()
            await self.calls.stop()
            await asyncio.get_running_loop().run_in_executor(None, self.databases.stop)
            await tasks.end()
            self.stops.stopped(self.reconciler.keepers)
            self.intake.finish()
            self.reconciler.recorder.stopped()
            ends = (self.certificates.stop, self.records.stop, self.journal.stop, self.reconciler.kept.keep)
            for stopping in ends:
                await asyncio.get_running_loop().run_in_executor(None, stopping)

    def status(self) -> dict[str, Any]:
        """Return the status document."""
        document = status_document(self.reconciler, self.hosts, self.bridges, self.journal.status, self.gate)
        document["configuration"]["trial"] = self.trials.status()
        document["not_written"] += [self.certificates.error] if self.certificates.error else []
        logged = {**self.bridges.connections.status(), "outputs": self.records.status()}
        return {**document, "events": self.intake.status(), "connections": logged}

    async def act(self, name: str, said: dict[str, Any], who: str) -> dict[str, Any]:
        """Do what an operator asks for; answered once a restart knows it and the journal has it, or cannot.

        Raises:
            ZonewallError: there is no such thing to do, or it is not said well.
        """
        if name in self.added.actions:
            await self.added.actions[name](said, who)
        elif name == "apply":
            async with self.reconciler.changing:
                await self.trials.apply(said, who)
        elif name == "confirm":
            self.trials.confirm(who)
        else:
            actions.carry_out(self.reconciler, name, said, who)
        if error := await self._not_on_disk(name):
            return {"done": name, "journal": None, "warning": f"it is done, but not on disk yet: {error}"}
        try:
            head = await asyncio.wait_for(asyncio.wrap_future(self.journal.durable()), JOURNAL_S)
        except (ZonewallError, TimeoutError):
            return {
                "done": name,
                "journal": None,
                "warning": "it is done, but not in the journal: see status",
            }
        return {"done": name, "journal": head.sequence}

    async def _not_on_disk(self, name: str) -> str:
        """Wait until a restart knows what was done; return why it does not, empty where it does."""
        if name in ("apply", "confirm"):
            return await asyncio.shield(asyncio.wrap_future(self.reconciler.last.keep()))
        if name not in self.added.actions:
            try:
                await asyncio.shield(asyncio.wrap_future(self.reconciler.remembered()))
            except ZonewallError as error:
                return str(error)
        return ""

    async def _count_always(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self._count_once()

    async def _count_once(self) -> None:
        try:
            await self.looks.everywhere()
        except Exception as error:
            self.reconciler.faults.note("counting", error)

    async def look(self, name: str, words: Mapping[str, str]) -> dict[str, Any]:
        """Return what is known about something that commands need.

        Raises:
            ZonewallError: nothing is known by that name, or a bridge cannot be asked.
        """
        if name == "counters":
            await self.looks.everywhere()
            return self.counters.document()
        return await views.look(self.reconciler, name, words)

    async def _open(self) -> None:
        doors = self._doors or open_doors(self.options)
        self.databases.start()
        self._follow_hosts(self.reconciler.world.configuration)
        for door in doors.ovsdb:
            self.databases.listen_on(door.listening, _tls(self.options.tls) if door.is_tls else None)
        generation_id = next_generation(self.options.state / "generation.json", int(time.time() * 1000))
        for door in doors.openflow:
            _, address, port = parse_remote(door.place)
            tls = _tls(self.options.tls) if door.is_tls else None
            options = ListenerOptions(
                address, port, generation_id, tls=tls, allow_plain=self.options.allow_plain,
                max_half_open=a_quarter(1024), limits=Limits(max_ports=self.options.most_ports),
            )  # fmt: skip
            admissions, gate = self.admissions, self.gate
            listener = Listener(
                options, admissions.admit, gate.bridge_event, gate.room_for, admissions.sessions
            )
            await listener.start(door.listening)
            self._listeners.append(listener)
        self.calls.start(generation_id)

    def _follow_hosts(self, configuration: Configuration) -> None:
        hosts = configuration.inventory.hosts
        self.databases.set_hosts(hosts)
        export = configuration.inventory.export
        collectors = (COLLECTORS, export.collectors if export is not None else ())
        for host in hosts.values():
            for bridge in host.bridges.values():
                self.databases.ensure_bridge(host.name, bridge, None, PREFIXES, collectors)
                self._awaits(BridgeKey(host.name, bridge.name))

    def _link_of(self, datapath_id: DatapathId) -> SessionLink | None:
        session = self._session(datapath_id)
        if session is None:
            self._links.pop(datapath_id, None)
            return None
        link = self._links.get(datapath_id)
        if link is None or link.session is not session:
            session.most_flows = lambda: most_shown(self.reconciler.world, datapath_id)
            link = self._links[datapath_id] = SessionLink(session)
            link.before_rules_go = partial(self.looks.before_rules_go, datapath_id)
            link.confirmed = lambda: self._confirmed(datapath_id)
            if (keeper := self._keeper(datapath_id)) is not None:
                self.stops.tell(keeper)
                self._forget_id(self._known_as.get(keeper.key))
                self._known_as[keeper.key] = datapath_id
        return link

    def _confirmed(self, datapath_id: DatapathId) -> BridgeState | None:
        keeper = self._keeper(datapath_id)
        return keeper.holdings.last_confirmed if keeper is not None else None

    def _keeper(self, datapath_id: DatapathId) -> BridgeKeeper | None:
        key = self.reconciler.world.bridge_of(datapath_id)
        return self.reconciler.keepers.get(key) if key is not None else None

    def _session(self, datapath_id: int) -> Session | None:
        return self.admissions.sessions.get(datapath_id)

    def _took(self, event: Event) -> object:
        left = self.bridges.take(event)
        if isinstance(event, BridgeUp | BridgeDown):
            key = self.reconciler.world.bridge_of(DatapathId(event.datapath_id))
            if key is not None:
                self._awaits(key)
        return left

    def _took_host(self, seen: Observation) -> None:
        before = self.reconciler.world.fleet.datapaths
        self.hosts.take(seen)
        if isinstance(seen, HostLost):
            self._forget_host(seen.host)
        elif self.reconciler.world.fleet.datapaths is not before and isinstance(
            seen, BridgeSeen | BridgeGone
        ):
            self.admissions.again(BridgeKey(seen.host, seen.bridge))

    def _forget(self, key: BridgeKey) -> None:
        """Forget a bridge that the inventory has no more, and that has no session."""
        bridges, early = self.bridges, self.hosts.early
        for part in (bridges.named, bridges.intruders, bridges.health, self.counters, early):
            part.forget(key)
        self._forget_id(self._known_as.pop(key, None))
        self._forget_host(key.host)

    def _forget_id(self, datapath_id: int | None) -> None:
        """Forget by which id a bridge was known; with a session it may be another bridge's by now."""
        if datapath_id is not None and self._session(datapath_id) is None:
            self._links.pop(datapath_id, None)
            self.gate.forget(bridge_source(datapath_id))

    def _forget_host(self, host: HostName) -> None:
        """Forget a host, if the inventory has it no more."""
        if host not in self.reconciler.world.configuration.inventory.hosts:
            self.hosts.problems.pop(host, None)
            self.gate.forget(host_source(host))

    def _awaits(self, key: BridgeKey) -> None:
        """Have a bridge that is to connect in, and has not, called through its host's database."""
        world = self.reconciler.world
        datapath_id = world.datapath_of(key)
        is_here = datapath_id is not None and self._session(datapath_id) is not None
        comes = world.configuration.inventory.hosts[key.host].bridges[key.bridge].openflow is None
        self.databases.await_bridge(key.host, key.bridge, awaited=comes and not is_here)

    def _observed(self, seen: Observation) -> None:
        self.gate.observed(seen)

    async def _is_alive(self, key: BridgeKey) -> bool:
        datapath_id = self.reconciler.world.datapath_of(key)
        session = self._session(datapath_id) if datapath_id is not None else None
        return session is not None and await session.is_alive()


async def _sweep() -> None:
    """Keep collections of garbage short, for ever; once bridges are as wanted, be ready for an edit, too."""
    garbage = Garbage()
    ready: asyncio.Future[None] | None = None
    while True:
        await asyncio.sleep(SWEEP_S)
        garbage.look()
        ready = ready or asyncio.ensure_future(asyncio.to_thread(be_ready))


def _tls(tls: TlsOptions | None) -> TlsFiles | None:
    return None if tls is None else TlsFiles(tls.private_key, tls.certificate, tls.ca)
