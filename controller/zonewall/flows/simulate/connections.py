"""Connection tracking as Open vSwitch's user-space datapath does it.

From ovs-fields(7), "Connection Tracking Fields", and from what the switch was seen to do. Simplified on
purpose: every TCP segment counts as inside its window, nothing times out, no address translation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from zonewall.flows.simulate.packet import Packet
from zonewall.flows.simulate.slots import ICMP, ICMPV6, IPV4, IPV6, SLOT, TCP, UDP

NEW: Final = 0x01
ESTABLISHED: Final = 0x02
RELATED: Final = 0x04
REPLY: Final = 0x08
INVALID: Final = 0x10
TRACKED: Final = 0x20

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20

_ANSWER: Final = {
    ICMP: {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15},
    ICMPV6: {128: 129, 129: 128},
}
_BEGINS: Final = {ICMP: frozenset({8, 13, 15}), ICMPV6: frozenset({128})}
_ERRORS: Final = {ICMP: frozenset({3, 4, 5, 11, 12}), ICMPV6: frozenset({1, 2, 3, 4})}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a connection; ``port`` is (ICMP type, code) packed as type << 8 | code, with ``icmp_id``."""

    address: int
    port: int
    icmp_id: int = 0


@dataclass(frozen=True, slots=True)
class Tuple:
    """What tells connections apart, in the direction of the packet (or of the first packet)."""

    zone: int
    family: int
    protocol: int
    src: Endpoint
    dst: Endpoint

    @property
    def reversed(self) -> Tuple:
        """Return the tuple that answers carry."""
        return replace(self, src=self.dst, dst=self.src)


class Peer(IntEnum):
    """How far one end of a TCP connection is; only the steps that change what tracking says."""

    CLOSED = 0
    SYN_SENT = 2
    ESTABLISHED = 4
    CLOSING = 7
    FIN_WAIT_2 = 9
    TIME_WAIT = 10


@dataclass(frozen=True, slots=True)
class Connection:
    """One remembered connection.

    Attributes:
        original: tuple in the direction of the packet that was committed first.
        answered: a packet in the other direction was seen (all protocols but TCP).
        peers: TCP only: the end that began, and the other.
    """

    original: Tuple
    mark: int = 0
    label: int = 0
    answered: bool = False
    peers: tuple[Peer, Peer] = (Peer.CLOSED, Peer.CLOSED)


@dataclass(frozen=True, slots=True)
class ConnTrack:
    """The connection table, by original tuple; it never changes, a new one is made."""

    entries: Mapping[Tuple, Connection] = field(default_factory=lambda: MappingProxyType({}))

    def find(self, key: Tuple) -> tuple[Connection, bool] | None:
        """Return the connection of a packet and whether the packet is in its reply direction."""
        return _find(self.entries, key)


def _find(entries: Mapping[Tuple, Connection], key: Tuple) -> tuple[Connection, bool] | None:
    known = entries.get(key)
    if known is not None:
        return known, False
    known = entries.get(key.reversed)
    return None if known is None else (known, True)


def _addresses(packet: Packet, family: int) -> tuple[int, int]:
    names = ("nw_src", "nw_dst") if family == IPV4 else ("ipv6_src", "ipv6_dst")
    return packet.values[SLOT[names[0]]], packet.values[SLOT[names[1]]]


def tuple_of(packet: Packet, zone: int) -> tuple[Tuple, bool] | None:
    """Return the packet's tuple in a zone, and whether it is that of the connection an ICMP error is about.

    None is a packet that tracking takes for invalid: no IP, port 0, an ICMP type that belongs to no
    connection, an ICMP error whose quoted packet does not fit it.
    """
    family = packet.values[SLOT["eth_type"]]
    if family not in (IPV4, IPV6):
        return None
    protocol = packet.values[SLOT["nw_proto"]]
    if protocol in (ICMP, ICMPV6):
        if (protocol == ICMP) != (family == IPV4):
            return None
        return _icmp_tuple(packet, zone, family, protocol)
    src, dst = _addresses(packet, family)
    sport = dport = 0
    if protocol in (TCP, UDP):
        # Open vSwitch 3.1 in user space does not read SCTP's ports: all SCTP between two addresses is one.
        sport, dport = _ports(packet)
        if not (sport and dport):
            return None
    return Tuple(zone, family, protocol, Endpoint(src, sport), Endpoint(dst, dport)), False


