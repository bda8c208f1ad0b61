"""The meters of a bridge's pieces, and how many pieces have each: two ports may share one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from zonewall.flows.layers import Block
from zonewall.pipeline.meters import strictest
from zonewall.pipeline.model import MeterEntry


@dataclass(frozen=True, slots=True)
class MeterUses:
    """Meters by number, and what the blocks that have each say of it: the strictest holds."""

    meters: Mapping[int, MeterEntry] = field(default_factory=dict)
    said: Mapping[int, tuple[MeterEntry, ...]] = field(default_factory=dict)

    def follow(self, gone: Iterable[Block], come: Iterable[Block]) -> MeterUses:
        """Return the meters after some blocks went and came; this very one where they have none."""
        away = [meter for block in gone for meter in block.meters]
        here = [meter for block in come for meter in block.meters]
        if not away and not here:
            return self
        meters, said = dict(self.meters), dict(self.said)
        for meter in here:
            said[meter.number] = (*said.get(meter.number, ()), meter)
        for meter in away:
            others = list(said[meter.number])
            others.remove(meter)
            said[meter.number] = tuple(others)
        for number in {meter.number for meter in (*away, *here)}:
            if said[number]:
                meters[number] = strictest(said[number])
            else:
                del said[number]
                meters.pop(number, None)
        return MeterUses(meters, said)
