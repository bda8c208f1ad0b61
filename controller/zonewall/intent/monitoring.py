"""Monitor mode: what would be refused passes, and is told of; by rule, tier, zone and tenant."""

from __future__ import annotations

from collections.abc import Iterator

from zonewall.intent.banks import Line, Outcome
from zonewall.intent.crowds import both, monitored_identities
from zonewall.intent.identity import Directory
from zonewall.policy.model import Mode, Rule, Tenant, Tier


def lines_under_mode(
    directory: Directory, reader: Tenant | None, tier: Tier, rule: Rule, line: Line
) -> Iterator[Line]:
    """Yield a rule's line within one tenant's view as its mode, its tier's and its author's have it."""
    mode = rule.mode or tier.mode
    if line.outcome not in (Outcome.DROP, Outcome.REJECT) or mode is Mode.ENFORCE:
        yield line
    elif reader is None:
        yield _as_monitored(line) if mode is Mode.MONITOR else line
    else:
        yield from lines_watched(directory, reader, line, Mode.MONITOR in (mode, reader.mode))


def lines_watched(directory: Directory, tenant: Tenant, line: Line, everywhere: bool) -> Iterator[Line]:
    """Yield the line; before it, what of it only counts because a zone or all is in monitor mode."""
    if line.outcome not in (Outcome.DROP, Outcome.REJECT):
        yield line
        return
    if everywhere:
        yield _as_monitored(line)
        return
    watched = monitored_identities(directory, tenant)
    if watched:
        for mark, sources, destinations in (
            ("~from", both(line.sources, watched), line.destinations),
            ("~to", line.sources, both(line.destinations, watched)),
        ):
            if not (sources.nobody or destinations.nobody):
                part = Line(line.key + mark, line.rule, sources, destinations, line.services, line.outcome)
                yield _as_monitored(part)
    yield line


def _as_monitored(line: Line) -> Line:
    return Line(
        line.key, line.rule, line.sources, line.destinations, line.services, Outcome.ALLOW, monitored=True
    )
