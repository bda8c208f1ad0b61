"""What a tenant's endpoints on one bridge add up to; it follows one that comes or goes."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from zonewall.intent.fleet import DELIVERING, Fleet
from zonewall.intent.policy import EndpointFacts
from zonewall.placement.model import Binding, BridgeKey
from zonewall.values.names import TenantName

K = TypeVar("K")
Bound = tuple[EndpointFacts, Binding]


@dataclass(frozen=True, slots=True)
class Locals:
    """A tenant's endpoints at ports of a bridge, in any state.

    Attributes:
        identities: names of the identities they can have, and how many have each.
        versions: IP versions of their addresses, counted alike.
        ports: ports that receive traffic, sorted.
        servers: port of each DHCP server, and whether it receives traffic; sorted.
        routers: how many are routers.
        midstream: how many have come with connections that began elsewhere.
    """

    identities: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[int, int] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    servers: tuple[tuple[int, bool], ...] = ()
    routers: int = 0
    midstream: int = 0
    count: int = 0

    def change(self, gone: Iterable[Bound], come: Iterable[Bound]) -> Locals:
        """Return what the endpoints add up to after some went and some came."""
        identities, versions = dict(self.identities), dict(self.versions)
        ports, servers = list(self.ports), list(self.servers)
        routers, count, midstream = self.routers, self.count, self.midstream
        for step, each in ((-1, gone), (1, come)):
            for facts, binding in each:
                count += step
                _count(identities, facts.identities, step)
                _count(versions, facts.versions, step)
                routers += step * ("router" in facts.roles)
                delivers = binding.state in DELIVERING
                midstream += step * (delivers and binding.midstream)
                if delivers:
                    _in_or_out(ports, binding.ofport, step)
                if "dhcp-server" in facts.roles:
                    _in_or_out(servers, (int(binding.ofport), delivers), step)
        return Locals(identities, versions, tuple(ports), tuple(servers), routers, midstream, count)


NOBODY_HERE = Locals()


def known_otherwise(
    before: Fleet, after: Fleet, bridge: BridgeKey, tenant: TenantName
) -> tuple[list[Bound], list[Bound]] | None:
    """Return a tenant's endpoints on a bridge of which something else is known, as it was and as it is.

    None: some of them have come, gone or moved.
    """
    places = after.here.get(bridge, {}).get(tenant)
    if places is None or places is not before.here.get(bridge, {}).get(tenant):
        return None
    then, now = before.policy.endpoints, after.policy.endpoints
    if then is now:
        return [], []
    others = [one for one in places.values() if then[one.endpoint] is not now[one.endpoint]]
    return [(then[one.endpoint], one) for one in others], [(now[one.endpoint], one) for one in others]


def same_crowd(one: Locals | None, other: Locals | None) -> bool:
    """Say whether the endpoints of a tenant here are of the same identities and families, however many."""
    if one is None or other is None or one is other:
        return one is other
    return (
        one.identities.keys() == other.identities.keys()
        and one.versions.keys() == other.versions.keys()
        and bool(one.count) == bool(other.count)
    )


def _count(counts: dict[K, int], names: frozenset[K], step: int) -> None:
    for name in names:
        total = counts.get(name, 0) + step
        if total:
            counts[name] = total
        else:
            del counts[name]


def _in_or_out(values: list[int] | list[tuple[int, bool]], value: int | tuple[int, bool], step: int) -> None:
    sorted_values: list[object] = values  # type: ignore[assignment]
    if step > 0:
        insort(sorted_values, value)  # type: ignore[type-var]
    else:
        sorted_values.remove(value)
