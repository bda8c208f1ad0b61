"""Which fabric ports are joined: signed LLDP frames (IEEE 802.1AB) and the table of what was heard.

A frame proves that the controller sent it lately from that port; a VM has no key, and what it replays is
old. What relays frames unchanged (a hub, a wire that crosses a building) cannot be told from a wire.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.model import BridgeKey, Link
from zonewall.values.names import DatapathId, OfPort

End = tuple[BridgeKey, OfPort]

LLDP_ETHERTYPE = 0x88CC
DEFAULT_TTL_S = 15
_DESTINATION = bytes.fromhex("0180c200000e")
_SOURCE_PREFIX = b"\x02\x5a"
_OUI = bytes.fromhex("025a57")
_SUBTYPE_LINK = 1
_LOCALLY_ASSIGNED = 7
_END, _CHASSIS, _PORT, _TTL, _ORGANISATION = 0, 1, 2, 3, 127
_ORDER = (_CHASSIS, _PORT, _TTL, _ORGANISATION, _END)
_DIGEST_BYTES = 16
_CONTEXT = b"zonewall link discovery 1"
_SIGNED = struct.Struct("!QIQH")
_LONGEST_FRAME = 128
_MS_PER_S = 1000


@dataclass(frozen=True, slots=True)
class LinkClaim:
    """What a frame with a right digest says of the port that it left by.

    Attributes:
        counter: milliseconds of the sender's clock.
    """

    datapath_id: DatapathId
    ofport: OfPort
    counter: int
    ttl_s: int


def build_discovery_frame(claim: LinkClaim, key: bytes) -> bytes:
    """Return the LLDP frame, padded to 60 bytes or more, that says ``claim``.

    Raises:
        ValueError: the key is shorter than 16 bytes, or a number of the claim does not fit.
    """
    if len(key) < _DIGEST_BYTES:
        raise ValueError(f"the key for link discovery has {len(key)} bytes; give it {_DIGEST_BYTES} or more")
    try:
        signature = _OUI + bytes([_SUBTYPE_LINK]) + struct.pack("!Q", claim.counter) + _digest(claim, key)
    except struct.error as error:
        raise ValueError(f"{claim} does not fit a discovery frame: {error}") from error
    identifier = bytes([_LOCALLY_ASSIGNED])
    body = (
        _tlv(_CHASSIS, identifier + b"%016x" % claim.datapath_id)
        + _tlv(_PORT, identifier + b"%d" % claim.ofport)
        + _tlv(_TTL, struct.pack("!H", claim.ttl_s))
        + _tlv(_ORGANISATION, signature)
        + _tlv(_END, b"")
    )
    source = _SOURCE_PREFIX + struct.pack("!Q", claim.datapath_id)[-4:]
    return (_DESTINATION + source + LLDP_ETHERTYPE.to_bytes(2, "big") + body).ljust(60, b"\0")


def parse_discovery_frame(frame: bytes, key: bytes) -> LinkClaim | None:
    """Return what a frame claims; None for what ``build_discovery_frame`` did not make with this key."""
    if not 14 <= len(frame) <= _LONGEST_FRAME or frame[:6] != _DESTINATION:
        return None
    if int.from_bytes(frame[12:14], "big") != LLDP_ETHERTYPE:
        return None
    parts = tuple(_tlvs(frame[14:]))
    if tuple(kind for kind, _ in parts) != _ORDER:
        return None
    claim = _read_claim(*(value for _, value in parts[:4]))
    if claim is None or not hmac.compare_digest(parts[3][1][-_DIGEST_BYTES:], _digest(claim, key)):
        return None
    return claim


@dataclass(frozen=True, slots=True)
class LinkChange:
    """Links that became live, and links that are no longer; falsy when nothing changed."""

    appeared: frozenset[Link] = frozenset()
    gone: frozenset[Link] = frozenset()

    def __bool__(self) -> bool:
        """Say whether there is any."""
        return bool(self.appeared or self.gone)


@dataclass(frozen=True, slots=True)
class LinkTable:
    """What each fabric port heard last. A link is live while both of its ends remember each other.

    Both, because a wire that is broken one way swallows traffic; the price is one more frame's time. A
    port has one neighbour: whom it heard last.

    Attributes:
        window_s: how far a frame's counter may be from the time it came in.
        neighbours: by the end that heard: the end that was heard, and until when that holds.
        counters: the last counter of each end that was heard.
    """

    window_s: float = 5.0
    neighbours: FrozenMap[End, tuple[End, float]] = field(default_factory=FrozenMap)
    counters: FrozenMap[End, int] = field(default_factory=FrozenMap)
    links: frozenset[Link] = frozenset()

    def seen(self, sender: End, receiver: End, claim: LinkClaim, at: float) -> tuple[LinkTable, LinkChange]:
        """Take a frame of ``sender`` that came in at ``receiver``; a replay or a port's own frame is ignored.

        Args:
            at: the receiving clock in seconds, the same whose milliseconds the sender counts.
        """
        late = abs(at * _MS_PER_S - claim.counter) > self.window_s * _MS_PER_S
        if sender == receiver or late or claim.counter <= self.counters.get(sender, -1):
            return self, LinkChange()
        table = replace(
            self,
            neighbours=self.neighbours.put(receiver, (sender, at + claim.ttl_s)),
            counters=self.counters.put(sender, claim.counter),
        )
        return table._with_links_of({receiver, sender})

    def expire(
        self, at: float, is_proven: Callable[[End, End, float], bool] = lambda *_: True
    ) -> tuple[LinkTable, LinkChange]:
        """Forget what was heard too long ago, if silence proves anything.

        Args:
            at: the clock.
            is_proven: says of the end that heard, the end that was heard and until when that held whether
                frames really left since, and would have been told of.
        """
        old = [
            end
            for end, (other, until) in self.neighbours.items()
            if until <= at and is_proven(end, other, until)
        ]
        return self._without(old)

    def lost(self, end: End) -> tuple[LinkTable, LinkChange]:
        """Forget what a port heard that has gone down."""
        return self._without([end] if end in self.neighbours else [])

    def _without(self, ends: list[End]) -> tuple[LinkTable, LinkChange]:
        neighbours = self.neighbours
        for end in ends:
            neighbours = neighbours.drop(end)
        if not ends:
            return self, LinkChange()
        return replace(self, neighbours=neighbours)._with_links_of(set(ends))

    def _with_links_of(self, ends: set[End]) -> tuple[LinkTable, LinkChange]:
        """Return the table with the links at these ends found again."""
        before = frozenset(link for link in self.links if link.a in ends or link.b in ends)
        after = frozenset(link for end in ends if (link := self._link_at(end)) is not None)
        if before == after:
            return self, LinkChange()
        return replace(self, links=self.links - before | after), LinkChange(after - before, before - after)

    def _link_at(self, end: End) -> Link | None:
        """Return the live link at an end."""
        other, _ = self.neighbours.get(end, (end, 0.0))
        heard, _ = self.neighbours.get(other, (other, 0.0))
        if heard != end or other == end:
            return None
        return Link(min(end, other), max(end, other))


def _digest(claim: LinkClaim, key: bytes) -> bytes:
    signed = _SIGNED.pack(claim.datapath_id, claim.ofport, claim.counter, claim.ttl_s)
    return hmac.new(key, _CONTEXT + signed, hashlib.sha256).digest()[:_DIGEST_BYTES]


def _tlv(kind: int, value: bytes) -> bytes:
    """Return type (7 bits), length (9 bits) and value (IEEE 802.1AB, 8.4)."""
    return (kind << 9 | len(value)).to_bytes(2, "big") + value


def _tlvs(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each TLV up to the end's, and nothing after the first that is cut short."""
    while len(data) >= 2:
        kind, length = data[0] >> 1, int.from_bytes(data[:2], "big") & 0x1FF
        if len(data) < 2 + length:
            return
        yield kind, data[2 : 2 + length]
        if kind == _END:
            return
        data = data[2 + length :]


def _read_claim(chassis: bytes, port: bytes, ttl: bytes, organisation: bytes) -> LinkClaim | None:
    """Return the values if each has exactly the form that ``build_discovery_frame`` gives it."""
    head = _OUI + bytes([_SUBTYPE_LINK])
    if len(chassis) != 17 or not 2 <= len(port) <= 11 or len(ttl) != 2:
        return None
    if chassis[0] != _LOCALLY_ASSIGNED or port[0] != _LOCALLY_ASSIGNED:
        return None
    if len(organisation) != len(head) + 8 + _DIGEST_BYTES or not organisation.startswith(head):
        return None
    if not all(byte in b"0123456789abcdef" for byte in chassis[1:]) or not port[1:].isdigit():
        return None
    ofport = int(port[1:])
    if b"%d" % ofport != port[1:] or ofport > 0xFFFFFFFF:
        return None
    counter = int.from_bytes(organisation[len(head) : len(head) + 8], "big")
    return LinkClaim(DatapathId(int(chassis[1:], 16)), OfPort(ofport), counter, int.from_bytes(ttl, "big"))
