"""What a session tells: frozen values, handed to one callback."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from zonewall.flows.encoded import FlowKey


@dataclass(frozen=True, slots=True)
class Port:
    """A bridge's port as OpenFlow shows it; ``is_up`` is the link and not administratively down."""

    number: int
    name: str
    mac: int
    is_up: bool


@dataclass(frozen=True, slots=True)
class BridgeUp:
    """A bridge was admitted; its session takes commands from now on."""

    datapath_id: int
    peer_address: str
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class BridgeDown:
    """The session of a bridge that was up has ended; the bridge goes on enforcing what it holds."""

    datapath_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionRefused:
    """Somebody connected and was not let in."""

    peer_address: str
    datapath_id: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Fenced:
    """Another controller, of a newer generation, is the bridge's master; the session has ended or will."""

    datapath_id: int


class PortChange(Enum):
    """What became of a port."""

    ADDED = 0
    DELETED = 1
    MODIFIED = 2


@dataclass(frozen=True, slots=True)
class PortChanged:
    """A port came, went or changed."""

    datapath_id: int
    change: PortChange
    port: Port


@dataclass(frozen=True, slots=True)
class PacketIn:
    """A copy of a frame that a flow sent up.

    Attributes:
        in_port: 0 when the bridge did not say.
        registers: those that are not zero, by number.
        label: what its connection is remembered by (ct_label), 0 without one.
        full_len: bytes of the whole frame, of which ``frame`` may be the beginning.
    """

    datapath_id: int
    table: int
    cookie: int
    userdata: bytes
    in_port: int
    registers: tuple[tuple[int, int], ...]
    label: int
    full_len: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class FlowRemoved:
    """A flow ended; ``match`` is canonical, so that it finds the flow's key.

    Attributes:
        packets, bytes: what it has counted.
        age_s: how long it was there; ``idle_s``: how long it had met no packet, as the bridge knows it.
    """

    datapath_id: int
    table: int
    priority: int
    match: bytes
    cookie: int
    reason: int
    packets: int = 0
    bytes: int = 0
    age_s: float = 0.0
    idle_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FlowCount:
    """What a flow has counted since it was made, ``age_s`` seconds ago."""

    key: FlowKey
    cookie: int
    packets: int
    bytes: int
    age_s: int
    age_us: int = 0


@dataclass(frozen=True, slots=True)
class SwitchError:
    """A bridge complained about something that nobody waits for."""

    datapath_id: int
    kind: int
    code: int
    xid: int


@dataclass(frozen=True, slots=True)
class FlowUpdate:
    """A flow that somebody else put, changed or removed; ``key`` None: the bridge lost count of them."""

    key: FlowKey | None
    cookie: int
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class FlowsChanged:
    """Somebody else changed flows of a bridge."""

    datapath_id: int
    updates: tuple[FlowUpdate, ...]


@dataclass(frozen=True, slots=True)
class RequestForwarded:
    """Somebody else put, changed or removed a group or a meter; ``number`` may stand for all of them."""

    datapath_id: int
    is_meter: bool
    number: int


Event = (
    BridgeUp
    | BridgeDown
    | ConnectionRefused
    | Fenced
    | PortChanged
    | PacketIn
    | FlowRemoved
    | FlowsChanged
    | RequestForwarded
    | SwitchError
)
