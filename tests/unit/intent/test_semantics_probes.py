"""Which two ends a probe means, when it cannot be judged, and what is decided beside the rules."""

from __future__ import annotations

import pytest

from support.configurations import configure, endpoint, probe, rule, tenant, tier, zone
from zonewall.intent.semantics import Probe, ProbeError, Verdict, verdict
from zonewall.policy.model import Action, Provider

ENDPOINTS = (
    endpoint("acme/v4", "10.0.0.1", mac=0x525400000001, ranges=["192.0.2.0/24", "2001:db8::/64"]),
    endpoint("acme/v6", "fd00::2"),
    endpoint("acme/both", "10.0.0.3", "fd00::3"),
    endpoint("acme/sixfirst", "fd00::4", "10.0.0.4"),
    endpoint("acme/router", "10.0.0.5", "fd00::5", roles=["router"]),
    endpoint("acme/none"),
)
ACME = tenant(
    "acme",
    tier("t", rule("four", "four", "any"), rule("six", "six", "any")),
    zones=[zone("four", cidrs=["10.0.0.0/8"]), zone("six", cidrs=["fd00::/8"])],
)
CONFIGURATION = configure(*ENDPOINTS, ACME)


def error_of(asked: Probe) -> str:
    answer = verdict(CONFIGURATION, asked)
    assert isinstance(answer, ProbeError), answer
    assert "\n" not in answer.message
    return answer.message


def rule_of(asked: Probe, provider: Provider | None = None) -> str:
    answer = verdict(configure(*ENDPOINTS, ACME, provider=provider or Provider()), asked)
    assert isinstance(answer, Verdict), answer
    return answer.rule


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (probe("acme/v4", "acme/v6"), "no pair of addresses of one family"),
        (probe("acme/v4", "acme/none"), "no pair of addresses of one family"),
        (probe("acme/v4", "fd00::9"), "no pair of addresses of one family"),
        (probe("acme/v4", "acme/both", "icmpv6/128/0"), "no pair of addresses of IPv6"),
        (probe("acme/v6", "acme/both", "icmp/8/0"), "no pair of addresses of IPv4"),
        (probe("acme/both", "acme/both", src_ip="10.0.0.3", dst_ip="fd00::3"), "no pair"),
        (probe("acme/gone", "acme/v4"), "no endpoint acme/gone"),
        (probe("acme/v4", "blue/v4"), "no endpoint blue/v4"),
        (probe("acme/v4", "acme/both", tenant="blue"), "no tenant blue"),
        (probe("203.0.113.9", "198.51.100.7"), "add tenant"),
        (probe("acme/v4", "acme/both", src_ip="10.0.0.9"), "may not use 10.0.0.9"),
        (probe("203.0.113.9", "acme/v4", src_ip="203.0.113.10"), "leave out 203.0.113.10"),
        (probe("acme/v4", "acme/both", "tcp"), "dport"),
        (probe("acme/v4", "acme/both", "sctp"), "dport"),
        (probe("acme/v4", "acme/both", "17"), "dport"),
        (probe("acme/v4", "acme/both", "icmp"), "icmp"),
        (probe("acme/v4", "acme/both", "1"), "icmp"),
    ],
)
def test_a_probe_that_cannot_be_judged_says_why(asked: Probe, message: str) -> None:
    assert message in error_of(asked)


@pytest.mark.parametrize(
    ("asked", "rule_name"),
    [
        (probe("acme/both", "acme/sixfirst"), "acme/t/four"),
        (probe("acme/sixfirst", "acme/both"), "acme/t/six"),
        (probe("acme/sixfirst", "acme/v4"), "acme/t/four"),
        (probe("acme/both", "acme/sixfirst", "icmpv6/128/0"), "acme/t/six"),
        (probe("acme/both", "acme/sixfirst", dst_ip="fd00::4"), "acme/t/six"),
        (probe("acme/both", "fd00::99"), "acme/t/six"),
    ],
)
def test_the_first_pair_of_one_family_in_the_inventorys_order_is_meant(asked: Probe, rule_name: str) -> None:
    assert rule_of(asked) == rule_name


