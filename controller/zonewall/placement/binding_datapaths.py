"""Which bridge has which datapath id: one each, for as long as the bridge is there."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from zonewall.placement.binding_map import FrozenMap
from zonewall.placement.model import BridgeKey
from zonewall.values.names import DatapathId


@dataclass(frozen=True, slots=True)
class Datapaths:
    """Datapath ids as hosts report them, both ways."""

    bridges: FrozenMap[DatapathId, BridgeKey] = field(default_factory=FrozenMap)
    numbers: FrozenMap[BridgeKey, DatapathId] = field(default_factory=FrozenMap)

    def taken(self, bridge: BridgeKey, number: DatapathId) -> Datapaths:
        """Return with the bridge having this id and no other; whose it was has none any more."""
        if self.numbers.get(bridge) == number:
            return self
        rest = self.without(bridge)
        return Datapaths(rest.bridges.put(number, bridge), rest.numbers.put(bridge, number))

    def without(self, bridge: BridgeKey) -> Datapaths:
        """Return without a bridge that is gone."""
        number = self.numbers.get(bridge)
        if number is None:
            return self
        return Datapaths(self.bridges.drop(number), self.numbers.drop(bridge))

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
