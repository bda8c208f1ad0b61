"""What a change of policy means for each bridge: flows that come, change, go and stay, against the budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from zonewall.flows.diff import diff
from zonewall.flows.encoded import EncodedFlow, FlowKey
from zonewall.flows.wire import encode_flow
from zonewall.intent.fleet import Fleet, bridges_of
from zonewall.intent.numbering import Kind
from zonewall.pipeline.compile import compile_bridge
from zonewall.pipeline.cookie import Category, category_of, rule_of
from zonewall.pipeline.model import BridgeProgram, Flow
from zonewall.placement.model import BridgeKey


@dataclass(frozen=True, slots=True)
class Forecast:
    """One bridge, before and after.

    Attributes:
        changed: flows whose actions change, their match stays.
        budget: flows that the bridge may be asked to hold (``flow-budget`` in the inventory).
    """

    bridge: BridgeKey
    added: int
    changed: int
    removed: int
    kept: int
    budget: int

    @property
    def flows(self) -> int:
        """Return how many flows the bridge will hold."""
        return self.added + self.changed + self.kept

    @property
    def is_over(self) -> bool:
        """Say whether the budget is passed."""
        return self.flows > self.budget

    @property
    def is_change(self) -> bool:
        """Say whether any flow differs."""
        return bool(self.added or self.changed or self.removed)


def forecast(before: Fleet, after: Fleet) -> tuple[Forecast, ...]:
    """Return every bridge of both, the same placement under two policies; numbers carried over."""
    old, new = (bridges_of(fleet.policy.configuration) for fleet in (before, after))
    return tuple(
        _one(key, before if key in old else None, after if key in new else None)
        for key in sorted({*old, *new})
    )


def budget_of(fleet: Fleet, key: BridgeKey) -> int:
    """Return a bridge's budget."""
    return fleet.policy.configuration.inventory.hosts[key.host].bridges[key.bridge].flow_budget


def over_budget(fleet: Fleet, keys: Iterable[BridgeKey]) -> tuple[str, ...]:
    """Return, for each bridge that would have to hold more flows than it may, one line that says so."""
    found = []
    for key in keys:
        flows, budget = compile_bridge(fleet, key).flows, budget_of(fleet, key)
        if len(flows) > budget:
            found.append(over_budget_text(key, len(flows), budget, _whose(fleet, flows)))
    return tuple(found)


def over_budget_text(key: BridgeKey, count: int, budget: int, whose: str = "") -> str:
    """Return what to say of a bridge that would have to hold too much."""
    return (
        f"{key} would hold {count} flows{whose}, {budget} are its budget; "
        "write fewer rules, or raise `flow-budget`"
    )


def _whose(fleet: Fleet, flows: Iterable[Flow]) -> str:
    """Return words on whose rules have the most of some flows."""
    names = {number: name for name, number in fleet.policy.numbering.numbers[Kind.RULE.word].items()}
    rules = Counter(rule_of(flow.cookie) for flow in flows if category_of(flow.cookie) is Category.RULE)
    authors: Counter[str] = Counter()
    for rule, count in rules.items():
        authors[names.get(rule, "").partition("/")[0]] += count
    author, most = max(authors.items(), key=lambda one: (one[1], one[0]), default=("", 0))
    return f" ({most} of them by rules of {author})" if author else ""


def _one(key: BridgeKey, before: Fleet | None, after: Fleet | None) -> Forecast:
    installed = _encoded(None if before is None else compile_bridge(before, key))
    wanted = _encoded(None if after is None else compile_bridge(after, key))
    change = diff(installed, wanted)
    changed = sum(flow.key in installed for flow in change.put)
    budget = budget_of(after, key) if after is not None else 0 if before is None else budget_of(before, key)
    return Forecast(
        key,
        added=len(change.put) - changed,
        changed=changed,
        removed=len(change.delete),
        kept=len(wanted) - len(change.put),
        budget=budget,
    )


def _encoded(program: BridgeProgram | None) -> dict[FlowKey, EncodedFlow]:
    if program is None:
        return {}
    return {encoded.key: encoded for encoded in map(encode_flow, program.flows)}
