"""The one owner of the world: an inbox of events, and a keeper for each bridge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from zonewall.errors import ZonewallError
from zonewall.intent.analysis.acceptance import accepted_texts, load_accepted
from zonewall.intent.fleet import Fleet, bridges_of
from zonewall.intent.host_ways import LostWay, lost_ways
from zonewall.journal.keeping import JournalSink, Nowhere
from zonewall.placement.binding_events import Effect, EffectKind
from zonewall.placement.binding_fleet import FleetState
from zonewall.placement.model import BridgeKey
from zonewall.policy.model import Configuration
from zonewall.reconciler.addresses import Addresses
from zonewall.reconciler.compiler import Compiler
from zonewall.reconciler.cut_off import refuse_edit
from zonewall.reconciler.effect_log import log_effects
from zonewall.reconciler.faults import Faults
from zonewall.reconciler.foresight import Foresight, stepped
from zonewall.reconciler.hearing import Hearing, are_hosts_alike, bridges_of_others
from zonewall.reconciler.inbox import Inbox, Source
from zonewall.reconciler.keeper import BridgeKeeper, InForce
from zonewall.reconciler.keepers import Keepers, afterwards
from zonewall.reconciler.kept_documents import KeptDocuments
from zonewall.reconciler.last_in_force import InForceKeeper
from zonewall.reconciler.links import LinkFinder
from zonewall.reconciler.memory import MemoryKeeper, fleet_of
from zonewall.reconciler.numbers import NumberKeeper
from zonewall.reconciler.reading import Texts, accepted, is_emptied, unchanged, with_added
from zonewall.reconciler.recorder import Recorder
from zonewall.reconciler.schedule import RETRY_S, Schedule
from zonewall.reconciler.tasks import Tasks
from zonewall.reconciler.world import Turn, World
from zonewall.store.added_file import read_added
from zonewall.store.watch import NO_CHANGE, Saved
from zonewall.values.names import HostName

TICK_S = 0.25
READDRESS_S = 0.02
"""How long more learnt addresses are waited for before bridges change."""

_log = structlog.get_logger()


class Reconciler:
    """Takes events one after the other; everything else gives it frozen values and reads its status."""

    def __init__(
        self, directory: Path, state: Path, discovery_key: bytes, journal: JournalSink | None = None
    ) -> None:
        """Read the configuration and the numbering; what happens is put into ``journal``.

        Raises:
            ConfigurationError: the configuration cannot be used.
        """
        self.directory = directory
        self.numbers = NumberKeeper(state / "numbering.json")
        self.memory = MemoryKeeper(state / "places.json")
        self.finder = LinkFinder(discovery_key)
        self.refused_configuration = ""
        self.loaded_at = time.time()
        self.revision = 1  # rises with each configuration that is applied; a refused one does not count
        self.on_hosts: list[Callable[[Configuration], None]] = []
        """Not called for what leaves hosts as they are."""
        self.on_in_force: list[Callable[[InForce], None]] = []
        self.amend: Callable[[Configuration], Configuration] = lambda configuration: configuration
        """What is in force beside the documents: measures against what an IDS has told."""
        self.faults = Faults()
        self._inbox = Inbox(self.faults)
        self._tasks = Tasks(self.faults)
        self.kept_bridges = Keepers(self._tasks, self._keeper_of)
        self.keepers = self.kept_bridges.by_bridge
        self.recorder = Recorder(journal or Nowhere())
        self.changing = asyncio.Lock()  # of who reads a configuration and puts it in force
        self.added_file = state / "endpoints.yaml"
        self.kept = KeptDocuments(state / "documents.kept", discovery_key)
        self.last = InForceKeeper(state)
        begun = self.last.begin(directory, read_added(self.added_file), self.kept.load)
        configuration, self.texts, self.are_others_on_disk = begun
        known = self.memory.at_start
        self._hearing = Hearing(time.monotonic(), self.memory.was_there or not self.numbers.at_start.numbers)
        self.finder.remember(known.links, time.monotonic())
        self.addresses = Addresses(configuration, known.addresses, self.recorder)
        self._readdressing = False
        self.behind = ""  # why what was learnt, or what answers alerts, is not in force; empty where it is
        self._retry_at = 0.0
        self._documents, configuration = configuration, self.addresses.configuration
        fleet = fleet_of(known, configuration, time.monotonic()).with_links(self.finder.links)
        self.schedule = Schedule(state / "outliving.json")
        inactive, passing = self.schedule.started(configuration)
        self.world = World.start(configuration, self.numbers.at_start, fleet, inactive, passing)
        self.world = self.world.with_away(known.away)
        self.numbers.keep(self.world.policy.numbering)
        self._compiler = Compiler()
        self.kept_bridges.on_release.append(self._compiler.forget)
        self._foresight = Foresight(self._compiler)

    # What others may call

    def post(self, action: Callable[[], object], source: Source = "") -> None:
        """Put something to do into the inbox, from any thread."""
        self._inbox.post(action, source)

    async def run(self) -> None:
        """Work until cancelled, or until a part has ended that must not (``ControllerBrokenError``)."""
        self._tasks.begin()
        self.recorder.configured(self._documents, self.texts, "controller started")
        self._follow_bridges()
        for work in (self._inbox.work(), self._tick()):
            self._tasks.start(work, is_needed=True)
        try:
            await self._tasks.until(asyncio.Event())
        finally:
            await self._tasks.end()
            self.remembered().exception()
            self.last.keep().exception()

    def take(self, change: tuple[FleetState, tuple[Effect, ...]], cause: str = "controller") -> None:
        """Take the next fleet, and have the bridges follow; ``cause``: who or what brought it about."""
        before = self.world
        fleet, effects = change
        log_effects(effects)
        self.recorder.moved(fleet, effects, cause)
        if fleet is before.fleet:
            return
        self.world = before.with_fleet(fleet)
        self.dispatch(self.world.turn(effects, before))
        for effect in effects:
            if effect.kind is EffectKind.REMOVE and effect.endpoint not in fleet.bindings:
                self.readdress(effect.endpoint is not None and self.addresses.unplugged(effect.endpoint))

    def appliances_away(self, away: frozenset[str]) -> None:
        """Have every bridge look: appliances of service functions went away or came back."""
        self.world = self.world.with_away(away)
        self.remembered()
        self.dispatch(self._everywhere())

    def roles_changed(self) -> None:
        """Have every bridge look: a port with a role came, went or was renumbered."""
        self.dispatch(self._everywhere())

    async def reload(self, change: Saved = NO_CHANGE) -> None:
        """Read the directory after a change; what is invalid changes nothing and is reported."""
        async with self.changing:
            try:
                read = await self.read(self.directory, change.unfinished)
                await self.foresee(*read)
                refuse_edit(self.lost_ways(read[0]), self.directory)
                if await change.stands(is_emptied=is_emptied(self.texts, read[1])):
                    self.apply(*read)
            except Exception as error:
                if await change.stands():
                    await self.last.kept()
                    self._refuse(error)

    async def foresee(self, configuration: Configuration, texts: Texts) -> None:
        """Have worked out what ``apply`` would need of documents; nothing of them is in force."""
        digested = asyncio.get_running_loop().run_in_executor(None, self.recorder.digest, texts)
        with suppress(Exception):  # ``apply`` comes upon the same, and says it
            wanted = self.amend(self.addresses.foreseen(configuration))
            bridges = {key: keeper.holdings.compare for key, keeper in self.keepers.items()}
            await self._foresight.look(self.world, wanted, self.schedule.changed(self.world, wanted), bridges)
        await digested

    def lost_ways(self, configuration: Configuration) -> list[LostWay]:
        """Return which ways of hosts another configuration would take, as far as their ports are there."""
        self.last.connected(self.kept_bridges.connected())

        def is_there(key: BridgeKey, name: str) -> bool:
            is_told = self.may_change(key) and self.kept_bridges.was_seen(key)
            return (key, name) in self.world.fleet.roles or (key in self.last.bridges and not is_told)

        return lost_ways(self._documents, configuration, is_there)

    async def read(self, directory: Path, unfinished: Collection[str] = ()) -> tuple[Configuration, Texts]:
        """Return what a directory says, with what was added by command, if it may be put in force.

        ``unfinished``: documents of which counts what they said before.

        Raises:
            ZonewallError: it may not, and why.
        """
        known, read = unchanged(self.texts, unfinished), self.kept.load
        return await self._accepted(lambda: load_accepted(directory, datetime.now(UTC), known, read))

    async def read_with(self, added: bytes) -> tuple[Configuration, Texts]:
        """Return what is in force with another document of what was added by command, if it may be.

        Raises:
            ZonewallError: it may not, and why.
        """
        texts = with_added(self.texts, added)
        return await self._accepted(lambda: accepted_texts(texts, datetime.now(UTC), self.kept.load))

    async def _accepted(self, load: Callable[[], tuple[Configuration, Texts]]) -> tuple[Configuration, Texts]:
        held = self.kept_bridges.held(self.last.bridges)
        return await accepted(self.world, self.schedule, held, load, self._documents)

    def in_force(self, report: InForce) -> None:
        """Take a bridge's word for what it enforces.

        One that had lost everything may have lost its connections, too: those of the endpoints that it holds
        already are taken up in their middle for a while.
        """
        if report.was_empty:
            self.take(self.world.fleet.host_seen(report.bridge.host, report.at, restarted=True))
        self._hearing.in_force(report.bridge)
        change = self.world.fleet.confirm(report.bridge, report.placement, report.at)
        self.take(change, f"bridge {report.bridge} confirmed")

    def dispatch(self, turn: Turn) -> None:
        """Wake the bridges of a turn: new places first, the others when those are in force."""
        first, second, then = (
            [self.keepers[key] for key in sorted(group) if key in self.keepers]
            for group in (turn.first, turn.second, turn.then)
        )
        for keeper in first or second + then:
            keeper.wake(urgent=bool(first))
        if first and (second or then) and self._tasks.start(afterwards(first, second, then)):
            for keeper in second + then:
                keeper.turns_ahead += 1

    def readdress(self, changed: bool) -> None:
        """Have bridges follow learnt addresses soon, many at a time."""
        if changed and not self._readdressing and self._tasks.loop is not None:
            self._readdressing = True
            self._tasks.loop.call_later(READDRESS_S, self.post, self._readdress)

    def _readdress(self) -> None:
        self._readdressing = False
        effects = self.amend_again()
        self.recorder.moved(self.world.fleet, effects, "addresses")
        self.remembered()

    def amend_again(self) -> tuple[Effect, ...]:
        """Have other measures in force beside the same documents; tried again where that cannot be."""
        try:
            effects = self._put_in_force(self.addresses.configuration)
        except ZonewallError as error:
            if str(error) != self.behind:
                _log.error("behind", error=str(error))
            self.behind, self._retry_at = str(error), time.monotonic() + RETRY_S
            return ()
        log_effects(effects)
        self.dispatch(self._everywhere())
        return effects

    def _put_in_force(self, configuration: Configuration) -> tuple[Effect, ...]:
        """Take a configuration, once its numbers are on disk: no flow may carry one that is not.

        Raises:
            ZonewallError: it cannot be carried out; nothing has changed.
        """
        wanted = self.amend(configuration)
        step = self._foresight.taken(self.world, wanted)
        step = step or stepped(self.world, wanted, self.schedule.changed(self.world, wanted))
        self.numbers.keep(step.world.policy.numbering)
        self.world, self.behind = step.world, ""
        self.schedule.keep(step.world.policy.passing)
        return step.effects

    @property
    def documents(self) -> Configuration:
        """Return the configuration in force as the documents say it."""
        return self._documents

    def apply(
        self, configuration: Configuration, texts: Texts, cause: str = "", *, is_trial: bool = False
    ) -> bool:
        """Put a configuration in force; False if it cannot be carried out, which changes nothing.

        What is not on trial is for good: a restart begins with it.
        """
        if texts == self.texts and not self.behind:
            self.refused_configuration, self.loaded_at = "", time.time()
            _log.info("configuration_unchanged")
            return True
        learnt = self.addresses.book
        try:
            effects = self._put_in_force(self.addresses.configured(configuration))
        except Exception as error:
            self.addresses.configured(self._documents)
            self.addresses.book = learnt
            self._refuse(error)
            return False
        others = bridges_of_others(self._documents, configuration)
        listeners = [] if are_hosts_alike(self._documents, configuration) else self.on_hosts
        self._documents, self.texts = configuration, texts
        if not is_trial:
            self.last.take(configuration, texts)
        self.refused_configuration, self.loaded_at = "", time.time()
        self.revision += 1
        log_effects(effects)
        self.recorder.configured(configuration, texts, cause or f"documents in {self.directory}")
        self.recorder.moved(self.world.fleet, effects, "configuration")
        for listener in listeners:
            listener(configuration)
        self._follow_bridges(others)
        self.dispatch(self._everywhere())
        _log.info("configuration_applied", tenants=len(configuration.tenants))
        return True

    def _refuse(self, error: Exception) -> None:
        """Have log and status say why documents are not in force; of what nobody foresaw, where it arose."""
        self.refused_configuration = self.faults.reason("configuration", error)
        _log.error("configuration_refused", error=self.refused_configuration)

    def _everywhere(self) -> Turn:
        return Turn(then=frozenset(bridges_of(self.world.configuration)))

    def _follow_bridges(self, others: Collection[BridgeKey] = ()) -> None:
        """Have a keeper for each managed bridge; ``others`` are of other machines than before."""
        bridges = bridges_of(self.world.configuration)
        self._hearing.declared(bridges, time.monotonic(), others)
        self.kept_bridges.follow(bridges)

    def _keeper_of(self, key: BridgeKey) -> BridgeKeeper:
        latest, expected = partial(self._latest, key), self._remembered_for(key)
        return BridgeKeeper(key, latest, self._confirmed, self._compiler, expected, self.faults)

    def _latest(self, key: BridgeKey) -> Fleet | None:
        """Return what a bridge is to be like; one that has flows from before gets them in one step."""
        if not self.may_change(key):
            return None
        return self.world.seen_by(key, time.monotonic(), is_resuming=self._hearing.is_resuming(key))

    def _remembered_for(self, key: BridgeKey) -> Callable[[], Fleet | None]:
        """Return what says where endpoints were when the controller stopped: most are there still."""
        return lambda: self.world.indexed if key in self.world.indexed.here else None

    def may_change(self, key: BridgeKey) -> bool:
        """Say whether it is known what there is on a bridge, so that what is not known of can go."""
        return key in self.world.indexed.ports and self._hearing.is_known(key)

    def host_told(self, host: HostName) -> None:
        """Note that a host has told all its ports; its bridges may be changed from now on."""
        if self._hearing.take(host):
            self.dispatch(Turn(then=frozenset(k for k in self.keepers if k.host == host)))

    def _confirmed(self, report: InForce) -> None:
        for listener in self.on_in_force:
            listener(report)
        self.post(lambda: self.in_force(report))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.post(self._time_passes)

    def _time_passes(self) -> None:
        at = time.monotonic()
        self.take(self.world.fleet.tick(at), "time")
        self.recorder.time_passes()
        self.readdress(self.addresses.time_passes() or bool(self.behind and at >= self._retry_at))
        if self.finder.expire(at):
            self.links_changed()
        self.remembered()
        for host in self._hearing.overdue(at):
            self.host_told(host)
        connected = self.kept_bridges.connected()
        if self._hearing.time_passes(at, connected):
            for key in () if self._hearing.has_head_start else self.keepers:
                self.take(self.world.fleet.confirm(key, self.world.fleet.placement(), at), "start")
            self.dispatch(self._everywhere())
        inactive, passing = self.schedule.changed(self.world, self.world.configuration)
        if (inactive, passing) != (self.world.inactive, self.world.policy.passing):
            _log.info("rules_rescheduled", out_of_force=sorted(inactive))
            world = self.world.rescheduled(inactive, passing)
            self.numbers.keep(world.policy.numbering)
            self.world = world
            self.dispatch(self._everywhere())
        self.schedule.keep(self.world.policy.passing)
        self.last.connected(connected)
        self.last.keep()
        self.numbers.try_again(self.world.policy.numbering)

    def remembered(self) -> Future[None]:
        """Have written down where everything is; done once it is, however slow the disk, or could not be."""
        return self.memory.keep(self.world.fleet, self.addresses.book, self.world.away)

    def links_changed(self) -> None:
        """Take the links as they are found now; written down before flows follow, for whoever starts next."""
        self.world = self.world.with_fleet(self.world.fleet.with_links(self.finder.links))
        self.remembered()
        self.dispatch(self._everywhere())
