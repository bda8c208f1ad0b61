"""Which appliances a rule's connections can take, by name; and the numbers that go with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from zonewall.intent.numbering import Kind, NumberingBuilder
from zonewall.policy.appliances import Instance, instances_of, ways_of
from zonewall.policy.inventory import Inventory
from zonewall.policy.model import Rule


@dataclass(frozen=True, slots=True)
class Way:
    """One choice of appliances for a rule's functions; ``name`` is what its numbers are given to."""

    name: str
    instances: tuple[Instance, ...]


def ways(name: str, rule: Rule, instances: Mapping[str, tuple[Instance, ...]]) -> list[Way]:
    """Return every way through a rule's functions, in the order of its appliances' names."""
    return [
        Way("|".join((name, *(one.name for one in chosen))), chosen) for chosen in ways_of(rule, instances)
    ]


def number_chain(builder: NumberingBuilder, name: str, rule: Rule, inventory: Inventory) -> None:
    """Give numbers to a rule's chain, to its ways and to their legs."""
    builder.number(Kind.CHAIN, name)
    for function in rule.through:
        builder.number(Kind.DOMAIN, f"function:{function}")
    for way in ways(name, rule, instances_of(inventory)):
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
