"""What one bridge refuses: remembered with its reason, and tried again ever more seldom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from zonewall.flows.aside import Depth, closed, from_there_on
from zonewall.flows.encoded import BridgeState, EncodedFlow, FlowKey
from zonewall.intent.fleet import Policy
from zonewall.openflow.errors import MeterRefused, Refusal
from zonewall.pipeline.cookie import rule_of
from zonewall.pipeline.tables import PIPELINE

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
MOST_RULES = 20
"""So many rules that are left out with a flow are named."""


@dataclass(slots=True)
class AsideFlow:
    """A refused flow: how it is set aside, why, and when it is tried again (monotonic seconds).

    ``wanted`` is what it was to be, known from the next attempt on: what was refused may be one that drops.
    ``with_it`` are the other flows that are left out where its table has no room.
    """

    flow: EncodedFlow
    depth: Depth
    reason: str
    pause_s: float
    retry_at: float
    wanted: EncodedFlow | None = None
    with_it: tuple[EncodedFlow, ...] = ()


@dataclass(slots=True)
class AsideMeter:
    """A refused meter."""

    number: int
    reason: str
    pause_s: float
    retry_at: float


class SetAside:
    """The flows and meters that a bridge does not take; confined to its keeper."""

    def __init__(self) -> None:
        """Begin with nothing refused."""
        self.flows: dict[FlowKey, AsideFlow] = {}
        self.meters: dict[int, AsideMeter] = {}

    def __bool__(self) -> bool:
        """Say whether anything is set aside."""
        return bool(self.flows or self.meters)

    def closed(self, wanted: BridgeState, now: float) -> BridgeState:
        """Return what to ask of the bridge now: without what is set aside, but for what is due a trial."""
        if not self:
            return wanted
        for key, entry in self.flows.items():
            self._follow(entry, wanted.flows.get(key), now)
            later = from_there_on(wanted.flows, entry.flow) if entry.depth is Depth.ENDED else ()
            entry.with_it = tuple(flow for flow in later if flow.key != key)
        flows = {key: entry.depth for key, entry in self.flows.items() if entry.retry_at > now}
        meters = frozenset(number for number, entry in self.meters.items() if entry.retry_at > now)
        return closed(wanted, flows, meters)

    @staticmethod
    def _follow(entry: AsideFlow, flow: EncodedFlow | None, now: float) -> None:
        """Have a flow tried at once that is to be another one than was refused."""
        if flow is None:
            return
        if entry.wanted is not None and entry.wanted.instructions != flow.instructions:
            entry.flow, entry.pause_s, entry.retry_at = flow, FIRST_PAUSE_S, min(now, entry.retry_at)
        entry.wanted = flow

    def again(self, now: float) -> None:
        """Have everything tried at once: the bridge may be another version by now, or have more room."""
        for flow in self.flows.values():
            flow.retry_at = min(now, flow.retry_at)
        for meter in self.meters.values():
            meter.retry_at = min(now, meter.retry_at)

    def refused(self, refusals: Iterable[Refusal], now: float) -> None:
        """Take refusals of what was asked at ``now``: set aside, or deeper, or a trial that failed."""
        for refusal in refusals:
            assert isinstance(refusal.flow, EncodedFlow)
            known = self.flows.get(refusal.flow.key)
            if known is None:
                depth = Depth.ENDED if refusal.is_table_full else Depth.DROPPED
                self.flows[refusal.flow.key] = AsideFlow(
                    refusal.flow, depth, refusal.reason, FIRST_PAUSE_S, now + FIRST_PAUSE_S
                )
                continue
            known.reason = refusal.reason
            if known.retry_at <= now:
                known.pause_s = min(known.pause_s * 2, LONGEST_PAUSE_S)
                known.retry_at = now + known.pause_s
            else:
                known.depth = (
                    Depth.ENDED if refusal.is_table_full else Depth(min(known.depth + 1, Depth.ENDED))
                )

    def meter_refused(self, error: MeterRefused, now: float) -> None:
        """Take the refusal of a meter."""
        known = self.meters.get(error.number)
        pause_s = min(known.pause_s * 2, LONGEST_PAUSE_S) if known else FIRST_PAUSE_S
        self.meters[error.number] = AsideMeter(error.number, error.reason, pause_s, now + pause_s)

    def accepted(self, wanted: BridgeState, now: float) -> list[AsideFlow]:
        """Forget what the bridge took after all, and what nobody wants any more; return the former."""
        taken = [entry for key, entry in self.flows.items() if entry.retry_at <= now and key in wanted.flows]
        self.flows = {
            key: entry for key, entry in self.flows.items() if entry.retry_at > now and key in wanted.flows
        }
        self.meters = {
            number: entry
            for number, entry in self.meters.items()
            if entry.retry_at > now and number in wanted.meters
        }
        return taken

    def next_trial(self) -> float | None:
        """Return when something is due a trial, None while nothing is set aside."""
        times = [entry.retry_at for entry in self.flows.values()]
        times += [entry.retry_at for entry in self.meters.values()]
        return min(times, default=None)

    def rows(self, policy: Policy, now: float) -> list[dict[str, Any]]:
        """Return what ``zonewall status`` says of each."""
        flows = [
            {
                **about(entry.flow, policy),
                "reason": entry.reason,
                "retry_in_s": max(0, round(entry.retry_at - now)),
                "flows_with_it": len(entry.with_it),
                "rules_with_it": _rules(entry, policy)[:MOST_RULES],
            }
            for entry in self.flows.values()
        ]
        meters: list[dict[str, Any]] = [
            {
                "rule": None,
                "flow": f"meter {entry.number}",
                "reason": entry.reason,
                "retry_in_s": max(0, round(entry.retry_at - now)),
                "flows_with_it": 0,
                "rules_with_it": [],
            }
            for entry in self.meters.values()
        ]
        return flows + meters


_TABLES = {table.number: table.name for table in PIPELINE.tables}


def _rules(entry: AsideFlow, policy: Policy) -> list[str]:
    """Return the other rules of which flows are left out, those that would come first at the beginning."""
    names = {number: name for name, number in policy.numbering.numbers.get("rule", {}).items()}
    later = sorted(entry.with_it, key=lambda flow: -flow.priority)
    numbers = dict.fromkeys(rule_of(flow.cookie) for flow in later)
    return [names[number] for number in numbers if number in names and number != rule_of(entry.flow.cookie)]


def about(flow: EncodedFlow, policy: Policy) -> dict[str, str | None]:
    """Return which rule a flow stands for (name, and where it is written), and which flow it is."""
    number = rule_of(flow.cookie)
    names = policy.numbering.numbers.get("rule", {})
    rule = next((name for name, known in names.items() if known == number), None) if number else None
    record = policy.records.get(rule) if rule else None
    location = str(record.location) if record is not None and record.location is not None else None
    return {
        "rule": rule,
        "at": location,
        "flow": f"table {_TABLES.get(flow.table, flow.table)}, priority {flow.priority}",
    }
