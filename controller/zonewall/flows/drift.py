"""What somebody else changed on a bridge: what it holds against what it confirmed."""

from __future__ import annotations

from collections.abc import Mapping
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
        meters: numbers of meters that are gone, changed or unknown; ``groups``: the same of groups.
    """

    missing: tuple[EncodedFlow, ...] = ()
    changed: tuple[EncodedFlow, ...] = ()
    unknown: tuple[EncodedFlow, ...] = ()
    meters: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """Return how many things differ."""
        kinds = (self.missing, self.changed, self.unknown, self.meters, self.groups)
        return sum(len(kind) for kind in kinds)

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
    meters = _numbers(found.meters, confirmed.meters, asked.meters if asked is not None else None)
    groups = _numbers(found.groups, confirmed.groups, asked.groups if asked is not None else None)
    return Drift(tuple(missing), tuple(changed), tuple(unknown), meters, groups)


def _was_asked(key: FlowKey, held: EncodedFlow | None, maybe: FlowTable, is_asked: bool) -> bool:
    """Say whether a flow is as it was asked for last."""
    wanted = maybe.get(key)
    if held is None or wanted is None:
        return is_asked and held is wanted
    return held._replace(hard_timeout_s=0) == wanted._replace(hard_timeout_s=0)


def _numbers(
    found: Mapping[int, object], confirmed: Mapping[int, object], asked: Mapping[int, object] | None
) -> tuple[int, ...]:
    """Return the numbers of what is neither as confirmed nor as asked for since."""
    return tuple(
        number
        for number in sorted(found.keys() | confirmed.keys())
        if found.get(number) != confirmed.get(number)
        and (asked is None or found.get(number) != asked.get(number))
    )
