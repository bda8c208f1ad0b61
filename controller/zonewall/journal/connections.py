"""Connections of logged rules: which are open, what each record says, and how many left none.

A bridge tells when a row that counts a connection is made and when it ends. That may be missed: while no
controller listens, or when there is more than it takes. So now and then all rows are looked at, and the
number of connections that the bridge has begun to count is compared with the number recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

APART_US = 500_000
"""What one look finds and the next, at least so much later, still does is no message that is under way."""

LATE_US = 5_000_000
"""A bridge is heard later than it speaks, by less: a row younger than its connection is another one."""

_LOOKS = 3
"""How many looks later a connection that was begun must have been recorded."""

RowKey = tuple[str, bytes]
"""A bridge, ``host/bridge``, and a row's match."""


class Ended(Enum):
    """How the end of a connection is known."""

    IDLE = "idle"  # no packet for a while, or its last ones said so
    REMOVED = "removed"  # somebody removed its row
    UNSEEN = "unseen"  # the row went while nobody listened; counted up to the last look


@dataclass(frozen=True, slots=True)
class Told:
    """What a row has counted, ``age_us`` after it was made and ``idle_us`` after its last packet."""

    packets: int
    bytes: int
    age_us: int
    idle_us: int = 0


@dataclass(frozen=True, slots=True)
class Beginning:
    """A connection to be recorded as begun; ``is_whole``: counted from its first packet on."""

    key: RowKey
    began_us: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """A connection to be recorded as ended.

    Attributes:
        until_us: when its last packet came, as far as is known.
    """

    key: RowKey
    began_us: int
    until_us: int
    packets: int
    bytes: int
    how: Ended


@dataclass(frozen=True, slots=True)
class Missed:
    """Connections of a bridge that left no record."""

    bridge: str
    count: int


Finding = Beginning | Ending | Missed


@dataclass(slots=True)
class Open:
    """A connection that has begun; what its row said at the last look, and when that was."""

    began_us: int
    packets: int = 0
    bytes: int = 0
    age_us: int = 0
    seen_us: int = 0


@dataclass(slots=True)
class Tally:
    """Of one bridge: connections that it began to count, that were recorded, that were given up as missed.

    Attributes:
        counts: the last look at each flow that makes rows: packets and age in seconds.
        looks: what ``begun`` was at the last looks, with the time.
    """

    begun: int = 0
    recorded: int = 0
    missed: int = 0
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    looks: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_LOOKS))