@pytest.mark.parametrize("used", ["192.0.2.200", "2001:db8::7", "fe80::5054:ff:fe00:1"])
def test_an_endpoint_may_use_its_ranges_and_its_link_local_address_in_no_zone(used: str) -> None:
    family = "198.51.100.1" if "." in used else "2001:db8:1::1"

    assert rule_of(probe("acme/v4", family, src_ip=used)) == "acme/default"


def test_an_outside_address_is_read_in_the_other_ends_tenant_unless_another_is_said() -> None:
    blue = tenant("blue", default="reject")
    configuration = configure(*ENDPOINTS, ACME, blue)

    answers = [
        verdict(configuration, probe("203.0.113.9", "acme/v4")),
        verdict(configuration, probe("203.0.113.9", "198.51.100.7", tenant="blue")),
    ]

    assert [answer.rule for answer in answers if isinstance(answer, Verdict)] == [
        "acme/default",
        "blue/default",
    ]


def test_the_same_address_is_each_tenants_own() -> None:
    twin = tenant("blue", tier("t", rule("r", "own", "any")), zones=[zone("own", endpoints=["twin"])])
    configuration = configure(*ENDPOINTS, ACME, endpoint("blue/twin", "10.0.0.1"), twin)

    answers = [
        verdict(configuration, probe("10.0.0.1", "203.0.113.9", tenant=name)) for name in ("acme", "blue")
    ]

    assert [answer.rule for answer in answers if isinstance(answer, Verdict)] == [
        "acme/t/four",
        "blue/t/r",
    ]


GROUPS = [
    (probe("acme/v4", "224.0.0.18", "112"), "vrrp"),
    (probe("acme/v6", "ff02::12", "112"), "vrrp"),
    (probe("acme/v4", "224.0.0.251", "udp/5353"), "mdns"),
    (probe("acme/v6", "ff02::fb", "udp/5353"), "mdns"),
]


@pytest.mark.parametrize(("asked", "word"), GROUPS)
def test_a_group_that_the_provider_names_is_let_through_and_no_other(asked: Probe, word: str) -> None:
    listed = configure(*ENDPOINTS, ACME, provider=Provider(multicast=frozenset({word})))
    other = configure(
        *ENDPOINTS,
        ACME,
        provider=Provider(multicast=frozenset({"vrrp", "mdns", "unknown"} - {word})),
    )

    assert verdict(listed, asked) == Verdict(Action.ALLOW, "builtin/multicast", None, "builtin")
    assert verdict(other, asked) == Verdict(Action.DROP, "builtin/multicast", None, "builtin")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (probe("acme/v4", "255.255.255.255", "udp/67"), Action.ALLOW),
        (probe("acme/v4", "255.255.255.255", "udp/68"), Action.DROP),
        (probe("acme/v6", "ff02::1:2", "udp/547"), Action.ALLOW),
        (probe("acme/v6", "ff02::1:2", "udp/546"), Action.DROP),
        (probe("acme/v6", "ff02::1:2", "tcp/547"), Action.DROP),
        (probe("acme/v6", "ff02::1:ff00:3", "icmpv6/135/0"), Action.ALLOW),
        (probe("acme/v6", "ff02::1", "icmpv6/134/0"), Action.DROP),
        (probe("acme/router", "ff02::1", "icmpv6/134/0"), Action.ALLOW),
        (probe("acme/v6", "ff02::1", "icmpv6/128/0"), Action.DROP),
        (probe("acme/v4", "239.1.2.3", "udp/5000"), Action.DROP),
        (probe("acme/v4", "255.255.255.255", "tcp/67"), Action.DROP),
    ],
)
def test_of_multicast_and_broadcast_only_discovery_and_dhcp_pass_unasked(
    asked: Probe, expected: Action
) -> None:
    answer = verdict(CONFIGURATION, asked)

    assert answer == Verdict(expected, "builtin/multicast", None, "builtin")
