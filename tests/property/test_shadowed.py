"""Rules that are never reached: they decide nothing, and after an edit they are those of the whole tier."""

from __future__ import annotations

import itertools
import random

import pytest

from support.configurations import configure, endpoint, probe, tenant, tier, zone
from support.configurations import rule as rule_of
from zonewall.intent.semantics import Probe
from zonewall.intent.semantics.connection import connect
from zonewall.intent.semantics.ends import find_ends
from zonewall.intent.semantics.matching import provider_rule_matches, tenant_rule_matches
from zonewall.policy.covering import Covering
from zonewall.policy.findings import Location
from zonewall.policy.model import Action, Configuration, Peer, Provider, Rule, Tier
from zonewall.policy.notes import Notes
from zonewall.policy.shadowed import shadowed, shadowed_after
from zonewall.policy.soundness import Shadows, check
from zonewall.values.names import ZoneName
from zonewall.values.services import Protocol, ServiceTerm, merge_ranges

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


def alternatives(draw: random.Random, count: int, plain: bool) -> tuple[ServiceTerm, ...]:
    found = []
    for _ in range(count):
        first = draw.randrange(20)
        ports = merge_ranges([(first, first + draw.randrange(6)), (first + 9, first + 9 + draw.randrange(3))])
        sources = ((), (), ((1, 2),), ((1, 4),))[0 if plain else draw.randrange(4)]
        ports = ports if draw.random() < 0.95 else ()
        found.append(ServiceTerm(draw.choice((Protocol.TCP, Protocol.UDP)), ports, sources))
        if not plain and draw.random() < 0.3:
            found.append(ServiceTerm(Protocol.ICMP, (), (), *draw.choice(((None, None), (3, None), (3, 1)))))
    return tuple(found)


def asked_for(terms: tuple[ServiceTerm, ...]) -> set[tuple[int, ...]]:
    """Return the connections that services are about, of few ports, types and codes."""
    return {
        (protocol, port, source)
        for term in terms
        for protocol in (Protocol.TCP, Protocol.UDP)
        for port in range(40)
        for source in range(6)
        if term.protocol == protocol
        and (not term.ports or any(a <= port <= b for a, b in term.ports))
        and (not term.source_ports or any(a <= source <= b for a, b in term.source_ports))
    } | {
        (Protocol.ICMP, kind, code)
        for term in terms
        for kind in (3, 4)
        for code in (1, 2)
        if term.protocol == Protocol.ICMP
        and term.icmp_type in (None, kind)
        and term.icmp_code in (None, code)
    }


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_services_cover_others_if_they_are_about_the_same_connections_and_more(
    seed: int, plain: bool
) -> None:
    draw = random.Random(seed)
    seen = set()
    for _ in range(200):
        first = alternatives(draw, draw.choice((1, 3, 9, 30)), plain)
        second = alternatives(draw, draw.choice((1, 2, 5)), plain)
        ends = (Peer("any"),), (Peer("any"),)
        rules = [Rule("r", *ends, terms, Action.ALLOW, HERE) for terms in (first, second)]
        covers = Covering().covers(*rules)
        is_so = asked_for(second) <= asked_for(first)
        seen.add(covers)
        assert is_so or not covers
        if plain and len(first) * len(second) > 16:
            assert covers == is_so
    assert seen == {True, False}


ENDPOINTS = (
    endpoint("acme/db", "10.0.0.2", labels={"role": "db"}),
    endpoint("acme/web", "10.0.0.1", labels={"role": "web"}),
    endpoint("blue/app", "10.1.0.1", labels={"role": "app"}),
    endpoint("blue/job", "10.1.0.2"),
)
ACTIONS = ("allow", "allow", "drop", "pass")
WORDS = {
    "acme": ("any", "any", "external", "db", "web", "near", "app"),
    "blue": ("any", "any", "external", "app", "near", "shop"),
    "provider": ("any", "any", "acme/db", "acme/any", "blue/any", "*/any", "external"),
}