def _ports(packet: Packet) -> tuple[int, int]:
    return packet.values[SLOT["tp_src"]], packet.values[SLOT["tp_dst"]]


def _icmp_tuple(packet: Packet, zone: int, family: int, protocol: int) -> tuple[Tuple, bool] | None:
    kind, code = _ports(packet)
    src, dst = _addresses(packet, family)
    if kind in _ANSWER[protocol]:
        first = Endpoint(src, kind << 8 | code, packet.icmp_id)
        second = Endpoint(dst, _ANSWER[protocol][kind] << 8 | code, packet.icmp_id)
        return Tuple(zone, family, protocol, first, second), False
    if kind not in _ERRORS[protocol] or packet.quoted is None:
        return None
    inner = tuple_of(packet.quoted, zone)
    if inner is None or inner[1] or inner[0].family != family or inner[0].src.address != dst:
        return None
    return inner[0].reversed, True


@dataclass(frozen=True, slots=True)
class Tracking:
    """What the datapath keeps beside a packet once it was tracked.

    Attributes:
        state: bits of ct_state; 0 is untracked.
        original: tuple that the ct_nw_* and ct_tp_* fields show.
        known: original tuple of the connection the packet belongs to; None if there is none.
        ends: addresses and ports the packet had then; with others it is looked up anew.
    """

    state: int = 0
    zone: int = 0
    mark: int = 0
    label: int = 0
    original: Tuple | None = None
    known: Tuple | None = None
    ends: tuple[int, ...] = ()


