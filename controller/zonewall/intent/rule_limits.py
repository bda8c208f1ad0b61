"""Meters of rules' limits on a bridge: a rule's own, or one for each endpoint that begins connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zonewall.intent.banks import Crowd, Line
from zonewall.intent.crowds import is_outside_name
from zonewall.intent.fleet import Fleet
from zonewall.intent.model import LimitIntent
from zonewall.placement.model import BridgeKey
from zonewall.values.limits import Limit
from zonewall.values.names import TenantName

FIRST_PORT_METER, ROOM = 40961, 24_574
"""Numbers of endpoints' own meters, and how many there are; below are those of rules (``Kind.LIMIT``)."""


class PortMeters:
    """Gives endpoints on one bridge meters of their own, those of each tenant as many as those of another."""

    def __init__(self, fleet: Fleet, key: BridgeKey) -> None:
        """Begin with none given."""
        self._fleet = fleet
        self._here = fleet.here.get(key, {})
        self._share = ROOM // (len(self._here) or 1)
        self._given: dict[TenantName, int] = {}
        self._taken: set[int] = set()

    def of(self, limit: Limit, meter: int, lines: Iterable[tuple[TenantName, Line]]) -> Iterator[LimitIntent]:
        """Yield where a rule's limit is counted; beyond the share, a tenant's endpoints by the rule's meter.

        ``lines``: by which the rule allows here, each with the tenant whose endpoints begin connections then.
        """
        ports = self._ports(lines)
        for tenant in sorted(set(ports.values())):
            mine = sorted(port for port, owner in ports.items() if owner == tenant)
            has_room = self._given.get(tenant, 0) + len(mine) <= self._share
            if has_room:
                self._given[tenant] = self._given.get(tenant, 0) + len(mine)
            for port in mine:
                yield LimitIntent(limit, self._number(meter, port) if has_room else meter, port)

    def _ports(self, lines: Iterable[tuple[TenantName, Line]]) -> dict[int, TenantName]:
        facts = self._fleet.policy.endpoints
        return {
            int(binding.ofport): tenant
            for tenant, line in lines
            for binding in self._here.get(tenant, {}).values()
            if touches(line.sources, facts[binding.endpoint].identities)
        }

    def _number(self, meter: int, port: int) -> int:
        """Return the number of a port's meter for a rule's limit: the same each time, unless it is taken."""
        number = (meter * 509 + port) % ROOM
        while number in self._taken:
            number = (number + 1) % ROOM
        self._taken.add(number)
        return FIRST_PORT_METER + number


def touches(crowd_: Crowd, here: frozenset[str]) -> bool:
    """Say whether one of the identities by these names is of a crowd."""
    if crowd_.everybody:
        return bool(here)
    if not crowd_.identities.isdisjoint(here):
        return True
    if not (crowd_.inside or crowd_.outside):
        return False
    return any((crowd_.outside if is_outside_name(name) else crowd_.inside) for name in here)
