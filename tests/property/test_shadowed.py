"""Rules that are never reached: looked for among what an edit concerns, they are those of the whole tier."""

from __future__ import annotations

import random

import pytest

from zonewall.policy.findings import Location
from zonewall.policy.model import Action, Peer, Rule, Tier
from zonewall.policy.shadowed import shadowed, shadowed_after
from zonewall.values.names import ZoneName
from zonewall.values.services import Protocol, ServiceTerm

HERE = Location("acme.yaml", 1, 1)
PEERS = (Peer("any"), *(Peer("zone", ZoneName(f"z{number}")) for number in range(3)))


def rule(name: str, draw: random.Random) -> Rule:
    sides = [tuple(draw.sample(PEERS, draw.choice((1, 1, 2)))) for _ in range(2)]
    terms = [
        ServiceTerm(Protocol.TCP, ((draw.randrange(5), 5 + draw.randrange(5)),))
        for _ in range(draw.choice((0, 1, 2)))
    ]
    return Rule(name, sides[0], sides[1], tuple(terms), Action.ALLOW, HERE)


def edited(rules: list[Rule], draw: random.Random) -> list[Rule]:
    place = draw.randrange(len(rules) + 1)
    match draw.randrange(4):
        case 0 if place < len(rules):
            rules[place] = rule(rules[place].name, draw)
        case 1:
            rules.insert(place, rule(f"n{draw.random()}", draw))
        case 2 if place < len(rules):
            rules.pop(place)
        case 3:
            draw.shuffle(rules)
    return rules


@pytest.mark.parametrize("seed", range(40))
def test_after_an_edit_the_rules_that_are_never_reached_are_those_of_the_whole_tier(seed: int) -> None:
    draw = random.Random(seed)
    tier = Tier("t", tuple(rule(f"r{number}", draw) for number in range(draw.randrange(1, 25))), HERE)
    known = shadowed(tier)
    for _ in range(12):
        after = Tier("t", tuple(edited(list(tier.rules), draw)), HERE)
        known, tier = shadowed_after(after, tier, known), after
        assert known == shadowed(after)