_ENDS: Final = tuple(SLOT[name] for name in ("nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "tp_src", "tp_dst"))


@dataclass(frozen=True, slots=True)
class Writes:
    """Bits that a commit sets: (value, mask) of mark and of label."""

    mark: tuple[int, int] = (0, 0)
    label: tuple[int, int] = (0, 0)


class Tracker:
    """Works on one packet's behalf on a copy of a connection table, which it makes only when it must."""

    def __init__(self, connections: ConnTrack) -> None:
        """Start from a table, which stays as it is."""
        self._start = connections
        self._changed: dict[Tuple, Connection] | None = None

    @property
    def result(self) -> ConnTrack:
        """Return the table as it is now."""
        return self._start if self._changed is None else ConnTrack(MappingProxyType(self._changed))

    def _put(self, connection: Connection) -> None:
        if self._changed is None:
            self._changed = dict(self._start.entries)
        self._changed[connection.original] = connection

    def _drop(self, key: Tuple) -> None:
        if self._changed is None:
            self._changed = dict(self._start.entries)
        self._changed.pop(key, None)

    def _entries(self) -> Mapping[Tuple, Connection]:
        return self._start.entries if self._changed is None else self._changed

    def track(self, packet: Packet, zone: int, commit: Writes | None, before: Tracking) -> Tracking:
        """Pass a packet through tracking.

        Args:
            packet: as it looks now.
            zone: where.
            commit: what to remember; None does not commit.
            before: what an earlier pass of the same packet found.
        """
        ends = tuple([packet.values[slot] for slot in _ENDS])
        entries = self._entries()
        if before.known in entries and before.zone == zone and before.ends == ends:
            state, known, original = before.state, before.known, before.known
        else:
            state, known, original = self._look_up(packet, zone, commit is not None)
            if known is not None and before.zone == zone and not state & INVALID:
                # A packet whose addresses were changed in between keeps what it was found to be, too.
                state |= before.state & (ESTABLISHED | RELATED | REPLY)
        if known is None:
            return Tracking(state | TRACKED, zone, 0, 0, original, None, ends)
        connection = self._entries()[known]
        if commit is not None:
            mark, mark_mask = commit.mark
            label, label_mask = commit.label
            connection = replace(
                connection,
                mark=connection.mark & ~mark_mask | mark,
                label=connection.label & ~label_mask | label,
            )
            self._put(connection)
        return Tracking(state | TRACKED, zone, connection.mark, connection.label, known, known, ends)

    def _look_up(self, packet: Packet, zone: int, commit: bool) -> tuple[int, Tuple | None, Tuple | None]:
        """Return state bits, the connection's tuple if there is one, and the tuple to show."""
        found = tuple_of(packet, zone)
        if found is None:
            return INVALID, None, None
        key, is_error = found
        match = _find(self._entries(), key)
        if is_error:
            if match is None:
                return INVALID, None, key
            return RELATED | (REPLY if match[1] else 0), match[0].original, match[0].original
        if match is not None:
            connection, is_reply = match
            after, state = _advance(connection, is_reply, packet.values[SLOT["tcp_flags"]])
            if after is not None:
                if after is not connection:
                    self._put(after)
                return state, connection.original, connection.original
            self._drop(connection.original)
        if not _may_begin(key, packet.values[SLOT["tcp_flags"]]):
            return INVALID, None, key
        if commit:
            self._put(Connection(key, peers=(Peer.SYN_SENT, Peer.CLOSED)))
            return NEW, key, key
        return NEW, None, key


def _may_begin(key: Tuple, flags: int) -> bool:
    if key.protocol == TCP:
        return not _are_nonsense(flags) and flags & (SYN | ACK) != SYN | ACK
    begins = _BEGINS.get(key.protocol)
    return begins is None or key.src.port >> 8 in begins


def _are_nonsense(flags: int) -> bool:
    """Say whether no TCP sends such flags."""
    if flags & SYN:
        if flags & (RST | FIN):
            return True
    elif not flags & (ACK | RST):
        return True
    return not flags & ACK and bool(flags & (FIN | PSH | URG))


def _advance(connection: Connection, is_reply: bool, flags: int) -> tuple[Connection | None, int]:
    """Return the connection after one more packet, and the packet's state bits.

    No connection: this packet begins another one of the same tuple.
    """
    reply = REPLY if is_reply else 0
    if connection.original.protocol == TCP:
        return _advance_tcp(connection, is_reply, flags)
    if is_reply:
        return connection if connection.answered else replace(connection, answered=True), ESTABLISHED | reply
    return connection, ESTABLISHED if connection.answered else NEW


def _advance_tcp(connection: Connection, is_reply: bool, flags: int) -> tuple[Connection | None, int]:
    src, dst = connection.peers[::-1] if is_reply else connection.peers
    if _are_nonsense(flags):
        return connection, INVALID
    if flags & (SYN | ACK) == SYN:
        if src >= Peer.FIN_WAIT_2 and dst >= Peer.FIN_WAIT_2:
            return None, 0
        if src <= Peer.SYN_SENT:
            return _with_peers(connection, is_reply, Peer.SYN_SENT, dst), NEW
    src = max(src, Peer.SYN_SENT)
    if flags & FIN and src < Peer.CLOSING:
        src = Peer.CLOSING
    if flags & ACK:
        dst = {Peer.SYN_SENT: Peer.ESTABLISHED, Peer.CLOSING: Peer.FIN_WAIT_2}.get(dst, dst)
    if flags & RST:
        src = dst = Peer.TIME_WAIT
    state = ESTABLISHED | (REPLY if is_reply else 0)
    return _with_peers(connection, is_reply, src, dst), state


def _with_peers(connection: Connection, is_reply: bool, src: Peer, dst: Peer) -> Connection:
    peers = (dst, src) if is_reply else (src, dst)
    return connection if peers == connection.peers else replace(connection, peers=peers)
