"""What a tenant may have of what bridges have but one of for all: a share of its own, whatever others have.

Documents that are right by themselves are right beside others': who has too much is told so at its own place.
"""

from __future__ import annotations

from itertools import chain, compress, repeat
from operator import attrgetter, is_not

from zonewall.policy.model import Action, Configuration, MirrorRule, Tenant, Tier
from zonewall.policy.notes import Notes

MOST_TARGETS = 8
"""Mirror targets of an inventory."""

MOST_LENGTHS = 8
"""Lengths that a tenant's mirror rules cut copies to, counted for each target."""

MOST_MIRRORS = 64
"""Mirror rules of a tenant: every packet on a bridge is held against as many as one of its tenants has."""

MOST_LIMITS = 1024
"""Rules with a `limit` of a tenant, or the provider: bridges have 8,192 meters for those of all."""

MOST_RULES = 40_000
"""Rules of a tenant: one list of rules has room for 59,900, of a tenant and the provider together."""

MOST_RULES_OF_PROVIDER = 10_000

MOST_PASSING = 64
"""Tiers of a tenant with a ``pass``: a bridge has 255 lists of rules for two tenants and the provider."""

MOST_PASSING_OF_PROVIDER = 96

_ACTION, _LIMIT = attrgetter("action"), attrgetter("limit")


def cut_outlets(tenant: Tenant) -> set[tuple[str, int]]:
    """Return the targets that a tenant's rules cut copies for, with how many bytes of a packet they get."""
    return {outlet for mirror in tenant.mirrors for outlet in _cut(mirror)}


def check_shares(configuration: Configuration, notes: Notes) -> None:
    """Refuse what of one document would not leave the others theirs."""
    for target in list(configuration.inventory.mirror_targets.values())[MOST_TARGETS : MOST_TARGETS + 1]:
        message = f"{MOST_TARGETS} mirror targets are the most there can be; leave this one out"
        notes.error("too-many", target.location, message)
    for tenant in configuration.tenants.values():
        _check_mirrors(tenant, notes)
        _check_tiers(tenant.name, tenant.tiers, (MOST_PASSING, MOST_RULES), notes)
    provider = configuration.provider.before + configuration.provider.after
    _check_tiers("the provider", provider, (MOST_PASSING_OF_PROVIDER, MOST_RULES_OF_PROVIDER), notes)


def _cut(mirror: MirrorRule) -> list[tuple[str, int]]:
    return [] if mirror.truncate is None else [(target, mirror.truncate) for target in mirror.targets]


def _check_mirrors(tenant: Tenant, notes: Notes) -> None:
    questions = 0
    lengths: set[tuple[str, int]] = set()
    for mirror in tenant.mirrors:
        before, questions = questions, questions + _questions(mirror)
        if before <= MOST_MIRRORS < questions:
            message = f"{MOST_MIRRORS} mirror rules are the most that {tenant.name} can have, one to `self` "
            message += "counted for each zone it is from; name several zones and services in one"
            notes.error("too-many", mirror.location, message)
        fewer = len(lengths)
        lengths.update(_cut(mirror))
        if fewer <= MOST_LENGTHS < len(lengths):
            message = f"{MOST_LENGTHS} lengths are the most that {tenant.name} can have copies cut to, each "
            message += "target's counted; write the `truncate` of another rule"
            notes.error("too-many", mirror.location, message)


def _questions(mirror: MirrorRule) -> int:
    """Return how many pairs of ends a bridge asks for one mirror rule."""
    to_itself = sum(peer.kind == "self" for peer in mirror.destinations)
    return int(len(mirror.destinations) > to_itself) + (len(mirror.sources) if to_itself else 0)


def _check_tiers(who: str, tiers: tuple[Tier, ...], most: tuple[int, int], notes: Notes) -> None:
    """Refuse too many tiers with a ``pass``, and too many rules: ``most`` are those that there may be."""
    if len(tiers) > most[0]:
        passing = [tier for tier in tiers if Action.PASS in map(_ACTION, tier.rules)]
        for tier in passing[most[0] : most[0] + 1]:
            message = f"{most[0]} tiers with a `pass` are the most that {who} can have; put rules into fewer"
            notes.error("too-many", tier.location, message)
    if sum(len(tier.rules) for tier in tiers) > min(most[1], MOST_LIMITS):
        rules = list(chain.from_iterable(tier.rules for tier in tiers))
        limited = list(compress(rules, map(is_not, map(_LIMIT, rules), repeat(None))))
        for found, count, what in ((rules, most[1], ""), (limited, MOST_LIMITS, " with a `limit`")):
            for rule in found[count : count + 1]:
                message = f"{count} rules{what} are the most that {who} can have; "
                message += "name several zones and services in one"
                notes.error("too-many", rule.location, message)
