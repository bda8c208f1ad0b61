"""What the hosts' databases say, as values; time is a field (monotonic seconds, stamped where it was seen).

Two observations are equal when they say the same, whenever it was. The order that a reader may rely on:
``HostSeen``, then what differs from what was last known of that host, then ``SnapshotComplete``, then
``...Gone`` for what vanished while the host was away; from then on each change as it happens, what goes
before what comes, until ``HostLost``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from zonewall.values.addresses import MacAddress
from zonewall.values.names import BridgeName, DatapathId, HostName, OfPort

IDENTITY_KEYS = frozenset({"iface-id", "attached-mac", "vm-id", "vm-uuid", "xs-vif-uuid", "iface-status"})
"""Keys of Interface external_ids that say whose port it is (ovs-vswitchd.conf.db(5), Interface)."""

_NO_IDS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class HostSeen:
    """A host's database is connected and is whom the inventory says.

    Attributes:
        ovs_version: as the host says; empty while it does not.
        peer: the other end of the connection, for messages.
    """

    host: HostName
    system_id: str
    ovs_version: str
    peer: str
    at: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class HostLost:
    """The connection to an admitted host is gone; what it said last still stands."""

    host: HostName
    reason: str
    at: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class HostRefused:
    """Somebody connected who may not; ``peer`` says where from, ``reason`` what would be right."""

    peer: str
    reason: str
    at: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class HostUnreachable:
    """A host that the controller connects out to does not answer; said once until it does or says another."""

    host: HostName
    reason: str
    at: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class SnapshotComplete:
    """Everything that the host has now was said; what was not has gone."""

    host: HostName
    at: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class BridgeSeen:
    """A bridge is there, managed or not.

    Attributes:
        datapath_id: None until ``ovs-vswitchd`` has given it one.
        secure: ``fail_mode=secure``.
    """

    host: HostName
    bridge: BridgeName
    datapath_id: DatapathId | None
    at: float = field(compare=False)
    datapath_type: str = ""
    secure: bool = False


@dataclass(frozen=True, slots=True)
class BridgeGone:
    """A bridge is there no more; its ports were said to be gone before."""

    host: HostName
    bridge: BridgeName
    at: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class PortSeen:
    """An interface of a bridge is there, or something of it is new; one for each interface of a bond.

    Attributes:
        name: the interface's, which is the port's too unless it is a bond.
        ofport: 1 to 65279, or 65534 for the bridge's own port; None: not yet, or failed.
        failed: ``ofport`` is -1: the switch could not make it; ``error`` says why.
        external_ids: the keys of ``IDENTITY_KEYS`` that are there, in printable text of bounded length.
        link_up: None while the host does not say.
        tag: the port's access VLAN.
        kind: Interface type: empty (system), ``internal``, ``patch``, ``geneve`` ...
        mac_in_use: the interface's own address on the host, not the virtual machine's.
    """

    host: HostName
    bridge: BridgeName
    name: str
    ofport: OfPort | None
    at: float = field(compare=False)
    failed: bool = False
    external_ids: Mapping[str, str] = field(default_factory=lambda: _NO_IDS, hash=False)
    link_up: bool | None = None
    tag: int | None = None
    kind: str = ""
    mac_in_use: MacAddress | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class PortGone:
    """An interface is no longer on that bridge."""

    host: HostName
    bridge: BridgeName
    name: str
    at: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class BridgeReady:
    """The bridge's record in the database is as was asked for; ``changed``: it was not before."""

    host: HostName
    bridge: BridgeName
    changed: bool
    at: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class BridgeSetupFailed:
    """The host's database refused what was asked for; it is tried again."""

    host: HostName
    bridge: BridgeName
    reason: str
    at: float = field(compare=False)


Observation = (
    HostSeen
    | HostLost
    | HostRefused
    | HostUnreachable
    | SnapshotComplete
    | BridgeSeen
    | BridgeGone
    | PortSeen
    | PortGone
    | BridgeReady
    | BridgeSetupFailed
)
