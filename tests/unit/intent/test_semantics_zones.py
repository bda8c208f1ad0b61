"""Who is in a zone: by labels, names, MACs and addresses, each address of an endpoint by itself."""

from __future__ import annotations

from typing import Any

import pytest

from support.configurations import configure, endpoint, probe, rule, selector, tenant, tier, zone
from zonewall.intent.semantics import Verdict, verdict
from zonewall.policy.model import Action, Selector, Zone

PARTS = (
    endpoint("acme/web", "10.0.0.1", "fd00::1", labels={"role": "web", "owner": "ann"}),
    endpoint("acme/db", "10.0.0.2", "10.0.9.2", labels={"role": "primary"}),
    endpoint("acme/old", "10.0.0.3", mac=0x525400123456, labels={"stage": "dev", "role": "web"}),
    endpoint("acme/wide", "10.0.0.4", ranges=["192.0.2.128/25"]),
    endpoint("blue/web", "10.1.0.1", labels={"role": "web"}),
)


def members(*zones: Zone, name: str = "z") -> set[str]:
    """Return which of acme's endpoints (and two outside addresses) the zone holds."""
    gate = tier("t", rule("in", name, "any"))
    configuration = configure(*PARTS, tenant("acme", gate, zones=zones))
    ends = ["acme/web", "acme/db", "acme/old", "acme/wide", "192.0.2.7", "203.0.113.9"]
    found = set()
    for end in ends:
        answer = verdict(configuration, probe(end, "198.51.100.1", tenant="acme"))
        assert isinstance(answer, Verdict)
        if answer.verdict is Action.ALLOW:
            found.add(end.removeprefix("acme/"))
    return found


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"labels": {"role": "web"}}, {"web", "old"}),
        ({"labels": {"role": ["primary", "replica"]}}, {"db"}),
        ({"labels": {"role": "web", "owner": "ann"}}, {"web"}),
        ({"labels": {"owner": "*"}}, {"web"}),
        ({"labels": {"missing": "*"}}, set()),
        ({"endpoints": ["db", "old"]}, {"db", "old"}),
        ({"macs": [0x525400123456]}, {"old"}),
        ({"labels": {"role": "web"}, "macs": [0x525400123456]}, {"old"}),
        ({"labels": {"role": "web"}, "excluded": selector(labels={"stage": "dev"})}, {"web"}),
        ({}, {"web", "db", "old", "wide"}),
        ({"excluded": selector(endpoints=["web"])}, {"db", "old", "wide"}),
        ({"cidrs": ["10.0.0.0/30"]}, {"web", "db", "old"}),
        ({"cidrs": ["192.0.2.0/24"]}, {"192.0.2.7"}),
        ({"cidrs": ["0.0.0.0/0"], "outside": True}, {"192.0.2.7", "203.0.113.9"}),
        ({"cidrs": ["0.0.0.0/0"], "labels": {"role": "web"}}, {"web", "old"}),
        ({"cidrs": ["0.0.0.0/0"], "excluded": selector(cidrs=["10.0.0.0/8"])}, {"192.0.2.7", "203.0.113.9"}),
        ({"cidrs": ["0.0.0.0/0"], "excluded": Selector()}, {"192.0.2.7", "203.0.113.9"}),
        ({"cidrs": ["::/0"]}, set()),
    ],
)
def test_every_key_must_hold_and_a_missing_key_asks_nothing(keys: dict[str, Any], expected: set[str]) -> None:
    assert members(zone("z", **keys)) == expected


def test_a_union_holds_who_any_of_its_zones_holds() -> None:
    web, db, far = (
        zone("w", labels={"role": "web"}),
        zone("d", endpoints=["db"]),
        zone("f", cidrs=["203.0.113.0/24"]),
    )

    assert members(web, db, far, zone("z", zones=["w", "d", "f"])) == {"web", "old", "db", "203.0.113.9"}


def test_keys_beside_a_union_narrow_it() -> None:
    assert members(zone("w", labels={"role": "web"}), zone("z", zones=["w"], labels={"owner": "*"})) == {
        "web"
    }


def test_a_union_inherits_what_its_zones_keep_to_the_outside() -> None:
    outside = zone("o", cidrs=["0.0.0.0/0"], outside=True)

    assert members(outside, zone("z", zones=["o"])) == {"192.0.2.7", "203.0.113.9"}


def test_a_rule_on_a_zone_that_nobody_is_in_matches_nobody() -> None:
    assert members(name="nowhere") == set()


def test_an_endpoint_is_in_a_zone_by_the_address_that_the_probe_names() -> None:
    configuration = configure(
        *PARTS,
        tenant("acme", tier("t", rule("in", "nine", "any")), zones=[zone("nine", cidrs=["10.0.9.0/24"])]),
    )

    by_first = verdict(configuration, probe("acme/db", "acme/web"))
    by_second = verdict(configuration, probe("acme/db", "acme/web", src_ip="10.0.9.2"))

    assert isinstance(by_first, Verdict)
    assert isinstance(by_second, Verdict)
    assert (by_first.verdict, by_second.verdict) == (Action.DROP, Action.ALLOW)


@pytest.mark.parametrize("used", ["192.0.2.129", "10.0.0.4"])
def test_an_address_out_of_a_range_puts_nobody_in_a_zone(used: str) -> None:
    zones = [zone("lab", cidrs=["192.0.2.0/24"]), zone("all")]
    configuration = configure(
        *PARTS, tenant("acme", tier("t", rule("lab", "lab", "any"), rule("all", "all", "any")), zones=zones)
    )

    answer = verdict(configuration, probe("acme/wide", "acme/web", src_ip=used))

    assert isinstance(answer, Verdict)
    assert answer.rule == "acme/t/all"


def test_an_address_given_as_itself_is_the_endpoint_that_has_it_in_this_tenants_view() -> None:
    zones = [zone("web", labels={"role": "web"})]
    configuration = configure(
        *PARTS,
        tenant("acme", tier("t", rule("in", "web", "any")), zones=zones),
        tenant("blue", tier("t", rule("in", "web", "external")), zones=zones),
    )

    known = verdict(configuration, probe("10.0.0.1", "203.0.113.9", tenant="acme"))
    unknown = verdict(configuration, probe("10.0.0.1", "203.0.113.9", tenant="blue"))

    assert isinstance(known, Verdict)
    assert isinstance(unknown, Verdict)
    assert (known.rule, unknown.rule) == ("acme/t/in", "blue/default")