def row(owner: str, draw: random.Random) -> Tier:
    rules = []
    for number in range(5):
        sources, destinations = (" ".join(draw.sample(WORDS[owner], draw.choice((1, 1, 2)))) for _ in "12")
        if draw.random() < 0.1 and "any" not in sources and "external" not in sources:
            destinations = "self"
        services = draw.choice(((), ("tcp/80",), ("tcp/1-80", "tcp/81-90"), ("tcp/60-85",)))
        rules.append(
            rule_of(f"{owner}-{number}", sources, destinations, draw.choice(ACTIONS), services=services)
        )
    return tier("t", *rules)


def agreed(draw: random.Random) -> Configuration:
    """Return two tenants of which each exports a zone that the other may import, and the provider."""
    exports = [[("db", "blue")], [("app", "acme")]]
    imports = [[("blue/app", "app")], [("acme/db", "shop")]]
    for lists in (exports, imports):
        for one in lists:
            if draw.random() < 0.2:
                one.clear()
    zones = [
        [zone("near", cidrs=["10.0.0.0/15"]), *(zone(word, labels={"role": word}) for word in words)]
        for words in (("db", "web"), ("app",))
    ]
    tenants = [
        tenant(name, row(name, draw), zones=zones[at], exports=exports[at], imports=imports[at])
        for at, name in enumerate(("acme", "blue"))
    ]
    return configure(*ENDPOINTS, *tenants, provider=Provider(before=(row("provider", draw),)))


def probes(port: int) -> list[Probe]:
    ends = [str(one.key) for one in ENDPOINTS]
    return [
        *(probe(one, other, f"tcp/{port}") for one, other in itertools.permutations(ends, 2)),
        *(probe(one, "192.0.2.1", f"tcp/{port}") for one in ends),
        *(probe("192.0.2.1", one, f"tcp/{port}") for one in ends),
    ]


def deciding(configuration: Configuration, asked: Probe) -> set[str]:
    """Return the first rule of each tier that is about a connection, whether the tier is asked or not."""
    ends = find_ends(configuration, asked)
    assert isinstance(ends, tuple)
    found = connect(*ends, asked)
    rows = [
        [one.name for one in reader.tiers[0].rules if tenant_rule_matches(found, reader, one)]
        for reader in {end.tenant.name: end.tenant for end in ends}.values()
    ]
    rows += [
        [one.name for one in configuration.provider.before[0].rules if provider_rule_matches(found, one)]
    ]
    return {names[0] for names in rows if names}


@pytest.mark.parametrize("seed", range(40))
def test_a_rule_that_is_said_to_be_never_reached_decides_nothing(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(5):
        configuration, notes = agreed(draw), Notes()
        check(configuration, notes)
        told = {one.message.split("'")[1] for one in notes.findings if one.code == "unreachable-rule"}
        for port in (1, 70, 81, 85, 100):
            assert all(told.isdisjoint(deciding(configuration, asked)) for asked in probes(port))


def test_what_a_tenant_agrees_on_is_asked_again_though_its_rules_stay() -> None:
    row = tier("t", rule_of("all", "any", "any"), rule_of("shop", "any", "shop"))
    shop = zone("shop", labels={"role": "shop"})
    shadows: Shadows = {}
    told = []
    for agreed_on in ([], [("shop", "acme")], []):
        notes = Notes()
        check(configure(tenant("blue", row, zones=[shop], exports=agreed_on)), notes, shadows)
        told.append([one.code for one in notes.findings])

    assert told == [["unreachable-rule"], [], ["unreachable-rule"]]


def test_what_was_found_of_tiers_that_are_no_more_is_forgotten() -> None:
    shadows: Shadows = {}
    for name in ("acme", "blue"):
        check(configure(tenant(name, tier("t"))), Notes(), shadows)

    assert list(shadows) == [("blue", "t")]
