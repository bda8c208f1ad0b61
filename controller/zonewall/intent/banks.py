"""Banks: for each kind of connection, the rules that judge it, in the order they are asked.

A bank is a list of sections; within a section the first matching line decides. A section ends where a tier
with a ``pass`` ends, because what passes skips the rest of its tier (docs/policy-reference.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from zonewall.policy.findings import Location
from zonewall.policy.model import Peer, Rule
from zonewall.values.names import TenantName
from zonewall.values.services import ServiceTerm

BETWEEN_TENANTS = "builtin/between-tenants"


class Outcome(Enum):
    """What a line of a bank decides."""

    ALLOW = "allow"
    DROP = "drop"
    REJECT = "reject"
    ONWARD = "onward"  # go on in another section


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who one side of a line is.

    Attributes:
        everybody: all, inside and outside; the others are empty then.
        inside: every endpoint.
        outside: everybody who is no endpoint of the tenant.
        identities: names of identities.
    """

    everybody: bool = False
    inside: bool = False
    outside: bool = False
    identities: frozenset[str] = frozenset()

    @property
    def nobody(self) -> bool:
        """Say whether nobody is meant, so that the line can never match."""
        return not (self.everybody or self.inside or self.outside or self.identities)


EVERYBODY = Crowd(everybody=True)


@dataclass(frozen=True, slots=True)
class Line:
    """One rule, or one part of a rule, in a bank.

    Attributes:
        key: unique within the bank, the same for the same rule after an edit elsewhere.
        rule: ``tenant/tier/rule``, what a verdict is reported as.
        onward: the section where ONWARD leads.
        monitored: the rule would have dropped; what it decides passes.
        outlives: it is about connections only that the rule, which has gone, let in.
    """

    key: str
    rule: str
    sources: Crowd
    destinations: Crowd
    services: tuple[ServiceTerm, ...]
    outcome: Outcome
    onward: int = 0
    monitored: bool = False
    outlives: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Lines of which the first that matches decides; a miss goes to section ``miss``, None: the end.

    ``tiers``: each tier in it as ``owner/tier``, and which line is its first, or would be.
    """

    lines: tuple[Line, ...]
    miss: int | None
    tiers: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Bank:
    """All the rules for connections from one tenant's view to another's (or within one: both the same).

    Attributes:
        end: lines for what nothing decided; the last one matches everything.
        last_own: between tenants, the section with the last of the destination's tiers.
    """

    source: TenantName
    destination: TenantName
    sections: tuple[Section, ...]
    end: tuple[Line, ...]
    last_own: int | None = None

    @property
    def name(self) -> str:
        """Return ``tenant`` or ``tenant>tenant``."""
        return self.source if self.source == self.destination else f"{self.source}>{self.destination}"


@dataclass(frozen=True, slots=True)
class RuleRecord:
    """What is known of a rule by its name, for modifiers, cookies and explanations."""

    name: str
    location: Location | None
    rule: Rule | None


def peer_text(peer: Peer) -> str:
    """Return the peer as an operator writes it."""
    if peer.kind != "zone":
        return f"{peer.tenant}/{peer.kind}" if peer.tenant else peer.kind
    return f"{peer.tenant}/{peer.zone}" if peer.tenant else str(peer.zone)
