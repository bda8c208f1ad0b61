"""Which connections, recorded or live, would end otherwise under another configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from zonewall.intent.semantics import Probe, ProbeError, Verdict, verdict
from zonewall.policy.model import Action, Configuration


class Turn(Enum):
    """What becomes of a connection."""

    CUT = "cut"  # it passes now, and would not
    OPENED = "opened"  # it does not pass now, and would
    UNCLEAR = "unclear"  # one of the two configurations cannot judge it


@dataclass(frozen=True, slots=True)
class Flip:
    """A connection that would end otherwise.

    Attributes:
        why: for what is unclear, the reason.
    """

    connection: Probe
    turn: Turn
    before: Verdict | None
    after: Verdict | None
    why: str = ""


def flips(old: Configuration, new: Configuration, connections: Iterable[Probe]) -> Iterator[Flip]:
    """Yield the connections that would end otherwise, and those that cannot be said of."""
    tells_source_ports = _asks_for_source_ports(old) or _asks_for_source_ports(new)
    judged: dict[Probe, tuple[Verdict | ProbeError, Verdict | ProbeError]] = {}
    for connection in connections:
        asked = connection if tells_source_ports else replace(connection, source_port=None)
        if asked not in judged:
            judged[asked] = verdict(old, asked), verdict(new, asked)
        before, after = judged[asked]
        if isinstance(before, Verdict) and isinstance(after, Verdict):
            passes, would = before.verdict is Action.ALLOW, after.verdict is Action.ALLOW
            if passes != would:
                yield Flip(connection, Turn.CUT if passes else Turn.OPENED, before, after)
        elif isinstance(before, Verdict) and isinstance(after, ProbeError):
            if before.verdict is Action.ALLOW:
                yield Flip(connection, Turn.UNCLEAR, before, None, after.message)
        elif isinstance(before, ProbeError):
            seen = after if isinstance(after, Verdict) else None
            yield Flip(connection, Turn.UNCLEAR, None, seen, before.message)


def _asks_for_source_ports(configuration: Configuration) -> bool:
    tiers = [*configuration.provider.before, *configuration.provider.after]
    tiers += [tier for tenant in configuration.tenants.values() for tier in tenant.tiers]
    return any(term.source_ports for tier in tiers for rule in tier.rules for term in rule.services)
