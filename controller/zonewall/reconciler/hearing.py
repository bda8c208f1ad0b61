"""Who has told what there is, so that nothing on a bridge is taken for gone before it can be known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zonewall.placement.model import BridgeKey
from zonewall.policy.model import Configuration
from zonewall.reconciler.links import EVERY_S
from zonewall.values.names import HostName

UNTOLD_S = 10.0
"""A host whose database never connects is taken as its bridges show it after this time."""
UNREMEMBERED_S = 30.0
"""The same where nothing is remembered: what would be taken for gone is more."""
LINKS_S = EVERY_S + 1.0
"""So long after the last bridge has connected the links between them are found, from both of their ends."""


class Hearing:
    """Confined to the reconciler.

    Where a controller knows from before where everything is, a bridge may be changed as soon as its own host
    has told its ports. Where it does not, the flows of a bridge that lead to other hosts stay as they are
    until those have told theirs, and the links between them are found; and each endpoint that has one port is
    where that is, without being put into force there first: the bridge has its flows from before.
    """

    def __init__(self, at: float, has_head_start: bool) -> None:
        """Begin at the clock ``at``, in seconds.

        Without numbers that were given before, everything is new: that is a head start, too.
        """
        self.has_head_start = has_head_start
        self._told: set[HostName] = set()
        self._late_at = at + (UNTOLD_S if has_head_start else UNREMEMBERED_S)
        self._links_at: float | None = None
        self._is_complete = has_head_start
        self._is_late = False
        self._declared: frozenset[BridgeKey] | None = None
        self._awaited: dict[BridgeKey, float] = {}
        """Bridges that the inventory has named since the start, and until when they wait for their host."""
        self._resuming: set[BridgeKey] = set()
        """Of those, which have not been in force since: they may have their flows from before."""

    def declared(self, bridges: Iterable[BridgeKey], at: float, others: Iterable[BridgeKey] = ()) -> None:
        """Note the inventory's bridges; one that is new there may be at work already, and is heard first.

        ``others``: those that are of another machine by now, as good as new.
        """
        before, self._declared = self._declared, frozenset(bridges)
        come = self._declared - (self._declared if before is None else before) | self._declared & {*others}
        self._resuming = (self._resuming | come) & self._declared
        self._awaited |= dict.fromkeys(come, at + UNTOLD_S)
        self._awaited = {key: until for key, until in self._awaited.items() if key in self._declared}
        self._told &= {key.host for key in self._declared}

    def is_resuming(self, key: BridgeKey) -> bool:
        """Say whether a bridge was named since the start, and has not been in force since."""
        return key in self._resuming

    def in_force(self, key: BridgeKey) -> None:
        """Note that a bridge has what is wanted of it."""
        self._resuming.discard(key)

    def overdue(self, at: float) -> set[HostName]:
        """Return the hosts of bridges that have waited long enough."""
        return {key.host for key, until in self._awaited.items() if at >= until}

    def take(self, host: HostName) -> bool:
        """Note that a host has told all its ports; say whether that is news."""
        still = {key: until for key, until in self._awaited.items() if key.host != host}
        is_news = host not in self._told or len(still) < len(self._awaited)
        self._told.add(host)
        self._awaited = still
        return is_news

    def is_known(self, key: BridgeKey) -> bool:
        """Say whether a bridge may be changed."""
        if key in self._awaited:
            return False
        return self._is_late or (self._is_complete and key.host in self._told)

    def time_passes(self, at: float, connected: Mapping[BridgeKey, bool]) -> bool:
        """Let time pass; say whether bridges may be changed now that could not be before.

        Args:
            at: the clock, in seconds.
            connected: every bridge that is declared, and whether it is connected.
        """
        are_told = self._told.issuperset(key.host for key in connected)
        if self._links_at is None and are_told and all(connected.values()):
            self._links_at = at + LINKS_S
        before = self._is_complete, self._is_late
        self._is_late |= at >= self._late_at
        self._is_complete |= self._is_late or (self._links_at is not None and at >= self._links_at)
        return (self._is_complete, self._is_late) != before


def bridges_of_others(before: Configuration, after: Configuration) -> frozenset[BridgeKey]:
    """Return the bridges of hosts whose names other machines have: their system-id is another one."""
    known = before.inventory.hosts
    return frozenset(
        BridgeKey(name, bridge)
        for name, host in after.inventory.hosts.items()
        if name in known and known[name] is not host and known[name].system_id != host.system_id
        for bridge in host.bridges
    )


def are_hosts_alike(before: Configuration, after: Configuration) -> bool:
    """Say whether hosts, and where bridges export to, are said to be the same by both."""
    one, other = before.inventory, after.inventory
    return one.hosts is other.hosts and one.export is other.export
