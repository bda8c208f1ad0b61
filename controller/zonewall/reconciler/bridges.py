"""What the bridges say over OpenFlow, taken into the world; and what is answered at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Protocol

import structlog

from zonewall.errors import ZonewallError
from zonewall.flows.connection_rows import is_row
from zonewall.flows.refusal import refuse
from zonewall.flows.wire_actions import encode_actions
from zonewall.openflow.events import (
    BridgeDown,
    BridgeUp,
    ConnectionRefused,
    Event,
    Fenced,
    FlowRemoved,
    FlowsChanged,
    PacketIn,
    Port,
    PortChange,
    PortChanged,
    RequestForwarded,
    SwitchError,
)
from zonewall.pipeline.cookie import Reason
from zonewall.pipeline.model import Action, Output
from zonewall.pipeline.registers import TENANT
from zonewall.placement.announcement import Announcement, AnnouncementKind, build_rarp, parse_announcement
from zonewall.placement.dhcp import parse_grant
from zonewall.placement.dhcp6 import parse_given_up, parse_grants_6
from zonewall.placement.learnt import heard_address
from zonewall.placement.model import BridgeKey
from zonewall.policy.inventory import PortRole
from zonewall.reconciler.connection_log import ConnectionLog
from zonewall.reconciler.cuts import Cuts
from zonewall.reconciler.health import Health
from zonewall.reconciler.hosts import HostEvents
from zonewall.reconciler.inbox import begun
from zonewall.reconciler.intruders import Intruders
from zonewall.reconciler.keeper import BridgeLink
from zonewall.reconciler.named_ports import NamedPorts
from zonewall.reconciler.naming import is_readable, value_of
from zonewall.reconciler.probing import EVERY_S
from zonewall.reconciler.reconciler import READDRESS_S, Reconciler
from zonewall.reconciler.seldom import Lately, Seldom
from zonewall.values.names import DatapathId, EndpointKey, HostName, OfPort, TenantName

OFPP_TABLE = 0xFFFFFFF9
OFPP_CONTROLLER = 0xFFFFFFFD
DISCOVERY_S = 0.2
REINJECT_S = 0.5
MOST_WAITING = 256

_log = structlog.get_logger()


class Speaker(BridgeLink, Protocol):
    """A session that frames can be sent through."""

    async def packet_out(self, in_port: int, actions: bytes, frame: bytes) -> None:
        """Have the bridge do actions with a frame."""

    async def is_alive(self) -> bool:
        """Say whether the bridge answers what it is asked now."""


class BridgeEvents:
    """Turns a bridge's events into the world's; called from the inbox only."""

    def __init__(
        self,
        reconciler: Reconciler,
        hosts: HostEvents,
        session_of: Callable[[DatapathId], Speaker | None],
        databases_connect_in: bool,
        connections: ConnectionLog,
    ) -> None:
        """Feed ``reconciler``; ``session_of`` finds a live session; ports come from databases if any do."""
        self._databases_connect_in = databases_connect_in
        self.connections = connections
        self._reconciler = reconciler
        self._hosts = hosts
        self._session_of = session_of
        self._links: dict[BridgeKey, Speaker] = {}
        self._came_as: dict[int, BridgeKey] = {}
        self._waiting: dict[BridgeKey, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.refused = Lately()
        self._seldom = Seldom()
        self.named = NamedPorts(reconciler)
        self.intruders = Intruders(reconciler.recorder)
        self.cuts = Cuts(reconciler)
        self.health = Health(reconciler)

    def take(self, event: Event) -> object:
        """Take one event; where a bridge has many ports, return what is left to be done."""
        match event:
            case BridgeUp():
                return begun(self._up(event))
            case BridgeDown():
                self._down(event)
            case PortChanged():
                self._port(event)
                self._carrier(event)
                self._legs(event.datapath_id, [event.port], gone=event.change is PortChange.DELETED)
            case PacketIn():
                self._packet(event)
            case FlowsChanged() | FlowRemoved() | RequestForwarded() | Fenced():
                self._others(event)
            case ConnectionRefused():
                self._refused(event)
            case SwitchError():
                self._complained(event)
        return None

    def _others(self, event: FlowsChanged | FlowRemoved | RequestForwarded | Fenced) -> None:
        """Take what others did to the bridge; rows that count connections come and go all the time."""
        key = self._reconciler.world.bridge_of(DatapathId(event.datapath_id))
        if key is None or key not in self._reconciler.keepers:
            return
        if isinstance(event, Fenced):
            self._reconciler.keepers[key].fenced()
        elif isinstance(event, FlowRemoved):
            self.connections.removed(key, event)
        elif isinstance(event, RequestForwarded):
            self._reconciler.keepers[key].forwarded(event)
        else:
            self.connections.told(key, event.updates)
            others = [one for one in event.updates if one.key is None or not is_row(one.key)]
            self._reconciler.keepers[key].told(others)

    def _refused(self, event: ConnectionRefused) -> None:
        """Keep the reason of the last so many addresses; tell of it seldom."""
        address = event.peer_address.rpartition(":")[0]
        if self._seldom.is_due(address, event.reason, time.monotonic()):
            _log.warning("bridge_refused", peer=event.peer_address, reason=event.reason)
        self.refused.note(address, event.reason)

    def _complained(self, event: SwitchError) -> None:
        """Tell of an error that nobody waits for, such as of a frame that was to be sent."""
        who = f"bridge {event.datapath_id:016x}"
        if self._seldom.is_due(who, (event.kind, event.code), time.monotonic()):
            _log.warning("bridge_event", what=str(event))

    async def discover(self) -> None:
        """Send link discovery out of the fabric ports for ever."""
        while True:
            await asyncio.sleep(DISCOVERY_S)
            self._reconciler.post(self._send_discovery)

    async def probe(self) -> None:
        """Send probes through the appliances of service functions for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            self._reconciler.post(self._send_probes)

    def _send_probes(self) -> None:
        at = time.monotonic()
        told = self.health.probe(
            at, lambda sent: self._send(sent.bridge, OFPP_CONTROLLER, (Output(sent.ofport),), sent.frame)
        )
        for key in told:
            self._start(self._ask(key, partial(self.health.answered, key, at)))

    def _up(self, event: BridgeUp) -> Iterator[None]:
        datapath_id = DatapathId(event.datapath_id)
        key = self._reconciler.world.bridge_of(datapath_id)
        session = self._session_of(datapath_id)
        if key is None or session is None or key not in self._reconciler.keepers:
            return
        self._links[key], self._came_as[datapath_id] = session, key
        _log.info("bridge_connected", bridge=str(key), peer=event.peer_address)
        self._hosts.early.connected(key, event.ports)
        if not self._has_database(key.host):
            yield from self.named.all_of(key, event.ports)
        self._legs(datapath_id, event.ports)
        if (keeper := self._reconciler.keepers.get(key)) is not None:  # an edit may have taken it out
            if not self._expects_database(key.host):
                self._reconciler.host_told(key.host)
            keeper.connect(session)

    def _down(self, event: BridgeDown) -> None:
        key = self._came_as.get(event.datapath_id)  # the inventory may have changed since
        link = self._links.get(key) if key is not None else None
        if key is None or link is None or self._session_of(DatapathId(event.datapath_id)) is link:
            return
        del self._links[key], self._came_as[event.datapath_id]
        _log.warning("bridge_disconnected", bridge=str(key), reason=event.reason)
        self._reconciler.keepers[key].disconnect(link)
        self._reconciler.kept_bridges.release(key)

    def _port(self, event: PortChanged) -> None:
        """Take a port as OpenFlow names it; a database that is connected knows it better, and later."""
        key = self._reconciler.world.bridge_of(DatapathId(event.datapath_id))
        if key is not None and self._has_database(key.host):
            self._hosts.early.take(key, event)
        elif key is not None:
            port = None if event.change is PortChange.DELETED else event.port
            self.named.take(key, event.port.name, port)

    def _legs(self, datapath_id: int, ports: Iterable[Port], *, gone: bool = False) -> None:
        key = self._reconciler.world.bridge_of(DatapathId(datapath_id))
        if key is not None:
            self.health.take(key, ports, gone=gone)

    def _carrier(self, event: PortChanged) -> None:
        """Have paths leave a link whose cable was pulled, and look for one that may be back."""
        key = self._reconciler.world.bridge_of(DatapathId(event.datapath_id))
        if key is None:
            return
        is_up = event.port.is_up and event.change is not PortChange.DELETED
        end = (key, OfPort(event.port.number))
        if self._reconciler.finder.carrier(end, is_up=is_up):
            _log.warning("link_down", bridge=str(key), port=event.port.name)
            self._reconciler.links_changed()

    def _has_database(self, host: HostName) -> bool:
        return host in self._hosts.connected or self._expects_database(host)

    def _expects_database(self, host: HostName) -> bool:
        """Say whether the host's database is, or will be, connected: that knows its ports better."""
        declared = self._reconciler.world.configuration.inventory.hosts[host]
        return self._databases_connect_in or declared.ovsdb is not None

    def _packet(self, event: PacketIn) -> None:
        key = self._reconciler.world.bridge_of(DatapathId(event.datapath_id))
        if key is None or not event.userdata or not is_readable(event):
            return
        if event.userdata[0] == Reason.ANNOUNCEMENT:
            self._announcement(key, event)
        elif event.userdata[0] == Reason.DISCOVERY:
            self._discovery(key, event)
        elif event.userdata[0] == Reason.REJECT:
            self._reject(key, event)
        elif event.userdata[0] == Reason.SPOKE:
            self.intruders.take(key, self._reconciler.world.port_name(key, OfPort(event.in_port)), event)
        elif event.userdata[0] == Reason.DHCP:
            self._granted(key, event)
        elif event.userdata[0] == Reason.GIVEN_UP:
            self._given_up(key, event)
        elif event.userdata[0] == Reason.ADDRESS:
            self._address(key, event)
        elif event.userdata[0] == Reason.PROBE:
            self.health.heard(key, event)
        elif event.userdata[0] in (Reason.CUT, Reason.ISOLATED):
            self.cuts.take(key, event)

    def _announcement(self, key: BridgeKey, event: PacketIn) -> None:
        announcement = parse_announcement(event.frame)
        if announcement is None:
            return
        before = self._reconciler.world.fleet.bindings
        change = self._reconciler.world.fleet.announced(
            key, OfPort(event.in_port), announcement, time.monotonic()
        )
        kind = announcement.kind.value
        self._reconciler.take(change, f"announcement ({kind}) at {key}, ofport {event.in_port}")
        moved = self._reconciler.world.fleet.bindings is not before
        if moved and isinstance(announcement, Announcement) and len(event.frame) >= event.full_len:
            # Who asks for its own address is sent to its own port; what all have to hear is the MAC's place.
            told = event.frame if announcement.kind is AnnouncementKind.RARP else build_rarp(announcement.mac)
            self._start(self._announce_again(key, event.in_port, told))

    def _granted(self, key: BridgeKey, event: PacketIn) -> None:
        """Take what a DHCP server grants."""
        grant, tenant = parse_grant(event.frame), self._tenant(event)
        grants = parse_grants_6(event.frame) if grant is None else (grant,)
        if grants and tenant is not None:
            configuration, addresses = self._reconciler.world.configuration, self._reconciler.addresses
            cause = f"DHCP server at {key}, ofport {event.in_port}"
            taken = [addresses.granted(configuration, tenant, one, cause) for one in grants]
            self._reconciler.readdress(any(taken))

    def _given_up(self, key: BridgeKey, event: PacketIn) -> None:
        """Take that an endpoint returns what a DHCP server granted it, or does not want it."""
        owner = self._endpoint_at(key, event)
        if owner is not None:
            cause = f"given up at {key}, ofport {event.in_port}"
            self._reconciler.readdress(
                self._reconciler.addresses.given_up(owner, parse_given_up(event.frame), cause)
            )

    def _endpoint_at(self, key: BridgeKey, event: PacketIn) -> EndpointKey | None:
        fleet = self._reconciler.world.fleet
        port = fleet.by_ofport.get((key, OfPort(event.in_port)))
        return None if port is None else fleet.ports[port].facts.endpoint

    def _address(self, key: BridgeKey, event: PacketIn) -> None:
        """Take what an endpoint says of an address; it is let through once the bridge knows it."""
        heard, owner = heard_address(event.frame), self._endpoint_at(key, event)
        if heard is None or owner is None:
            return
        configuration = self._reconciler.world.configuration
        cause = f"announcement at {key}, ofport {event.in_port}"
        if self._reconciler.addresses.heard(configuration, owner, heard[1], cause):
            self._reconciler.readdress(True)
            self._start(self._tell_again(key, event))

    async def _tell_again(self, key: BridgeKey, event: PacketIn) -> None:
        await asyncio.sleep(READDRESS_S * 2)
        await self._announce_again(key, event.in_port, event.frame)

    def _tenant(self, event: PacketIn) -> TenantName | None:
        """Return whose frame the bridge took it for."""
        number = value_of(event, TENANT)
        numbers = self._reconciler.world.policy.numbering.numbers.get("tenant", {})
        return next((TenantName(name) for name, known in numbers.items() if known == number), None)

    async def _announce_again(self, key: BridgeKey, ofport: int, frame: bytes) -> None:
        """Let a frame through that has changed a placement, once its bridge delivers there."""
        keeper = self._reconciler.keepers.get(key)
        if keeper is not None and await keeper.settled(REINJECT_S):
            self._send(key, ofport, (Output(OFPP_TABLE),), frame)

    def _discovery(self, key: BridgeKey, event: PacketIn) -> None:
        owners = {
            datapath_id: bridge
            for bridge in self._reconciler.keepers
            if (datapath_id := self._reconciler.world.datapath_of(bridge)) is not None
        }
        receiver = (key, OfPort(event.in_port))
        if self._reconciler.finder.heard(receiver, event.frame, owners, time.monotonic()):
            self._reconciler.links_changed()

    def _send_discovery(self) -> None:
        at = time.monotonic()
        ports = self._reconciler.world.fabric_ports()
        for key, ofport in self._reconciler.finder.due(ports, self._links, at, self._are_told):
            datapath_id = self._reconciler.world.datapath_of(key)
            if datapath_id is not None:
                frame = self._reconciler.finder.frame(datapath_id, ofport, at)
                if self._send(key, OFPP_CONTROLLER, (Output(ofport),), frame):
                    self._start(self._ask(key, partial(self._reconciler.finder.left, (key, ofport), at)))

    def _are_told(self, key: BridgeKey) -> bool:
        """Say whether a bridge's ports are known; one that the inventory has no more has none."""
        return key not in self._reconciler.world.indexed.ports or self._reconciler.may_change(key)

    def _reject(self, key: BridgeKey, event: PacketIn) -> None:
        answer = refuse(event.frame)
        if answer is None or event.in_port == 0:
            return
        vlan = self._uplink_vlan(key, event)
        if vlan:
            answer = answer[:12] + (0x8100).to_bytes(2, "big") + vlan.to_bytes(2, "big") + answer[12:]
        self._send(key, OFPP_CONTROLLER, (Output(event.in_port),), answer)

    def _uplink_vlan(self, key: BridgeKey, event: PacketIn) -> int:
        """Return the tag that the rejected frame came in with, 0 for none."""
        world = self._reconciler.world
        declared = world.configuration.inventory.hosts[key.host].bridges[key.bridge].ports
        tenant = value_of(event, TENANT)
        for (bridge, name), ofport in world.fleet.roles.items():
            port = declared.get(name) if bridge == key and ofport == event.in_port else None
            if port is not None and port.role is PortRole.UPLINK:
                for vlan, owner in (port.vlans or {}).items():
                    if world.policy.numbering.numbers["tenant"].get(owner) == tenant:
                        return vlan
        return 0

    def _send(self, key: BridgeKey, in_port: int, actions: tuple[Action, ...], frame: bytes) -> bool:
        """Send a frame; what a bridge has not taken while many others wait for it is not sent at all."""
        link = self._links.get(key)
        if link is None or self._waiting.get(key, 0) >= MOST_WAITING:
            return False
        self._waiting[key] = self._waiting.get(key, 0) + 1
        self._start(self._deliver(key, link, in_port, encode_actions(actions), frame))
        return True

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, key: BridgeKey, note: Callable[[float], None]) -> None:
        """Note when the bridge has answered a question: all that was sent before it has left by then."""
        link = self._links.get(key)
        if link is not None and await link.is_alive():
            note(time.monotonic())

    async def _deliver(
        self, key: BridgeKey, link: Speaker, in_port: int, actions: bytes, frame: bytes
    ) -> None:
        try:
            await link.packet_out(in_port, actions, frame)
        except (ZonewallError, ConnectionError) as error:
            _log.debug("frame_not_sent", bridge=str(key), error=str(error))
        finally:
            if others := self._waiting.pop(key) - 1:
                self._waiting[key] = others
