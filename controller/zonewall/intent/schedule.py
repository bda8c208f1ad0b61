"""Which rules hold at a moment: ``hours`` and ``expires``."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from zonewall.intent.judgement import rule_records
from zonewall.policy.model import Configuration, Hours, Rule


def inactive_rules(configuration: Configuration, at: datetime) -> frozenset[str]:
    """Return the names of the rules that do not hold at ``at`` (a moment with a time zone)."""
    return frozenset(
        name
        for name, record in rule_records(configuration).items()
        if record.rule is not None and not holds(record.rule, at)
    )


def holds(rule: Rule, at: datetime) -> bool:
    """Say whether a rule holds at a moment; its very end is already past."""
    if rule.expires is not None and at >= rule.expires:
        return False
    return rule.hours is None or _within(rule.hours, at)


def _within(hours: Hours, at: datetime) -> bool:
    """Say whether a moment is within the hours; those past midnight belong to the day they begin on."""
    local = at.astimezone(ZoneInfo(hours.timezone))
    minute = local.hour * 60 + local.minute
    if hours.since < hours.until:
        return local.weekday() in hours.days and hours.since <= minute < hours.until
    if minute >= hours.since:
        return local.weekday() in hours.days
    yesterday = (local - timedelta(days=1)).weekday()
    return minute < hours.until and yesterday in hours.days
