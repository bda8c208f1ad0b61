"""The meters of a bridge's pieces, and how many pieces have each: two ports may share one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from zonewall.flows.layers import Block
from zonewall.pipeline.model import MeterEntry


@dataclass(frozen=True, slots=True)
class MeterUses:
    """Meters by number, and how many blocks have each."""

    meters: Mapping[int, MeterEntry] = field(default_factory=dict)
    uses: Mapping[int, int] = field(default_factory=dict)

    def follow(self, gone: Iterable[Block], come: Iterable[Block]) -> MeterUses:
        """Return the meters after some blocks went and came; this very one where they have none."""
        away = [meter for block in gone for meter in block.meters]
        here = [meter for block in come for meter in block.meters]
        if not away and not here:
            return self
        meters, uses = dict(self.meters), dict(self.uses)
        for meter in away:
            uses[meter.number] -= 1
        for meter in here:
            uses[meter.number] = uses.get(meter.number, 0) + 1
            meters[meter.number] = meter
        for meter in away:
            if not uses.get(meter.number, 1):
                del uses[meter.number], meters[meter.number]
        return MeterUses(meters, uses)
