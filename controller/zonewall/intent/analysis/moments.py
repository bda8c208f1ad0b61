"""When the rules of a configuration come into force and go: the moments that have to be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from zonewall.policy.model import Configuration, Hours, Rule

MOST_MOMENTS = 200
_WEEK_DAYS = 8
_FOR_EVER = datetime(9999, 12, 1, tzinfo=UTC)
"""What ends later does not end: the week after it cannot be said, in some time zones not even the moment."""


def moments(configuration: Configuration, at: datetime) -> Iterator[datetime]:
    """Yield ``at``, and later moments at which rules begin or cease to hold: a week's hours, each expiry.

    After each expiry the hours of the week that follows are looked at again. At most ``MOST_MOMENTS``.
    """
    rules = timed_rules(configuration)
    ends = sorted({rule.expires for rule in rules if rule.expires and at < rule.expires < _FOR_EVER})
    hours = {rule.hours for rule in rules if rule.hours is not None}
    found: list[datetime] = []
    for begin, end in zip([at, *ends], [*ends, None], strict=True):
        changes = sorted({change for each in hours for change in changes_of_hours(each, begin)})
        found.append(begin)
        found.extend(change for change in changes if change > begin and (end is None or change < end))
        if len(found) > MOST_MOMENTS:
            break
    yield from found[:MOST_MOMENTS]


def timed_rules(configuration: Configuration) -> list[Rule]:
    """Return the rules that do not hold for ever."""
    tiers = [*configuration.provider.before, *configuration.provider.after]
    tiers += [tier for tenant in configuration.tenants.values() for tier in tenant.tiers]
    return [rule for tier in tiers for rule in tier.rules if rule.hours or rule.expires]


def changes_of_hours(hours: Hours, begin: datetime) -> Iterator[datetime]:
    """Yield when hours begin and end in the week after a moment, and on the day before it."""
    zone = ZoneInfo(hours.timezone)
    midnight = begin.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    for day in range(-1, _WEEK_DAYS):
        for minutes in (hours.since, hours.until):
            local = midnight.replace(tzinfo=None) + timedelta(days=day, minutes=minutes)
            yield local.replace(tzinfo=zone)
