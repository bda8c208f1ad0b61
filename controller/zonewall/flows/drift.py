"""What somebody else changed on a bridge: what it holds against what it confirmed."""

from __future__ import annotations

from dataclasses import dataclass

from zonewall.flows.diff import FlowTable, diff
from zonewall.flows.encoded import BridgeState, EncodedFlow, FlowKey
from zonewall.flows.generation import is_out_of_force


@dataclass(frozen=True, slots=True)
class Drift:
    """What differs from what was confirmed; falsy when nothing does.

    Attributes:
        missing: flows that are gone.
        changed: flows that do something else, as they should be.
        unknown: flows with our cookie that nobody asked for; remains of a staged change do not count.
        meters: numbers of meters that are gone, changed or unknown.
    """

    missing: tuple[EncodedFlow, ...] = ()
    changed: tuple[EncodedFlow, ...] = ()
    unknown: tuple[EncodedFlow, ...] = ()
    meters: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """Return how many things differ."""
        return len(self.missing) + len(self.changed) + len(self.unknown) + len(self.meters)

    def __bool__(self) -> bool:
        """Say whether anything differs."""
        return self.count > 0

    @property
    def flows(self) -> tuple[EncodedFlow, ...]:
        """Return all flows concerned."""
        return (*self.missing, *self.changed, *self.unknown)


def find_drift(found: BridgeState, confirmed: BridgeState, asked: BridgeState | None = None) -> Drift:
    """Return what differs from what was confirmed.

    Args:
        found: what the bridge holds of ours.
        confirmed: what it last confirmed.
        asked: what it was asked for since and may have done before the session ended.
    """
    maybe: FlowTable = asked.flows if asked is not None else {}
    delta = diff(found.flows, confirmed.flows)
    missing, changed = [], []
    for flow in delta.put:
        held = found.flows.get(flow.key)
        if _was_asked(flow.key, held, maybe, asked is not None):
            continue
        if held is not None:
            changed.append(flow)
        elif not flow.hard_timeout_s:  # one that ends by itself has ended
            missing.append(flow)
    unknown = [
        found.flows[key]
        for key in delta.delete
        if not is_out_of_force(key.match)
        and (asked is None or not _was_asked(key, found.flows[key], maybe, True))
    ]
    meters = _meters(found, confirmed, asked)
    return Drift(tuple(missing), tuple(changed), tuple(unknown), meters)


def _was_asked(key: FlowKey, held: EncodedFlow | None, maybe: FlowTable, is_asked: bool) -> bool:
    """Say whether a flow is as it was asked for last."""
    wanted = maybe.get(key)
    if held is None or wanted is None:
        return is_asked and held is wanted
    return held._replace(hard_timeout_s=0) == wanted._replace(hard_timeout_s=0)


def _meters(found: BridgeState, confirmed: BridgeState, asked: BridgeState | None) -> tuple[int, ...]:
    numbers = found.meters.keys() | confirmed.meters.keys()
    return tuple(
        number
        for number in sorted(numbers)
        if found.meters.get(number) != confirmed.meters.get(number)
        and (asked is None or found.meters.get(number) != asked.meters.get(number))
    )
