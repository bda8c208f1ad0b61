"""Why a connection ends as it does: the tiers asked, in order, and what follows from the deciding rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zonewall.intent.semantics import Probe, ProbeError, Step, Verdict, account, astray
from zonewall.intent.semantics.ends import find_ends
from zonewall.intent.semantics.membership import End, is_in_zone
from zonewall.intent.treatment import limit_text
from zonewall.policy.model import Action, Configuration, Rule


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict, and how it came about."""

    probe: Probe
    source: End
    destination: End
    verdict: Verdict
    steps: tuple[Step, ...]

    @property
    def limits(self) -> tuple[str, ...]:
        """Return the limits that the connection is under."""
        if self.verdict.verdict is not Action.ALLOW or self.verdict.monitored:
            return ()
        both_agreed = self.verdict.rule.startswith(f"{self.destination.tenant.name}/")
        rules: list[Rule] = [
            step.rule
            for step in self.steps
            if step.rule is not None
            and step.rule.action is Action.ALLOW
            and (both_agreed or step is self.steps[-1])
        ]
        return tuple(limit_text(rule.limit) for rule in rules if rule.limit is not None)


def explain(configuration: Configuration, probe: Probe) -> Explanation | ProbeError:
    """Return what the configuration says about a connection and why, or why it cannot be judged."""
    ends = astray(configuration, probe) or find_ends(configuration, probe)
    if isinstance(ends, ProbeError):
        return ends
    answer = account(configuration, probe)
    if isinstance(answer, ProbeError):
        return answer
    return Explanation(probe, *ends, *answer)


def explanation_document(told: Explanation) -> dict[str, Any]:
    """Return an explanation in plain values (docs/commands.md)."""
    said = told.verdict
    return {
        "from": _end(told.source),
        "to": _end(told.destination),
        "verdict": said.verdict.value,
        "rule": said.rule,
        "at": said.at,
        "tier": said.tier,
        "monitored": said.monitored,
        "log": said.log,
        "mirror": list(said.mirror),
        "through": list(said.through),
        "limit": list(told.limits),
        "tiers": [_step(step) for step in told.steps],
    }


def _end(end: End) -> dict[str, Any]:
    return {
        "tenant": str(end.tenant.name),
        "endpoint": None if end.endpoint is None else str(end.endpoint.key),
        "address": str(end.address),
        "zones": [str(zone) for zone in end.tenant.zones if is_in_zone(end.tenant, zone, end)],
    }


def _step(step: Step) -> dict[str, Any]:
    rule = step.rule
    return {
        "author": step.author,
        "tier": step.tier,
        "result": "no rule" if rule is None else rule.action.value,
        "rule": None if rule is None else f"{step.author}/{step.tier}/{rule.name}",
        "at": None if rule is None else rule.location.at,
    }