class Connections:
    """No input or output; times are microseconds since 1970, handed in."""

    def __init__(self, started_us: int) -> None:
        """Know nothing yet; ``started_us``: what began before that was not listened to."""
        self.open: dict[RowKey, Open] = {}
        self.tallies: dict[str, Tally] = {}
        self._started_us = started_us
        self._unknown: dict[str, dict[bytes, int]] = {}
        self._absent: dict[str, dict[bytes, int]] = {}

    def begun(self, key: RowKey, now_us: int, *, is_whole: bool) -> Iterable[Finding]:
        """Take that a row was made; ``is_whole``: with the connection's first packet."""
        if key in self.open:
            return
        self.open[key] = Open(now_us, seen_us=now_us)
        if is_whole:
            self.tally(key[0]).recorded += 1
        yield Beginning(key, now_us, is_whole)

    def ended(self, key: RowKey, told: Told, now_us: int, how: Ended, *, is_whole: bool) -> Iterable[Finding]:
        """Take that a row has ended; one that nobody told of is recorded as begun, too."""
        began_us = now_us - told.age_us
        yield from self._made_anew(key, told, now_us)
        if key not in self.open:
            yield from self.begun(key, began_us, is_whole=is_whole)
        known = self.open.pop(key)
        until_us = max(known.began_us, now_us - told.idle_us)
        yield Ending(key, known.began_us, until_us, told.packets, told.bytes, how)

    def _made_anew(self, key: RowKey, told: Told, now_us: int) -> Iterable[Finding]:
        """End what is open if its row went untold, and the same connection has made one again since."""
        one = self.open.get(key)
        if one is None:
            return
        is_less = told.packets < one.packets or told.bytes < one.bytes
        # The bridge's own clock says it best; of a row that no look has found there is ours alone.
        if is_less or told.age_us < (one.age_us or now_us - one.began_us - LATE_US):
            del self.open[key]
            yield Ending(key, one.began_us, one.seen_us, one.packets, one.bytes, Ended.UNSEEN)

    def looked(self, bridge: str, rows: Mapping[bytes, tuple[Told, bool]], now_us: int) -> Iterable[Finding]:
        """Take all rows of a bridge, each with whether it is whole; what two looks find counts."""
        unknown, absent = self._unknown.get(bridge, {}), self._absent.get(bridge, {})
        known = {match for owner, match in self.open if owner == bridge}
        self._unknown[bridge], self._absent[bridge] = {}, {}
        for match, (told, is_whole) in rows.items():
            if match in known:
                yield from self._made_anew((bridge, match), told, now_us)
                yield from self.begun((bridge, match), now_us - told.age_us, is_whole=is_whole)
                one = self.open[bridge, match]
                one.packets, one.bytes, one.age_us, one.seen_us = (
                    told.packets,
                    told.bytes,
                    told.age_us,
                    now_us,
                )
                continue
            since = unknown.get(match, now_us)
            if now_us - since < APART_US:
                self._unknown[bridge][match] = since
            else:
                yield from self.begun((bridge, match), now_us - told.age_us, is_whole=is_whole)
        for match in known - rows.keys():
            since = absent.get(match, now_us)
            if now_us - since < APART_US:
                self._absent[bridge][match] = since
                continue
            one = self.open.pop((bridge, match))
            yield Ending((bridge, match), one.began_us, one.seen_us, one.packets, one.bytes, Ended.UNSEEN)

    def counted(self, bridge: str, counts: Mapping[str, tuple[int, int]], now_us: int) -> Iterable[Finding]:
        """Take how many packets have made a row of a bridge, by flow, with the flows' ages in seconds."""
        tally = self.tally(bridge)
        is_first = not tally.counts and not tally.begun
        before, tally.counts = tally.counts, dict(counts)
        for flow, (packets, age_s) in counts.items():
            last, last_age_s = before.get(flow, (0, 0))
            began_anew = age_s < last_age_s or packets < last
            if is_first and age_s * 1_000_000 > now_us - self._started_us:
                last = packets  # begun before anybody listened
            tally.begun += packets if began_anew else packets - last
        if before.keys() - counts.keys():
            # What such a flow had counted since the last look went with it.
            tally.begun = max(tally.begun, tally.recorded + tally.missed)
        if tally.looks and now_us - tally.looks[-1][0] < APART_US:
            return
        if len(tally.looks) == _LOOKS:
            missed = tally.looks[0][1] - tally.recorded - tally.missed
            if missed > 0:
                tally.missed += missed
                yield Missed(bridge, missed)
        tally.looks.append((now_us, tally.begun))

    def tally(self, bridge: str) -> Tally:
        """Return a bridge's own."""
        return self.tallies.setdefault(bridge, Tally())

    def to_plain(self) -> dict[str, Any]:
        """Return what is kept over a restart beside the records themselves."""
        return {
            name: [one.begun, one.recorded, one.missed, {flow: [*at] for flow, at in one.counts.items()}]
            for name, one in self.tallies.items()
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Take up what was kept.

        Raises:
            ValueError, KeyError, TypeError: it is not what was kept.
        """
        for name, (begun, recorded, missed, counts) in document.items():
            looks = {str(flow): (int(packets), int(age_s)) for flow, (packets, age_s) in counts.items()}
            self.tallies[str(name)] = Tally(int(begun), int(recorded), int(missed), looks)
