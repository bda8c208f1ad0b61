"""Services as conditions: together exactly the rule's, and no two of them for one packet."""

from __future__ import annotations

from itertools import combinations

import pytest

from support.configurations import service
from zonewall.pipeline.matches import service_conditions
from zonewall.pipeline.model import Condition
from zonewall.pipeline.packet_fields import TCP_DST, TCP_SRC

V4, V6 = 0x0800, 0x86DD
EDGES = (1, 52, 53, 79, 80, 81, 1023, 1024, 40000, 65535)


def matches(conditions: tuple[Condition, ...], source: int, destination: int) -> bool:
    values = {TCP_SRC: source, TCP_DST: destination}
    return all(
        (values[field] ^ value) & (field.ones if mask is None else mask) == 0
        for field, value, mask in conditions
        if field in values
    )


@pytest.mark.parametrize(
    "texts",
    [
        ["tcp/80", "tcp/79-81"],
        ["tcp/80 from 1024-65535", "tcp/79-81"],
        ["tcp from 53", "tcp/53"],
        ["tcp", "tcp/80"],
        ["tcp/1-65534", "tcp/65535 from 80"],
    ],
    ids=" and ".join,
)
def test_exactly_one_alternative_matches_what_the_services_say(texts: list[str]) -> None:
    terms = [service(text) for text in texts]
    alternatives = service_conditions(terms, (V4,))

    for source in EDGES:
        for destination in EDGES:
            said = any(
                (not t.ports or any(a <= destination <= b for a, b in t.ports))
                and (not t.source_ports or any(a <= source <= b for a, b in t.source_ports))
                for t in terms
            )
            assert sum(matches(one, source, destination) for one in alternatives) == said


def test_an_icmp_type_covers_its_codes() -> None:
    assert service_conditions([service("icmp/3"), service("icmp/3/1")], (V4, V6)) == service_conditions(
        [service("icmp/3")], (V4,)
    )


def test_icmp_is_of_ipv4_alone_and_icmpv6_of_ipv6() -> None:
    assert service_conditions([service("icmp")], (V6,)) == []
    assert service_conditions([service("icmpv6")], (V4,)) == []


def test_every_protocol_asks_nothing() -> None:
    assert service_conditions([], (V4, V6)) == service_conditions([service("any")], (V4, V6)) == [()]


def test_ports_of_both_families_are_asked_apart() -> None:
    found = service_conditions([service("udp/53")], (V4, V6))

    assert len(found) == 2
    assert not any(set(a) == set(b) for a, b in combinations(found, 2))
