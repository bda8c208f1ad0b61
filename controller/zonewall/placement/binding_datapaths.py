"""Which bridge has which datapath id: one each, for as long as the bridge is there."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.model import BridgeKey
from zonewall.values.names import DatapathId

NAME_IT = (
    "it is known by its certificate alone: give one of them another, or say in the inventory whose it is "
    "(datapath-id:)"
)
"""What is said of a bridge that has another one's id."""


@dataclass(frozen=True, slots=True)
class Datapaths:
    """Datapath ids as hosts report them, both ways.

    Attributes:
        also: of bridges that have the id that another one had before: that id. They are known by a number of
            their own instead, so that no host can keep another one's bridge out by naming its id first.
    """

    bridges: FrozenMap[DatapathId, BridgeKey] = field(default_factory=FrozenMap)
    numbers: FrozenMap[BridgeKey, DatapathId] = field(default_factory=FrozenMap)
    also: FrozenMap[BridgeKey, DatapathId] = field(default_factory=FrozenMap)

    def taken(self, bridge: BridgeKey, number: DatapathId) -> Datapaths:
        """Return with the bridge having this id and no other, or one of its own where it is another's."""
        if number in (self.numbers.get(bridge), self.also.get(bridge)):
            return self
        rest = self.without(bridge)
        if number not in rest.bridges:
            return Datapaths(rest.bridges.put(number, bridge), rest.numbers.put(bridge, number), rest.also)
        own = _number_of_its_own(bridge, number)
        if own in rest.bridges:
            return rest
        bridges, numbers = rest.bridges.put(own, bridge), rest.numbers.put(bridge, own)
        return Datapaths(bridges, numbers, rest.also.put(bridge, number))

    def without(self, bridge: BridgeKey) -> Datapaths:
        """Return without a bridge that is gone."""
        number = self.numbers.get(bridge)
        if number is None:
            return self
        also = self.also.drop(bridge) if bridge in self.also else self.also
        return Datapaths(self.bridges.drop(number), self.numbers.drop(bridge), also)

    def claimants(self, number: DatapathId) -> Iterable[tuple[DatapathId, BridgeKey]]:
        """Yield the bridges that have this id, and by what number each is known; whose it was first."""
        if (owner := self.bridges.get(number)) is not None:
            yield number, owner
        yield from ((self.numbers[bridge], bridge) for bridge, said in self.also.items() if said == number)

    def among(self, bridges: Container[BridgeKey]) -> Datapaths:
        """Return without the bridges that are not among these."""
        kept = self
        for bridge in self.numbers:
            if bridge not in bridges:
                kept = kept.without(bridge)
        return kept

    def pairs(self) -> Iterable[tuple[DatapathId, BridgeKey]]:
        """Return every id with its bridge."""
        return self.bridges.items()


def _number_of_its_own(bridge: BridgeKey, number: DatapathId) -> DatapathId:
    """Return a number that no bridge has by chance, the same each time."""
    text = f"{number:016x} {bridge}".encode("utf-8", "surrogatepass")
    return DatapathId(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big"))
