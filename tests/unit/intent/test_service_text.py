"""How sets of services are written in reports."""

from __future__ import annotations

import pytest

from support.configurations import service
from zonewall.intent.service_classes import ServiceClasses
from zonewall.intent.service_text import service_texts

TERMS = [
    "tcp/80",
    "tcp/443",
    "tcp/8000-8099",
    "tcp/53 from 1024-65535",
    "udp/53",
    "ip/47",
    "icmp/8",
    "icmp/3/1",
]


def written(*texts: str, but: tuple[str, ...] = (), version: int | None = None) -> tuple[str, ...]:
    classes = ServiceClasses.of(map(service, (*TERMS, *texts, *but)))
    chosen = classes.mask(tuple(map(service, texts)))
    if but:
        chosen &= ~classes.mask(tuple(map(service, but)))
    within = None if version is None else classes.of_family(version)
    return service_texts(classes, chosen, within)


@pytest.mark.parametrize(
    ("texts", "but", "reads"),
    [
        (("tcp/80", "tcp/443"), (), ("tcp/80", "tcp/443")),
        (("tcp/79-80", "tcp/81"), (), ("tcp/79-81",)),
        (("tcp",), (), ("tcp",)),
        (("tcp",), ("tcp/22",), ("tcp except 22",)),
        (("tcp/53 from 1024-65535",), (), ("tcp/53 from 1024-65535",)),
        (("any",), (), ("any",)),
        (("any",), ("tcp/22", "icmp"), ("any except icmp, tcp/22",)),
        (("icmp/8", "ip/47"), (), ("icmp/echo-request", "ip/47")),
        (("icmp",), ("icmp/3/1",), ("icmp except icmp/destination-unreachable/1",)),
        (("icmp/3",), ("icmp/3/1",), ("icmp/destination-unreachable except code 1",)),
    ],
)
def test_a_set_of_services_reads_as_an_operator_would_write_it(
    texts: tuple[str, ...], but: tuple[str, ...], reads: tuple[str, ...]
) -> None:
    assert written(*texts, but=but) == reads


def test_all_that_exists_between_ipv6_addresses_is_any_there() -> None:
    assert written("any", but=("icmp",), version=6) == ("any",)
    assert written("any", but=("icmp",), version=4) == ("any except icmp",)
