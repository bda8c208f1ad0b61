"""Alerts to decisions: which rule, whose endpoint, how often, whether the cap allows it. No clock in here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase

from zonewall.policy.model import Response
from zonewall.respond.alert import Alert
from zonewall.values.names import EndpointKey

STALE_S = 300.0
"""Events older than this say nothing about who has the address now."""
AHEAD_S = 60.0
HOUR_S = 3600.0
MOST_COUNTED = 65536


class Outcome(Enum):
    """What became of an alert under one rule."""

    ACT = "act"
    NOTIFY = "notify"
    COUNTED = "counted"  # not often enough yet
    STANDING = "standing"  # in force already; its time begins anew
    EXEMPT = "exempt"
    CAPPED = "capped"  # too many this hour: told, not done
    WOULD_ACT = "would-act"  # mode: monitor
    NOBODY = "nobody"  # no endpoint has the address, or several tenants' do
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from an alert under one rule."""

    rule: str
    outcome: Outcome
    alert: Alert
    endpoint: EndpointKey | None = None


Find = Callable[[Alert, str], EndpointKey | None]
"""Returns the endpoint that an alert is about: the ``attacker`` or the ``victim``."""

Exempt = Callable[[Response, EndpointKey], bool]


@dataclass(slots=True)
class Engine:
    """Counts, caps and what is in force; confined to its owner.

    Attributes:
        standing: when each measure ends, by rule and endpoint; None is never.
        done: when measures were taken within the last hour, by rule and tenant.
    """

    standing: dict[tuple[str, EndpointKey], float | None] = field(default_factory=dict)
    done: dict[tuple[str, str], deque[float]] = field(default_factory=dict)
    _counts: dict[tuple[str, EndpointKey], deque[float]] = field(default_factory=dict)

    def take(
        self, alert: Alert, rules: Iterable[Response], find: Find, exempt: Exempt,
        now: float,
    ) -> list[Decision]:  # fmt: skip
        """Return what follows from an alert; ``now`` is the same clock as the alert's."""
        decisions = []
        for rule in rules:
            if not matches(rule, alert):
                continue
            if not now - STALE_S <= alert.at <= now + AHEAD_S:
                decisions.append(Decision(rule.name, Outcome.STALE, alert))
                continue
            endpoint = find(alert, rule.who)
            if endpoint is None:
                decisions.append(Decision(rule.name, Outcome.NOBODY, alert))
                continue
            decisions.append(
                Decision(rule.name, self._judge(rule, endpoint, alert, exempt, now), alert, endpoint)
            )
        return decisions

    def expire(self, now: float) -> list[tuple[str, EndpointKey]]:
        """Return, and forget, the measures whose time is over."""
        over = [key for key, until in self.standing.items() if until is not None and until <= now]
        for key in over:
            del self.standing[key]
        return over

    def _judge(
        self, rule: Response, endpoint: EndpointKey, alert: Alert,
        exempt: Exempt, now: float,
    ) -> Outcome:  # fmt: skip
        if exempt(rule, endpoint):
            return Outcome.EXEMPT
        if not self._often_enough(rule, endpoint, alert.at):
            return Outcome.COUNTED
        if rule.action == "notify":
            return Outcome.NOTIFY
        if rule.monitor:
            return Outcome.WOULD_ACT
        key = (rule.name, endpoint)
        until = None if rule.expires_s is None else now + rule.expires_s
        if key in self.standing:
            self.standing[key] = until
            return Outcome.STANDING
        if not self._below_cap(rule, endpoint, now):
            return Outcome.CAPPED
        self.standing[key] = until
        return Outcome.ACT

    def _often_enough(self, rule: Response, endpoint: EndpointKey, at: float) -> bool:
        if rule.count <= 1:
            return True
        if len(self._counts) >= MOST_COUNTED:
            self._counts.clear()
        seen = self._counts.setdefault((rule.name, endpoint), deque(maxlen=rule.count))
        seen.append(at)
        within = rule.within_s if rule.within_s is not None else HOUR_S
        return len(seen) == rule.count and max(seen) - min(seen) <= within

    def _below_cap(self, rule: Response, endpoint: EndpointKey, now: float) -> bool:
        """Say whether the tenant has had fewer endpoints restrained in the hour than the rule allows."""
        tenant = endpoint.partition("/")[0]
        done = self.done.setdefault((rule.name, tenant), deque())
        while done and done[0] <= now - HOUR_S:
            done.popleft()
        if rule.at_most is not None and len(done) >= rule.at_most:
            return False
        done.append(now)
        return True


def matches(rule: Response, alert: Alert) -> bool:
    """Say whether an alert is one that the rule is about: its words, or its number, and its severity."""
    if rule.severity is not None and alert.severity > rule.severity:
        return False
    if rule.signature is None:
        return True
    if rule.signature.isdecimal():
        return alert.number == int(rule.signature)
    return fnmatchcase(alert.signature.lower(), rule.signature.lower())
