"""What a tenant may have of what bridges have but one of for all: a share of its own, whatever others have.

Documents that are right by themselves are right beside others': who has too much is told so at its own place.
"""

from __future__ import annotations

from operator import attrgetter

from zonewall.policy.model import Action, Configuration, MirrorRule, Tenant, Tier
from zonewall.policy.notes import Notes

MOST_TARGETS = 8
"""Mirror targets of an inventory."""

MOST_LENGTHS = 8
"""Lengths that a tenant's mirror rules cut copies to, counted for each target."""

MOST_MIRRORS = 64
"""Mirror rules of a tenant: every packet on a bridge is held against as many as one of its tenants has."""

MOST_PASSING = 64
"""Tiers of a tenant with a ``pass``: a bridge has 255 lists of rules for two tenants and the provider."""

MOST_PASSING_OF_PROVIDER = 96

_ACTION = attrgetter("action")


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
        _check_passing(tenant.name, tenant.tiers, MOST_PASSING, notes)
    provider = configuration.provider
    _check_passing("the provider", provider.before + provider.after, MOST_PASSING_OF_PROVIDER, notes)


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


def _check_passing(who: str, tiers: tuple[Tier, ...], most: int, notes: Notes) -> None:
    if len(tiers) <= most:
        return
    passing = [tier for tier in tiers if Action.PASS in map(_ACTION, tier.rules)]
    for tier in passing[most : most + 1]:
        message = f"{most} tiers with a `pass` are the most that {who} can have; put their rules into fewer"
        notes.error("too-many", tier.location, message)
