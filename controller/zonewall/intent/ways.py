"""Which appliances connections through some functions can take, by name; and the numbers that go with them.

Rules that send connections through the same functions in the same order have these in common: how many
numbers a tenant needs follows from the functions that it was given, not from its rules and their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from zonewall.intent.numbering import Kind, NumberingBuilder
from zonewall.policy.appliances import Instance, instances_of, ways_of
from zonewall.policy.inventory import Inventory
from zonewall.policy.model import Rule

Through = tuple[str, ...]
"""Names of functions, in the order of a connection's first direction."""


@dataclass(frozen=True, slots=True)
class Way:
    """One choice of appliances for some functions; ``name`` is what its numbers are given to."""

    name: str
    instances: tuple[Instance, ...]


def chain_name(through: Through) -> str:
    """Return what a chain is numbered under; no rule has such a name."""
    return f"through:{','.join(through)}"


def chains_of(rules: Iterable[tuple[str, Rule]]) -> list[Through]:
    """Return the functions that some rules send connections through, in the rules' order."""
    return list(dict.fromkeys(rule.through for _, rule in rules if rule.through))


def ways(through: Through, instances: Mapping[str, tuple[Instance, ...]]) -> list[Way]:
    """Return every way through some functions, in the order of their appliances' names."""
    name = chain_name(through)
    return [
        Way("|".join((name, *(one.name for one in chosen))), chosen) for chosen in ways_of(through, instances)
    ]


def number_chain(builder: NumberingBuilder, through: Through, inventory: Inventory) -> None:
    """Give numbers to a chain, to its ways and to their legs."""
    builder.number(Kind.CHAIN, chain_name(through))
    for function in through:
        builder.number(Kind.DOMAIN, f"function:{function}")
    for way in ways(through, instances_of(inventory)):
        builder.number(Kind.CHAIN, way.name)
        builder.number(Kind.TENANT, way.name)
        for place in range(len(way.instances)):
            for side in ("enter", "leave"):
                builder.number(Kind.DESTINATION, leg_name(way, place, side))


def used_instances(rules: Iterable[Rule], inventory: Inventory) -> tuple[Instance, ...]:
    """Return the appliances that some of these rules send connections through, by name."""
    used = {function for rule in rules for function in rule.through}
    every = instances_of(inventory) if used else {}
    return tuple(one for name in sorted(used) for one in every.get(name, ()))


def leg_name(way: Way, place: int, side: str) -> str:
    """Return what the destination of a leg is numbered under."""
    return f"leg:{way.name}#{place}/{side}"
